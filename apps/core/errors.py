"""What can go wrong, each with a stable code. Rendering belongs to the doors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One field that was refused: what is wrong with it and how to put it right."""

    field: str
    problem: str
    fix: str


class NetraError(Exception):
    """Something went wrong that can be explained."""

    code = "error"
    status = 500
    fix = "Try again; if it happens again, tell support the reference."
    retryable = False
    transient = False  # the whole work may be tried again by itself, a little later
    breaker = ""  # the circuit breaker that it met or opened

    def __init__(
        self,
        message: str | None = None,
        *,
        field: str | None = None,
        fix: str | None = None,
        values: Mapping[str, object] | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.message = (
            message or (type(self).__doc__ or self.code).strip().splitlines()[0]
        )
        self.field = field
        self.fix = fix or type(self).fix
        self.values = dict(values or {})
        self.retry_after = retry_after
        super().__init__(self.message)

    @property
    def problems(self) -> list[FieldProblem]:
        """The refused field as a list, empty when the error is not about one."""
        return [FieldProblem(self.field, self.message, self.fix)] if self.field else []


class BadFrameError(NetraError):
    """The message could not be read."""

    code, status = "bad_frame", 400
    fix = "Send one JSON object with a known 'type'."


class InvalidInputError(NetraError):
    """A value breaks a rule."""

    code, status = "invalid", 422
    fix = "Correct the named field and send it again."


class TooLargeError(NetraError):
    """It is larger than the limit."""

    code, status = "too_large", 413
    fix = "Send less at once."


class NotAuthenticatedError(NetraError):
    """You are not signed in."""

    code, status = "not_authenticated", 401
    fix = "Sign in, or send a valid token."


class NotAllowedError(NetraError):
    """You may not do this."""

    code, status = "not_allowed", 403
    fix = "Ask an owner of your organisation."


class NotFoundError(NetraError):
    """There is no such thing here."""

    code, status = "not_found", 404
    fix = "Check the id and the organisation you are working in."


class ConflictError(NetraError):
    """The present state does not allow this."""

    code, status = "conflict", 409
    fix = "Look at the present state and decide again."


class IdempotencyConflictError(ConflictError):
    """The same id was used before for a different message."""

    code = "idempotency_conflict"
    fix = "Use a new id for a new message."


class RateLimitedError(NetraError):
    """Too many requests in a short time."""

    code, status, retryable = "rate_limited", 429, True
    fix = "Wait for the time given, then try again."


class UnavailableError(NetraError):
    """The service cannot do this right now."""

    code, status, retryable = "unavailable", 503, True
    fix = "Try again in a few seconds."


class UnsupportedError(NetraError):
    """This is not built yet."""

    code, status = "unsupported", 422
    fix = "See the documentation for what is supported."


@dataclass(frozen=True, slots=True)
class Explanation:
    """A failure in words: what happened, what to do, whether trying again may help."""

    code: str
    message: str
    fix: str
    retryable: bool = False
    values: dict[str, object] = field(default_factory=dict)
