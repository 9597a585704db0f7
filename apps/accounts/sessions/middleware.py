"""Each request's session, looked up anew: whether it holds, that it is used, and what staff need besides."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.utils import timezone

from apps.accounts import actions, refusals, validity
from apps.accounts.credentials import SecondFactorNeededError
from apps.accounts.events import EndOfAccess
from apps.accounts.models import SignIn, User
from apps.core.actors import Actor
from apps.core.database import write_now
from apps.core.transactions import TransactionError

log = logging.getLogger(__name__)
API = "/api/"
NOTED = timedelta(seconds=60)  # use is written down that seldom
BACKGROUND = "Netra-Background"  # a page that asks by itself is no use of it
ENDED = "session_ended"  # in the next, anonymous session: why the last one is over
CLOCK = Actor.system("sessions")
# All that staff reach before they have a second factor: setting one up, and leaving.
SET_UP = "/accounts/2fa/"
OPEN_TO_WEAK = (
    SET_UP,
    "/accounts/confirm/",
    "/accounts/reauthenticate/",
    "/accounts/logout/",
    "/accounts/password/change/",
)


class SignInMiddleware:
    """Sets `request.sign_in`. A session that no longer holds is ended, and its request is a stranger's."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if _by_token(request):
            request.user = AnonymousUser()  # its session was not looked at
            return self.get_response(request)
        row = _checked(request, timezone.now())
        setattr(request, "sign_in", row)  # noqa: B010 - Django's type has no such attribute
        if row is not None and _lacks_factor(request, row):
            return _second_factor_needed(request)
        response = self.get_response(request)
        _follow(request)
        return response


def _by_token(request: HttpRequest) -> bool:
    header = request.headers.get("Authorization", "")
    return request.path.startswith(API) and bool(header)


def _checked(request: HttpRequest, now: datetime) -> SignIn | None:
    shown = request.session.session_key
    if not request.user.is_authenticated or not request.session.session_key:
        return None
    if shown and shown != request.session.session_key:
        # An older secret had signed it: Django, asked for the person, gave it another key.
        actions.follow_session(before=shown, session_key=request.session.session_key)
    row = validity.found(request.session.session_key)
    why: EndOfAccess | None = EndOfAccess.SESSION_ENDED
    if row is not None and row.user_id == request.user.pk:
        why = validity.why_void(row, now)
    if row is None or why is not None:
        _end(request, row, why or EndOfAccess.SESSION_ENDED)
        return None
    assert isinstance(request.user, User)
    if now - row.seen_at >= NOTED and BACKGROUND not in request.headers:
        _note_use(row, now)
    return row


def _end(request: HttpRequest, row: SignIn | None, why: EndOfAccess) -> None:
    if row is not None:
        write_now(
            validity.SCOPE,
            lambda: actions.end_sign_ins(actor=CLOCK, rows=[row], why=why),
        )
    request.session.flush()
    request.user = AnonymousUser()
    if not request.path.startswith(API):
        request.session[ENDED] = why.value


def _note_use(row: SignIn, now: datetime) -> None:
    try:
        write_now(
            validity.SCOPE,
            lambda: actions.note_session_use(session_keys=[row.session_key], now=now),
        )
    except TransactionError as error:
        # On a full disk what can be read is still read, for as long as the session lasts unused.
        log.info("%s", error.message, extra={"action": "session.use_not_noted"})


def _lacks_factor(request: HttpRequest, row: SignIn) -> bool:
    return validity.lacks_factor(row) and not request.path.startswith(OPEN_TO_WEAK)


def _second_factor_needed(request: HttpRequest) -> HttpResponseBase:
    error = SecondFactorNeededError()
    if request.path.startswith(API):
        return refusals.problem(error)
    if request.method != "GET":
        return refusals.page(request, error)
    return redirect(SET_UP)


def _follow(request: HttpRequest) -> None:
    """Django gives a session another key now and then; its row goes along."""
    row, key = getattr(request, "sign_in", None), request.session.session_key
    if (
        isinstance(row, SignIn)
        and key
        and key != row.session_key
        and request.user.is_authenticated
        and request.user.pk == row.user_id
    ):
        actions.follow_session(before=row.session_key, session_key=key)
