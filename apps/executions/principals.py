"""From a plain mapping of ids to a context: nothing in it is believed before it is looked up."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from apps.accounts.access import memberships_of, user_from_session
from apps.core.errors import NotAuthenticatedError
from apps.executions.contexts import UserExecutionContext, real_id, refuse_deep_state
from apps.executions.errors import ContextIsolationError, InvalidContextError


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """An active person in an active organisation, as the rows say."""

    user_id: UUID
    organisation_id: UUID
    tier: str


def context_from(given: Mapping[str, object]) -> UserExecutionContext:
    """The context of the person that `given` names, in the named or their oldest organisation.

    Keys: user_id; organisation_id, session_id, thread_id and run_id where there are any. Raises
    InvalidContextError for whatever is missing, malformed or not real, and says which.
    """
    refuse_deep_state(given)
    user_id = real_id(given.get("user_id"), "user_id")
    member = _member(user_id, given.get("organisation_id"))
    _check_session(given.get("session_id"), user_id)
    return UserExecutionContext.for_principal(
        member,
        thread_id=_given_or_new(given.get("thread_id")),
        run_id=_given_or_new(given.get("run_id")),
    )


def _member(user_id: UUID, asked: object) -> Member:
    places = memberships_of(user_id)
    if asked is not None:
        organisation_id = real_id(asked, "organisation_id")
        places = [row for row in places if row.organisation_id == organisation_id]
    if not places:
        raise InvalidContextError(
            f"user_id {str(user_id)!r} is nobody who may act there: no active person with an"
            " active membership"
        )
    place = places[0].organisation
    return Member(user_id=user_id, organisation_id=place.pk, tier=place.tier)


def _check_session(session_id: object, user_id: UUID) -> None:
    """A session is named by its key, which must be alive and that person's, or by a UUID.

    A UUID (of a socket, say) proves nothing and is given no power.
    """
    if session_id is None:
        return
    try:
        real_id(session_id, "session_id")
    except InvalidContextError as error:
        if not isinstance(session_id, str) or "placeholder" in str(error):
            raise
        try:
            owner = user_from_session(session_id)
        except NotAuthenticatedError:
            raise InvalidContextError("session_id is no live session") from error
        if owner.pk != user_id:
            raise ContextIsolationError(
                "session_id belongs to another person"
            ) from error


def _given_or_new(value: object) -> object:
    return uuid.uuid4() if value is None else value
