"""The Celery application: a broker of wake-up calls. What is to be done stands in the rows."""

from __future__ import annotations

import os
from typing import Any
from uuid import UUID

from celery import Celery
from celery.signals import setup_logging
from django.conf import settings
from kombu import Connection
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from apps.core.errors import UnavailableError

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "netra.settings")

SWEEP_SECONDS = 2.0
PATIENCE = 2  # seconds that the broker gets for one message
EXPIRES = 600  # an execution that waited longer has timed out

app = Celery("netra", broker=settings.NETRA_REDIS_URL or "memory://")
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

    def __call__(self, execution_id: UUID) -> None:
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
