"""The Celery application: a broker of wake-up calls. What is to be done stands in the rows.

Each message names the organisation it is for; a task without one runs only if it is the system's.
"""

from __future__ import annotations

import os
from typing import Any
from uuid import UUID

from celery import Celery, Task
from celery.signals import before_task_publish, setup_logging
from django.conf import settings
from kombu import Connection
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from apps.core.errors import NetraError, UnavailableError
from apps.core.tenancy import NoScopeError, Scope, ScopeKind, current_scope, tenant

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "netra.settings")

SWEEP_SECONDS = 2.0
PATIENCE = 2  # seconds that the broker gets for one message
EXPIRES = 600  # an execution that waited longer has timed out

SCOPE_HEADER = "netra_scope"  # organisation, and person if there is one


class UnscopedTaskError(NetraError):
    """A message that says for nobody what is to be done for somebody is not acted upon."""

    code = "task_unscoped"
    fix = "Publish it inside the scope of the organisation that it is for."


class ScopedTask(Task):  # type: ignore[type-arg]  # of any arguments
    """Runs in the scope that its message names; one without is refused.

    `system` says why a task is for no single organisation: it opens scopes of its own.
    """

    abstract = True
    system = ""

    def __call__(self, *given: Any, **named: Any) -> Any:
        if self.system or self.request.called_directly:
            return super().__call__(*given, **named)
        with _scope_of(self.name, self.request.get(SCOPE_HEADER)):
            return super().__call__(*given, **named)


def _scope_of(task: str | None, told: object) -> Scope:
    """The scope that a header names; raises UnscopedTaskError for what is no such header."""
    match told:
        case [str(organisation), str() | None as person]:
            try:
                return tenant(UUID(organisation), UUID(person) if person else None)
            except ValueError as error:
                raise UnscopedTaskError(f"{task}: {told!r} is no scope.") from error
        case _:
            raise UnscopedTaskError(f"The message for {task} names no organisation.")


@before_task_publish.connect
def stamp(headers: dict[str, Any] | None = None, **_: Any) -> None:
    """Each message published in an organisation's scope says so; who publishes cannot forget it."""
    try:
        scope = current_scope()
    except NoScopeError:
        return
    if headers is not None and scope.kind is ScopeKind.TENANT:
        person = str(scope.user_id) if scope.user_id else None
        headers[SCOPE_HEADER] = [str(scope.tenant_id), person]


app = Celery(
    "netra", broker=settings.NETRA_REDIS_URL or "memory://", task_cls=ScopedTask
)
app.set_default()
app.conf.update(
    include=["apps.executions.tasks"],
    task_default_queue="netra",
    # A message is a hint: taken is done. Recovery reads rows, so nothing is redelivered.
    task_acks_late=False,
    task_ignore_result=True,
    result_backend=None,
    worker_prefetch_multiplier=1,
    # The runner ends each execution by its own deadline; a thread cannot be cut off anyway.
    task_time_limit=None,
    task_publish_retry=False,
    # SIGQUIT as the first signal: Celery's own way, with as long as a drain has.
    worker_soft_shutdown_timeout=settings.NETRA_DRAIN_SECONDS,
    # Redis may be away at the start, and for as long as it likes: the poll goes on.
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    worker_cancel_long_running_tasks_on_connection_loss=True,  # late acks only: none here
    broker_transport_options={
        "socket_timeout": 10,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 15,
    },
    beat_schedule={
        "sweep": {
            "task": "executions.sweep",
            "schedule": SWEEP_SECONDS,
            "options": {"expires": SWEEP_SECONDS},
        }
    },
    timezone="UTC",
)


class Publisher:
    """Sends wake-up calls over one connection, from one thread."""

    def __init__(self) -> None:
        self._connection: Connection | None = None

    def __call__(self, execution_id: UUID, organisation_id: UUID) -> None:
        """Call a worker. Raises UnavailableError when the broker does not take it in time."""
        if self._connection is None:
            limits = {
                "socket_timeout": PATIENCE,
                "socket_connect_timeout": PATIENCE,
                "max_retries": 0,
            }
            self._connection = app.connection_for_write(
                transport_options=limits, connect_timeout=PATIENCE
            )
        try:
            with tenant(organisation_id):
                app.send_task(
                    "executions.run",
                    args=[str(execution_id)],
                    connection=self._connection,
                    expires=EXPIRES,
                    retry=False,
                    ignore_result=True,
                )
        except (OperationalError, RedisError, OSError) as error:
            self._connection = None
            raise UnavailableError(f"The broker is away: {error}") from error


@setup_logging.connect
def keep_logging(**_: Any) -> None:
    """Django has set up logging; that this is connected keeps Celery from doing it again."""
