"""What API views of all apps stand on: the scope of whoever asks, and its name in OpenAPI."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from django.http.response import HttpResponseBase
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.request import Request
from rest_framework.views import APIView

from apps.accounts.access import Principal
from apps.core.errors import NotFoundError


class ScopedAPIView(APIView):
    """A view that runs in the scope of whoever asks, whichever way they proved it."""

    _scopes: ExitStack

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        with ExitStack() as self._scopes:
            response = super().dispatch(request, *args, **kwargs)
            render = getattr(response, "render", None)
            if callable(render):
                render()
            return response

    def perform_authentication(self, request: Request) -> None:
        super().perform_authentication(request)
        principal = request.auth
        if not isinstance(principal, Principal):
            return
        asked = request.headers.get("Netra-Organisation") or request.query_params.get(
            "organisation"
        )
        if asked and asked != principal.organisation_slug:
            raise NotFoundError(
                f"There is no organisation {asked!r} for you.", field="organisation"
            )
        self._scopes.enter_context(principal.scope)

    @property
    def principal(self) -> Principal:
        """Who asks. Only for views that require authentication."""
        assert isinstance(self.request.auth, Principal)
        return self.request.auth


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # drf-spectacular has few types
    """Names the bearer token in the OpenAPI document."""

    target_class = "apps.accounts.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer"}


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # drf-spectacular has few types
    """Names the session cookie in the OpenAPI document."""

    target_class = "apps.accounts.authentication.SessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {"type": "apiKey", "in": "cookie", "name": "sessionid"}
