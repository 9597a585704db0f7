"""URLs and views that only the tests of doors use."""

from __future__ import annotations

import json
from uuid import UUID

from django.core.exceptions import (
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
)
from django.db import DataError, OperationalError
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    JsonResponse,
    StreamingHttpResponse,
)
from django.urls import path
from rest_framework import exceptions, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts.api import ScopedAPIView
from apps.accounts.models import Membership
from apps.core.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    RateLimitedError,
    UnavailableError,
)
from apps.core.tenancy import NoScopeError, current_scope
from netra.urls import *  # noqa: F403 - the real handlers and pages stay
from netra.urls import urlpatterns as real

ERRORS: dict[str, Exception] = {
    "invalid": InvalidInputError(
        "'x' is not a colour.", field="colour", fix="Use 'red'."
    ),
    "absent": NotFoundError(),
    "conflict": ConflictError(values={"state": "completed"}),
    "limited": RateLimitedError(retry_after=7),
    "unavailable": UnavailableError(),
    "http404": Http404("secret detail"),
    "denied": PermissionDenied(),
    "big": RequestDataTooBig(),
    "odd": SuspiciousOperation("secret detail"),
    "deep": RecursionError(),
    "away": OperationalError("secret detail"),
    "data": DataError("integer out of range"),
    "surrogate": UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
    "overflow": OverflowError(),
    "throttled": exceptions.Throttled(wait=12),
    "bug": RuntimeError("secret detail"),
}


class Nested(serializers.Serializer):
    text = serializers.CharField(max_length=3)


class Input(serializers.Serializer):
    name = serializers.CharField()
    parts = Nested(many=True)

    def validate(self, attrs):
        if attrs["name"] == "rule":
            raise serializers.ValidationError("Not this name.")
        return attrs


class Failing(ScopedAPIView):
    def get(self, request: Request, which: str) -> Response:
        raise ERRORS[which]


class Mine(ScopedAPIView):
    def get(self, request: Request) -> Response:
        people = Membership.objects.order_by("user__email")
        return Response(
            {
                "organisation": self.principal.organisation_slug,
                "scope": str(current_scope().organisation_id),
                "members": [row.user.email for row in people],
            }
        )

    def post(self, request: Request) -> Response:
        given = Input(data=request.data)
        given.is_valid(raise_exception=True)
        return Response(given.data)


def scope(request: HttpRequest) -> HttpResponse:
    """What the middleware found and opened."""
    principal = request.principal  # type: ignore[attr-defined]
    try:
        kind = current_scope().kind
    except NoScopeError:
        kind = None
    return JsonResponse(
        {
            "kind": kind,
            "organisation": principal.organisation_slug if principal else None,
        }
    )


def stream(request: HttpRequest) -> StreamingHttpResponse:
    def chunks():
        for row in Membership.objects.order_by("user__email"):
            yield json.dumps(row.user.email).encode()

    return StreamingHttpResponse(chunks())


def failing(request: HttpRequest, which: str) -> HttpResponse:
    raise ERRORS[which]


def by_id(request: HttpRequest, thing: UUID) -> HttpResponse:
    return HttpResponse(str(thing))


urlpatterns = [
    path("api/v1/mine/", Mine.as_view()),
    path("api/v1/failing/<slug:which>/", Failing.as_view()),
    path("scope/", scope),
    path("admin/scope/", scope),
    path("api/v1/scope/", scope),
    path("stream/", stream),
    path("failing/<slug:which>/", failing),
    *real,
]
