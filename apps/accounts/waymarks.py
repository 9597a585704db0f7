"""How far a sign-in through a provider came: moments kept with the request, told in its entry of the trail.

Names of steps and moments only: no token, no code, no claim.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from django.http import HttpRequest

from apps.audits.chain import Value, stamp

KEPT, ROLE = "_netra_waymarks", "_netra_role_given"


class Step(StrEnum):
    """The way in, in order."""

    SENT = "sent"  # to the provider
    RETURNED = "returned"  # with an answer to what this browser began
    TOKEN = "token"  # noqa: S105 - the name of a step: fetched and verified
    RULES = "rules"  # of admission
    ROLE = "role"
    SESSION = "session"


def mark(request: HttpRequest, step: Step, *, at: float | None = None) -> None:
    """Keep that this step was passed, now or at a moment that the session remembers."""
    moment = time.time() if at is None else at
    passed(request)[step.value] = stamp(datetime.fromtimestamp(moment, UTC))


def passed(request: HttpRequest) -> dict[str, Value]:
    """Step → moment, of this request so far. From the first call on it counts as part of a sign-in."""
    kept: dict[str, Value] = request.__dict__.setdefault(KEPT, {})
    return kept


def told(request: HttpRequest) -> dict[str, Value]:
    """The same as the detail of an entry; nothing for what is no sign-in, as a notice of logout."""
    return {"steps": request.__dict__[KEPT]} if KEPT in request.__dict__ else {}


def give_role(request: HttpRequest, role: str) -> None:
    """Keep which role the person has after it was brought up to what the provider says."""
    mark(request, Step.ROLE)
    request.__dict__[ROLE] = role


def role(request: HttpRequest) -> str:
    """That role; empty where none was told."""
    return str(request.__dict__.get(ROLE, ""))


def kept(stored: Any) -> dict[str, Value]:
    """The same out of a session, where a second factor may come between: what is no mark is left out."""
    if not isinstance(stored, dict):
        return {}
    return {s.value: stored[s] for s in Step if isinstance(stored.get(s), str)}
