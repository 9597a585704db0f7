"""Which directory calls, and how often it may. Only a directory's own token counts: no session, no API token."""

from __future__ import annotations

import logging
import time

from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest

from apps.accounts import actions
from apps.accounts.callers import Caller, caller_with
from apps.core import circumstances
from apps.core.database import write_now
from apps.core.errors import NotAuthenticatedError, RateLimitedError
from apps.core.tenancy import topic
from apps.core.transactions import TransactionError

log = logging.getLogger(__name__)

WINDOW = 60  # seconds
REQUESTS_A_WINDOW = 1_500  # of one organisation: Entra asks for 25 a second
FAILURES_A_WINDOW = 60  # of one address
USE_NOTED_SECONDS = 300


class RefusedError(NotAuthenticatedError):
    """The request is not authorised."""

    fix = "Send a valid directory token as a bearer token."


def authenticate(request: HttpRequest) -> Caller:
    """The directory that calls; 401 for all others alike, 429 for who asks too often."""
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    try:
        if scheme.lower() != "bearer":
            raise RefusedError
        caller = caller_with(secret.strip())
    except NotAuthenticatedError as error:
        # Only failures are slowed down: customers of one directory service share its addresses.
        source = circumstances.present().address
        _count(f"scim.failures.{source}", FAILURES_A_WINDOW)
        raise RefusedError from error
    _count(topic(caller.organisation_id, "scim"), REQUESTS_A_WINDOW)
    _note_use(caller)
    return caller


def _count(name: str, most: int) -> None:
    """Count in the window of this minute; the count lives in the cache and may be lost with it."""
    if not settings.NETRA_LIMITS:
        return
    now = time.time()
    window = int(now // WINDOW)
    key = f"{name}.{window}"
    cache.add(key, 0, WINDOW * 2)
    try:
        count = cache.incr(key)
    except ValueError:  # it went between the two calls
        return
    if count > most:
        raise RateLimitedError(
            "Too many requests in a short time.",
            retry_after=(window + 1) * WINDOW - now,
        )


def _note_use(caller: Caller) -> None:
    mark = topic(caller.organisation_id, "scim-token", caller.token_id.hex)
    if not cache.add(mark, "", USE_NOTED_SECONDS):
        return
    try:
        write_now(
            caller.scope,
            lambda: actions.note_scim_token_use(token_id=caller.token_id),
        )
    except TransactionError as error:
        # On a full disk what can be read is still read.
        log.info("%s", error.message, extra={"action": "scim.use_not_noted"})
