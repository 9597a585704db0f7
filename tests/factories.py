"""Makers of valid rows, through the real actions where there is one. Never across organisations."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.utils import timezone

from apps.accounts import actions as accounts
from apps.accounts.access import Principal, principal_for
from apps.accounts.actions.sessions import Proof
from apps.accounts.models import Domain, Membership, Organisation, SignIn, User
from apps.chat.models import Thread
from apps.core.actors import Actor
from apps.core.database import write_now
from apps.core.errors import Explanation
from apps.core.tenancy import Scope, system, tenant
from apps.executions import actions, endings, journal, moves, queries
from apps.executions.models import (
    Attempt,
    Content,
    Event,
    Execution,
    PhaseEntry,
    Transition,
)
from apps.executions.standing import Ending, Order, Standing
from apps.executions.states import ExecutionState

Result = TypeVar("Result")
PASSWORD = "correct horse battery"
TESTS = system("tests")
OWNER = uuid.UUID(
    "00000000-0000-4000-8000-00000000b007"
)  # boot id of the tests' runner
TESTER = Actor.system("tests")


def organisation(
    slug: str, *, tier: str = "mid", kind: str = "customer"
) -> Organisation:
    return Organisation.objects.create(
        slug=slug, name=slug.capitalize(), tier=tier, kind=kind
    )


def domain(place: Organisation, name: str = "", **values: object) -> Domain:
    """A mail domain that the organisation proved; by default its slug under .example."""
    now = timezone.now()
    given: dict[str, object] = {"challenge": "c", "proved_at": now, "checked_at": now}
    with TESTS:
        row: Domain = Domain.objects.create(
            organisation=place,
            domain=name or f"{place.slug}.example",
            **(given | values),
        )
    return row


def person(
    email: str, place: Organisation, *, role: str = "member", is_staff: bool = False
) -> User:
    """A user with a password and one membership."""
    name = email.partition("@")[0].capitalize()
    user = User.objects.create_user(email, PASSWORD, name=name, is_staff=is_staff)
    with TESTS:
        Membership.objects.create(organisation=place, user=user, role=role)
    return user


def lower(user: User, organisation: Organisation, role: str) -> None:
    """Give a person another role, tokens and threads staying as they are."""
    with TESTS:
        Membership.objects.filter(user=user, organisation=organisation).update(
            role=role
        )


def principal(user: User, place: Organisation) -> Principal:
    return principal_for(user.pk, place.slug)


def sign_in(user: User, **values: object) -> SignIn:
    """A session of that person's as a password sign-in leaves it, with its row changed to `values`."""
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    row = write_now(
        TESTS,
        lambda: accounts.begin_sign_in(
            actor=TESTER,
            user=user,
            session_key=str(session.session_key),
            proof=Proof(authenticated_at=timezone.now()),
        ),
    )
    if values:
        SignIn.objects.filter(pk=row.pk).update(**values)
        row.refresh_from_db()
    return row


def scope_of(who: Principal) -> Scope:
    return tenant(who.organisation_id, who.user_id)


def stream(who: Principal, stream_id: UUID | None = None) -> UUID:
    """An empty log of that person's."""
    stream_id = stream_id or uuid.uuid4()
    write_now(
        who.scope,
        lambda: journal.open_stream(
            stream_id=stream_id,
            organisation_id=who.organisation_id,
            user_id=who.user_id,
        ),
    )
    return stream_id


def thread(who: Principal, title: str = "") -> Thread:
    """A conversation of that person's, with its empty log."""
    now = timezone.now()

    def unit() -> Thread:
        made: Thread = Thread.objects.create(
            organisation_id=who.organisation_id,
            user_id=who.user_id,
            title=title,
            created_at=now,
            updated_at=now,
        )
        return made

    made = write_now(who.scope, unit)
    stream(who, made.pk)
    return made


def order(who: Principal, stream_id: UUID, **values: object) -> Order:
    """What an execution of that person's would be queued with."""
    given: dict[str, object] = {
        "organisation_id": who.organisation_id,
        "user_id": who.user_id,
        "stream_id": stream_id,
        "runner": "agents.turn",
        "agent": "golden-turn",
        "tier": who.tier,
        "timeout_seconds": 60,
        "input": {"text": "hello"},
    }
    return Order(**(given | values))  # type: ignore[arg-type]


