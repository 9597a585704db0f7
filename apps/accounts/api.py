"""What API views of all apps stand on: the scope of whoever asks, and its name in OpenAPI."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from functools import update_wrapper
from typing import Any, ClassVar, TypeVar

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import close_old_connections
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.parsers import BaseParser
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.views import APIView

from apps.accounts.access import Principal
from apps.accounts.permissions import TokenScope
from apps.core.bodies import StrictJSONParser
from apps.core.database import Proof, retrying, write_now
from apps.core.errors import NotAllowedError, NotFoundError

Result = TypeVar("Result")


class TokenLimitedError(NotAllowedError):
    """This token is not for that."""

    code = "token_limited"
    fix = "Use a token that is limited to less, or to something else."


class ScopedAPIView(APIView):
    """A view that runs in the scope of whoever asks, whichever way they proved it."""

    parser_classes: Sequence[type[BaseParser]] = (StrictJSONParser,)
    # What a limited token must be for; a view that names nothing takes none of them.
    token_scope: ClassVar[TokenScope | None] = None
    token_scope_to_write: ClassVar[TokenScope | None] = None  # where it is another
    open_to_all_tokens: ClassVar[bool] = False
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
        self._check_token(principal, request)

    def _check_token(self, principal: Principal, request: Request) -> None:
        writes = request.method not in SAFE_METHODS
        needed = (writes and self.token_scope_to_write) or self.token_scope
        if not (self.open_to_all_tokens or principal.allows(needed)):
            raise TokenLimitedError(values={"needed": needed or "an unlimited token"})

    @property
    def principal(self) -> Principal:
        """Who asks. Only for views that require authentication."""
        assert isinstance(self.request.auth, Principal)
        return self.request.auth

    def write(
        self, unit: Callable[[], Result], *, proof: Proof[Result] | None = None
    ) -> Result:
        """Run one unit of writing for whoever asks; again after a passing conflict."""
        scope = self.principal.scope
        return retrying(lambda: write_now(scope, unit, proof=proof))


class PatientAPIView(ScopedAPIView):
    """A view that may answer later: first the ordinary part, then a wait on the event loop.

    The ordinary part sets `later`, or streams. Meanwhile it holds no database connection.
    """

    later: Callable[[], Awaitable[HttpResponseBase]] | None = None

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = super().dispatch(request, *args, **kwargs)
        if self.later is not None:
            setattr(response, "later", self.later)  # noqa: B010 - Django's type has no such attribute
        if self.later is not None or response.streaming:
            close_old_connections()
        return response

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Any:
        ordinary: Any = super().as_view(**initkwargs)

        async def patient(
            request: HttpRequest, *args: Any, **kwargs: Any
        ) -> HttpResponseBase:
            response = await sync_to_async(ordinary)(request, *args, **kwargs)
            later = getattr(response, "later", None)
            if later is not None:
                response = await later()
            assert isinstance(response, HttpResponseBase)
            return response

        return update_wrapper(patient, ordinary)


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
        name = settings.SESSION_COOKIE_NAME
        return {"type": "apiKey", "in": "cookie", "name": name}
