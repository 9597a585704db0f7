"""What a refused directory gets: one SCIM error document, whatever went wrong."""

from __future__ import annotations

import logging

from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.db import Error as DatabaseError
from django.http import HttpResponse, JsonResponse
from django.http.request import UnreadablePostError
from pydantic import ValidationError
from rest_framework.exceptions import ParseError
from scim2_models import Error, SCIMException

from apps.accounts.directory import DirectoryError
from apps.core import transactions
from apps.core.errors import (
    InvalidInputError,
    NetraError,
    NotFoundError,
    RateLimitedError,
)

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/scim+json"
SCHEMA = str(Error.__schema__)
REALM = 'Bearer realm="scim"'


class MediaTypeError(NetraError):
    """Send application/scim+json."""

    code, status = "unsupported_media_type", 415
    fix = "Set the content type to application/scim+json."


class NotOfferedError(NetraError):
    """This part of SCIM is not offered here."""

    code, status = "not_implemented", 501
    fix = "See ServiceProviderConfig for what is offered."


class NowhereError(NotFoundError):
    """There is no such endpoint."""

    fix = "See ResourceTypes for those that there are."


class MethodError(NetraError):
    """This method is not offered here."""

    code, status = "method_not_allowed", 405
    fix = "Use one of the methods named in 'Allow'."


class MalformedError(NetraError):
    """The request cannot be read."""

    code, status = "malformed", 400
    fix = "Send one JSON object in UTF-8."
    keyword = "invalidSyntax"


class FaultError(NetraError):
    """Something went wrong on our side."""

    code = "internal"


def explained(error: Exception) -> NetraError | SCIMException:
    """The error in words that may be shown; faults of ours are logged and say nothing else."""
    if isinstance(error, NetraError | SCIMException):
        return error
    if isinstance(error, ValidationError):
        told = Error.from_validation_errors(error)[0]
        return SCIMException.from_error(told)
    if isinstance(error, DatabaseError):
        return transactions.explained(error)
    if isinstance(error, RequestDataTooBig):
        too_big = MalformedError("The body is larger than the limit.")
        too_big.status = 413
        return too_big
    if isinstance(
        error, ParseError | SuspiciousOperation | UnreadablePostError | RecursionError
    ):
        return MalformedError(str(error) if isinstance(error, ParseError) else None)
    log.error("SCIM failed", exc_info=error, extra={"action": "scim.failed"})
    return FaultError()


def document(
    error: NetraError | SCIMException, *, reference: object = None
) -> HttpResponse:
    """The error as RFC 7644 (3.12) has it.

    Strict clients refuse members that it does not name: the reason and the receipt stand in the
    sentence.
    """
    body: dict[str, object] = {"schemas": [SCHEMA], "status": str(_status(error))}
    keyword = _keyword(error)
    if keyword:
        body["scimType"] = keyword
    body["detail"] = _sentence(error, reference)
    response = JsonResponse(body, status=_status(error), content_type=MEDIA_TYPE)
    if response.status_code == 401:
        response["WWW-Authenticate"] = REALM
    if isinstance(error, NetraError) and (
        error.retry_after or isinstance(error, RateLimitedError)
    ):
        response["Retry-After"] = str(max(1, round(error.retry_after or 1)))
    return response


def _sentence(error: NetraError | SCIMException, reference: object) -> str:
    if isinstance(error, SCIMException):
        return error.detail
    told = f"{error.message} {error.fix} Reason: {error.code}."
    return f"{told} Reference: {reference}." if reference else told


def _status(error: NetraError | SCIMException) -> int:
    if isinstance(error, SCIMException):
        return int(error.to_error().status or error.status)
    # SCIM knows no 422: a value that breaks a rule is a 400 with its keyword.
    return 400 if isinstance(error, InvalidInputError) else error.status


def _keyword(error: NetraError | SCIMException) -> str:
    if isinstance(error, SCIMException):
        return str(error.to_error().scim_type or "")
    if isinstance(error, InvalidInputError):
        return "invalidValue"
    if isinstance(error, DirectoryError | MalformedError):
        return error.keyword
    return ""
