"""The one form of every error: problem+json for the API, plain pages for people."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings
from django.core.exceptions import (
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
)
from django.db import Error
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.http.request import UnreadablePostError
from django.shortcuts import render
from django.views import defaults
from rest_framework import exceptions
from rest_framework.request import Request

from apps.accounts import refusals
from apps.accounts.access import Principal
from apps.core import transactions
from apps.core.errors import FieldProblem, NetraError

log = logging.getLogger(__name__)
API = "/api/"

CODES = {
    400: ("malformed", "Send well-formed JSON."),
    401: ("not_authenticated", "Sign in, or send a valid token."),
    403: ("not_allowed", "Ask an owner of your organisation."),
    404: ("not_found", "Check the id and the organisation you are working in."),
    405: ("method_not_allowed", "Use one of the methods named in 'Allow'."),
    406: ("not_acceptable", "Accept application/json."),
    413: ("too_large", "Send less at once."),
    415: ("unsupported_media_type", "Send application/json."),
    422: ("invalid", "Correct the named fields and send it again."),
    429: ("rate_limited", "Wait for the time given, then try again."),
    500: ("internal", "Try again; if it happens again, tell support the reference."),
}
FIXES = {
    "required": "Send this field.",
    "null": "Send a value, not null.",
    "blank": "Send a text that is not empty.",
    "max_length": "Shorten it.",
    "not_a_list": "Send a list.",
    "invalid_choice": "Choose one of the known values.",
    "does_not_exist": "Check the id and the organisation you are working in.",
}


class ExplainedError(NetraError):
    """A foreign error in our words."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        problems: list[FieldProblem] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, retry_after=retry_after)
        self.status = status
        self.code, self.fix = CODES.get(
            status, ("refused", "Correct the request and send it again.")
        )
        self._problems = problems or []

    @property
    def problems(self) -> list[FieldProblem]:
        return self._problems


def problem(error: Exception, context: Mapping[str, Any]) -> HttpResponseBase:
    """DRF's exception handler: every error explained, with a receipt for those we know."""
    told = explained(error)
    if told is None:
        log.error("an API view failed", exc_info=error, extra={"action": "api.failed"})
        told = ExplainedError(500, "Something went wrong on our side.")
    request = context["request"]
    receipt_id = refusals.receipt_for(_principal(request), told, request=request)
    return refusals.problem(told, receipt_id=receipt_id)


def explained(error: Exception) -> NetraError | None:
    """The same error as a NetraError; None when it is a fault of ours."""
    if isinstance(error, NetraError):
        return error
    if isinstance(error, exceptions.ValidationError):
        problems = list(_field_problems(error.detail))
        return ExplainedError(422, "Some values break a rule.", problems=problems)
    if isinstance(error, exceptions.APIException):
        wait = getattr(error, "wait", None)
        return ExplainedError(error.status_code, str(error.detail), retry_after=wait)
    return _of_django(error)


def _of_django(error: Exception) -> NetraError | None:
    match error:
        case Http404():
            return ExplainedError(404, "There is no such thing here.")
        case PermissionDenied():
            return ExplainedError(403, str(error) or "You may not do this.")
        case RequestDataTooBig():
            return ExplainedError(413, "The request is larger than the limit.")
        case SuspiciousOperation() | UnreadablePostError() | RecursionError():
            return ExplainedError(400, "The request cannot be read.")
        case Error():
            return transactions.explained(error)
        case UnicodeError() | OverflowError():
            return ExplainedError(
                422, "A value cannot be stored: a character or number is out of range."
            )
    return None


def _field_problems(detail: Any, path: str = "") -> Iterator[FieldProblem]:
    if isinstance(detail, Mapping):
        for name, inner in detail.items():
            yield from _field_problems(
                inner, path if name == "non_field_errors" else _joined(path, name)
            )
    elif isinstance(detail, list):
        for index, inner in enumerate(detail):
            plain = isinstance(inner, exceptions.ErrorDetail)
            yield from _field_problems(inner, path if plain else _joined(path, index))
    else:
        code = getattr(detail, "code", "")
        yield FieldProblem(path, str(detail), FIXES.get(code, "Correct the value."))


def _joined(path: str, name: object) -> str:
    return f"{path}.{name}" if path else str(name)


def _principal(request: Request) -> Principal | None:
    # `request.auth` would authenticate, and perhaps fail, a second time.
    known = vars(request).get("_auth")
    return known if isinstance(known, Principal) else None


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if request.path.startswith(API):
        return refusals.problem(ExplainedError(400, "The request cannot be read."))
    return defaults.bad_request(request, exception)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    if request.path.startswith(API):
        return refusals.problem(ExplainedError(403, "You may not do this."))
    return defaults.permission_denied(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if request.path.startswith(API):
        return refusals.problem(
            ExplainedError(404, "There is no such address in the API.")
        )
    return defaults.page_not_found(request, exception)


def too_many(request: HttpRequest) -> HttpResponse:
    """What allauth's limits answer with."""
    error = ExplainedError(
        429, "Too many tries.", retry_after=settings.NETRA_LIMIT_SECONDS
    )
    if request.path.startswith(API):
        return refusals.problem(error)
    response = render(request, "429.html", status=429)
    response["Retry-After"] = str(settings.NETRA_LIMIT_SECONDS)
    return response


def server_error(request: HttpRequest) -> HttpResponse:
    error = _of_database(sys.exception())
    if request.path.startswith(API):
        return refusals.problem(
            error or ExplainedError(500, "Something went wrong on our side.")
        )
    return refusals.bare_page(error) if error else defaults.server_error(request)


def _of_database(error: BaseException | None) -> NetraError | None:
    """The failure of the database that is being handled; None for a fault of ours."""
    if not isinstance(error, Error):
        return None
    told = transactions.explained(error)
    return told if told.status != 500 else None
