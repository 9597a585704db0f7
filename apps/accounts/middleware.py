"""Finds out for whom a request asks, and runs its view in that scope. Bearer tokens: see api."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse

from apps.accounts import refusals, whence
from apps.accounts.access import Principal, principal_for
from apps.accounts.models import User
from apps.core import circumstances
from apps.core.errors import NetraError, NotAllowedError, NotFoundError
from apps.core.tenancy import Scope, staff

ADMIN = "/admin/"
API = "/api/"
SESSION_ORGANISATION = "organisation"


class PrincipalMiddleware:
    """Sets `request.principal` and opens the scope: the organisation's, or staff's in the admin."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        with circumstances.under(whence.of_request(request)):
            return self._answer(request)

    def _answer(self, request: HttpRequest) -> HttpResponseBase:
        try:
            principal = _principal(request)
        except NotFoundError as error:
            return _refused(request, error, _own(request, None))
        setattr(request, "principal", principal)  # noqa: B010 - Django's type has no such attribute
        scope = _scope(request, principal)
        if scope is None:
            return self.get_response(request)
        with scope:
            response = self.get_response(request)
        if isinstance(response, StreamingHttpResponse) and not response.is_async:
            response.streaming_content = _in_scope(scope, iter(response))
        return response

    def process_exception(
        self, request: HttpRequest, error: Exception
    ) -> HttpResponseBase | None:
        if not isinstance(error, NetraError):
            return None
        return _refused(request, error, getattr(request, "principal", None))


def _principal(request: HttpRequest) -> Principal | None:
    """The signed-in person in the organisation asked for; NotFoundError when it is not theirs."""
    bearer = request.headers.get("Authorization", "").lower().startswith("bearer")
    if bearer or not request.user.is_authenticated:
        return None
    asked = _asked(request)
    if asked is not None:
        try:
            found = principal_for(request.user.pk, asked)
        except NotAllowedError as error:
            raise NotFoundError(
                f"There is no organisation {asked!r} for you.", field="organisation"
            ) from error
        if "organisation" in request.GET and not request.path.startswith(API):
            request.session[SESSION_ORGANISATION] = found.organisation_slug
        return found
    return _own(request, request.session.get(SESSION_ORGANISATION))


def _asked(request: HttpRequest) -> str | None:
    # In the admin `organisation` is a column to filter by, not the place one works in.
    if request.path.startswith(ADMIN):
        return None
    return (
        request.GET.get("organisation")
        or request.headers.get("Netra-Organisation")
        or None
    )


def _own(request: HttpRequest, slug: str | None) -> Principal | None:
    """In the organisation last chosen if that still holds, else in the oldest; None without any."""
    assert isinstance(request.user, User)
    for choice in (slug, None) if slug else (None,):
        try:
            return principal_for(request.user.pk, choice)
        except NotAllowedError:
            request.session.pop(SESSION_ORGANISATION, None)
    return None


def _scope(request: HttpRequest, principal: Principal | None) -> Scope | None:
    if (
        request.path.startswith(ADMIN)
        and request.user.is_authenticated
        and request.user.is_staff
    ):
        return staff(request.user.pk)
    return principal.scope if principal else None


def _in_scope(scope: Scope, chunks: Iterator[bytes]) -> Iterator[bytes]:
    # Opened for each chunk: a scope held across a yield would leak into whatever runs between.
    end = object()
    while True:
        with scope:
            chunk = next(chunks, end)
        if chunk is end:
            return
        assert isinstance(chunk, bytes)
        yield chunk


def _refused(
    request: HttpRequest, error: NetraError, principal: Principal | None
) -> HttpResponseBase:
    receipt_id = refusals.receipt_for(principal, error, request=request)
    if request.path.startswith(API):
        return refusals.problem(error, receipt_id=receipt_id)
    return refusals.page(request, error, receipt_id=receipt_id)