def execution(
    who: Principal,
    *,
    stream_id: UUID | None = None,
    now: datetime | None = None,
    **values: object,
) -> Standing:
    """A pending execution of that person's, in a stream of its own unless one is named."""
    wanted = order(who, stream_id or stream(who), **values)
    return write_now(
        who.scope, lambda: actions.queue(actor=who.actor, order=wanted, now=now)
    )


def claimed(
    who: Principal,
    *,
    owner: UUID = OWNER,
    now: datetime | None = None,
    **values: object,
) -> Standing:
    """An execution that a runner has just claimed, announced in its stream."""
    standing = execution(who, now=now, **values)
    return claim(standing, owner=owner, now=now)


def claim(
    standing: Standing, *, owner: UUID = OWNER, now: datetime | None = None
) -> Standing:
    """Claim it as the runner does, with what the claim announces."""
    now = now or timezone.now()

    def unit() -> Standing:
        taken = actions.claim(standing, owner=owner, now=now)
        assert taken is not None, "someone else has claimed it"
        journal.append(
            organisation_id=taken.organisation_id,
            stream_id=taken.stream_id,
            drafts=actions.start_event(standing, taken),
            now=now,
            execution_id=taken.id,
            attempt=taken.attempt,
        )
        return taken

    return write_now(tenant(standing.organisation_id, standing.user_id), unit)


def running(
    who: Principal, *, now: datetime | None = None, **values: object
) -> Standing:
    """An execution whose agent works."""
    return move(claimed(who, now=now, **values), ExecutionState.RUNNING, now=now)


def move(
    standing: Standing,
    *path: ExecutionState,
    now: datetime | None = None,
    **values: object,
) -> Standing:
    at = now or timezone.now()
    return write_now(
        tenant(standing.organisation_id, standing.user_id),
        lambda: moves.move(standing, *path, actor=TESTER, now=at, values=values),
    )


def ended(
    who: Principal,
    state: ExecutionState = ExecutionState.COMPLETED,
    *,
    text: str = "The answer.",
    now: datetime | None = None,
    **values: object,
) -> Standing:
    """An execution that ran and reached `state`."""
    return finish(running(who, now=now, **values), state, text=text, now=now)


def finish(
    standing: Standing,
    state: ExecutionState = ExecutionState.COMPLETED,
    *,
    text: str = "The answer.",
    now: datetime | None = None,
) -> Standing:
    at = now or timezone.now()
    return write_now(
        tenant(standing.organisation_id, standing.user_id),
        lambda: endings.finish(
            standing, ending(state, text=text), actor=TESTER, now=at
        ),
    )


def ending(
    state: ExecutionState = ExecutionState.COMPLETED, *, text: str = ""
) -> Ending:
    """How an execution ends in that state, explained where it did not go well."""
    if state is ExecutionState.COMPLETED:
        return Ending(state=state, text=text)
    explanation = Explanation(state.value, "A reason.", "A remedy.", retryable=True)
    return Ending(state=state, text=text, explanation=explanation, cancelled_by="user")


def row(standing: Standing) -> Execution:
    """The execution as the database has it now."""
    with TESTS:
        found: Execution = Execution.objects.get(id=standing.id)
    return found


def present(standing: Standing) -> Standing:
    """Its standing as the database has it now."""
    with TESTS:
        found = queries.standing_of(standing.id)
    assert found is not None
    return found


def unit(standing: Standing, work: Callable[[], Result]) -> Result:
    """`work` as one transaction in the execution's own scope."""
    return write_now(tenant(standing.organisation_id, standing.user_id), work)


def rows(standing: Standing) -> tuple[object, ...]:
    """All that the tables hold about an execution, to see that nothing was written."""
    with TESTS:
        own = {"execution_id": standing.id}
        return (
            Execution.objects.filter(id=standing.id).values().get(),
            list(Transition.objects.filter(**own).order_by("n").values()),
            list(Attempt.objects.filter(**own).order_by("fence").values()),
            list(PhaseEntry.objects.filter(**own).order_by("fence", "n").values()),
            Content.objects.filter(**own).values().get(),
            list(
                Event.objects.filter(stream_id=standing.stream_id)
                .order_by("seq")
                .values()
            ),
        )
