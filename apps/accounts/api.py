"""How the HTTP API learns who asks: bearer token or session, and the scope its views run in."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from typing import Any

from django.core.cache import cache
from django.http.response import HttpResponseBase
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import authentication, exceptions
from rest_framework.request import Request
from rest_framework.views import APIView

from apps.accounts import actions
from apps.accounts.access import Principal, principal_from_token
from apps.accounts.models import User
from apps.core.database import write_now
from apps.core.errors import NotAuthenticatedError, NotFoundError
from apps.core.tenancy import topic

USE_NOTED_SECONDS = 300


class TokenAuthentication(authentication.BaseAuthentication):
    """`Authorization: Bearer TOKEN`. A credential that is there but bad is refused, never skipped."""

    def authenticate(self, request: Request) -> tuple[User, Principal] | None:
        header = request.headers.get("Authorization", "")
        if not header:
            return None
        scheme, _, secret = header.partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            raise exceptions.AuthenticationFailed(
                "Send the token as 'Authorization: Bearer TOKEN'."
            )
        try:
            principal = principal_from_token(secret.strip())
        except NotAuthenticatedError as error:
            raise exceptions.AuthenticationFailed(error.message) from error
        _note_use(principal, secret.strip())
        return User.objects.get(pk=principal.user_id), principal

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="netra"'


class SessionAuthentication(authentication.SessionAuthentication):
    """The browser's session, with CSRF; the middleware has found the organisation already."""

    def authenticate(self, request: Request) -> tuple[User, Principal] | None:  # type: ignore[override]  # auth is never None here
        found = super().authenticate(request)
        if found is None:
            return None
        principal = getattr(request, "principal", None)
        if not isinstance(principal, Principal):
            raise exceptions.PermissionDenied("You belong to no active organisation.")
        return found[0], principal


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


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[misc]  # drf-spectacular ships no types here
    """Names the bearer token in the OpenAPI document."""

    target_class = "apps.accounts.api.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer"}


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[misc]  # drf-spectacular ships no types here
    """Names the session cookie in the OpenAPI document."""

    target_class = "apps.accounts.api.SessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {"type": "apiKey", "in": "cookie", "name": "sessionid"}


def _note_use(principal: Principal, secret: str) -> None:
    # At most one write in five minutes and process, whatever a client does.
    mark = hashlib.sha256(secret.encode()).hexdigest()
    if cache.add(
        topic(principal.organisation_id, "token", mark), "", USE_NOTED_SECONDS
    ):
        write_now(principal.scope, lambda: actions.note_token_use(secret=secret))
