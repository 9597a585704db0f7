"""How the HTTP API learns who asks: bearer token or session. Views must not be imported here."""

from __future__ import annotations

import hashlib
import logging

from django.core.cache import cache
from rest_framework import authentication, exceptions
from rest_framework.request import Request

from apps.accounts import actions
from apps.accounts.access import Principal, principal_from_token
from apps.accounts.models import User
from apps.core.database import write_now
from apps.core.errors import NotAuthenticatedError
from apps.core.tenancy import topic
from apps.core.transactions import TransactionError

log = logging.getLogger(__name__)
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

    def authenticate(self, request: Request) -> tuple[User, Principal] | None:
        found = super().authenticate(request)
        if found is None:
            return None
        principal = getattr(request, "principal", None)
        if not isinstance(principal, Principal):
            raise exceptions.PermissionDenied("You belong to no active organisation.")
        return found[0], principal


def _note_use(principal: Principal, secret: str) -> None:
    # At most one write in five minutes and process, whatever a client does.
    mark = hashlib.sha256(secret.encode()).hexdigest()
    if cache.add(
        topic(principal.organisation_id, "token", mark), "", USE_NOTED_SECONDS
    ):
        try:
            write_now(principal.scope, lambda: actions.note_token_use(secret=secret))
        except TransactionError as error:
            # On a full disk what can be read is still read.
            log.info("%s", error.message, extra={"action": "token.use_not_noted"})
