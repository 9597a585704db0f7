"""allauth's OpenID Connect provider and its way to the provider's server, hardened.

Which checks a token meets is told by `tokens`; pages and refusals belong to `views`.
"""

from __future__ import annotations

import secrets
import time
from typing import Any
from urllib.parse import urlencode, urlsplit

from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialApp, SocialLogin, SocialToken
from allauth.socialaccount.providers.base.constants import AuthProcess
from allauth.socialaccount.providers.oauth2.client import OAuth2Client
from allauth.socialaccount.providers.oauth2.utils import generate_code_challenge
from allauth.socialaccount.providers.openid_connect.provider import (
    OpenIDConnectProvider,
)
from allauth.socialaccount.providers.openid_connect.views import (
    OpenIDConnectOAuth2Adapter,
)
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.http import HttpRequest, HttpResponse
from django.utils.functional import cached_property

from apps.accounts import access, outbound, waymarks
from apps.accounts.models import IdentityProvider
from apps.accounts.oidc import errors, tokens
from apps.accounts.oidc.companies import check_company
from apps.accounts.oidc.metadata import Metadata, metadata_of
from apps.accounts.outbound import OutboundError
from apps.accounts.waymarks import Step

OK = 200
LONGEST_TOKEN = 16 * 1024
LONGEST_STATED = 254
STATED_CLAIMS = ("aud", "iss", "nonce")  # of the ID token alone, never of userinfo


class Client(OAuth2Client):  # type: ignore[misc]  # allauth ships no types
    """Exchanges the code, through the one guarded way out."""

    def __init__(self, *given: Any, provider: IdentityProvider, **named: Any) -> None:
        super().__init__(*given, **named)
        self.provider = provider

    def get_redirect_url(
        self, authorization_url: str, scope: list[str], extra_params: dict[str, str]
    ) -> str:
        asked = {
            "client_id": self.consumer_key,
            "redirect_uri": self.callback_url,
            "response_type": "code",
            "scope": " ".join(scope),
            "state": self.state,
        }
        joint = "&" if urlsplit(authorization_url).query else "?"
        return f"{authorization_url}{joint}{urlencode({**extra_params, **asked})}"

    def get_access_token(
        self, code: str, pkce_code_verifier: str | None = None, extra_data: Any = None
    ) -> dict[str, Any]:
        fields = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.callback_url,
            "code_verifier": pkce_code_verifier or "",
        }
        basic = None
        if self.basic_auth:
            basic = (self.consumer_key, self.consumer_secret)
        else:
            fields["client_id"] = self.consumer_key
            if self.consumer_secret:
                fields["client_secret"] = self.consumer_secret
        try:
            answer = outbound.post_form(self.access_token_url, fields, basic=basic)
            if answer.status >= 500:
                raise errors.ProviderDownError(self.provider, status=answer.status)
            if answer.status != OK:
                raise errors.CodeRefusedError(self.provider, status=answer.status)
            return answer.json()
        except OutboundError as error:
            raise errors.told(self.provider, error) from error


class Adapter(OpenIDConnectOAuth2Adapter):  # type: ignore[misc]  # allauth ships no types
    """The way to one provider during one request."""

    client_class = Client
    nonce = ""

    @cached_property
    def row(self) -> IdentityProvider:
        """Our row of the provider; raises SocialApp.DoesNotExist."""
        found = access.provider_for(self.provider_id)
        if found is None:
            raise SocialApp.DoesNotExist
        return found

    @cached_property
    def metadata(self) -> Metadata:
        return metadata_of(self.row)

    @property
    def openid_config(self) -> dict[str, str]:
        """What allauth itself may ask for."""
        told = self.metadata
        return {
            "issuer": told.issuer,
            "authorization_endpoint": told.authorization_endpoint,
            "token_endpoint": told.token_endpoint,
            "jwks_uri": told.jwks_uri,
            "userinfo_endpoint": told.userinfo_endpoint,
        }

    @property
    def basic_auth(self) -> bool:
        return bool(self.row.token_auth == IdentityProvider.TokenAuth.BASIC)

    def get_client(self, request: HttpRequest, app: SocialApp) -> Client:
        return self.client_class(
            request,
            app.client_id,
            app.secret,
            self.access_token_method,
            self.access_token_url,
            self.get_callback_url(request, app),
            basic_auth=self.basic_auth,
            provider=self.row,
        )

    def complete_login(
        self, request: HttpRequest, app: SocialApp, token: SocialToken, **told: Any
    ) -> SocialLogin:
        claims = tokens.read_id_token(
            self.row,
            told["response"].get("id_token"),
            nonce=self.nonce,
            access_token=token.token,
        )
        check_company(self.row, claims)
        waymarks.mark(request, Step.TOKEN)
        data: dict[str, Any] = {"id_token": claims}
        if self.row.ask_userinfo or not claims.get("email"):
            data["userinfo"] = self._person(claims, token.token)
        tokens.check_person(self.row, data.get("userinfo", claims))
        return self.get_provider().sociallogin_from_response(request, data)

    def _person(self, claims: dict[str, Any], access_token: str) -> dict[str, Any]:
        """What both documents say of the person: userinfo may leave out what the ID token has."""
        url = self.metadata.userinfo_endpoint
        if not url:
            return claims
        try:
            answer = outbound.get(url, bearer=access_token).json()
        except OutboundError as error:
            raise errors.told(self.row, error) from error
        if answer.get("sub") != claims["sub"]:
            raise errors.OtherPersonError(self.row)
        person = {k: v for k, v in claims.items() if k not in STATED_CLAIMS}
        return {**person, **answer}

    def parse_token(self, data: dict[str, Any]) -> SocialToken:
        """The access token, for userinfo only: it is never stored."""
        token = data.get("access_token")
        if not isinstance(token, str) or not 0 < len(token) <= LONGEST_TOKEN:
            raise errors.TokenMissingError(self.row, token="access_token")  # noqa: S106 - a name
        return SocialToken(token=token)


class Answer(SocialLogin):  # type: ignore[misc]  # allauth ships no types
    """What a provider said. Whom it means, and whether anything of it is kept, decides admission."""

    def lookup(self) -> None:
        """Find nobody, and write nothing: allauth would keep what was said before anybody judged it."""
        self._did_authenticate_by_email = None


class Provider(OpenIDConnectProvider):  # type: ignore[misc]  # allauth ships no types
    """One organisation's provider. What the caller writes into the login URL is ignored."""

    oauth2_adapter_class = Adapter
    supports_token_authentication = False

    def serialize(self) -> dict[str, Any]:
        """What a sign-in that waits for a second factor is found by: one protocol, many providers."""
        return {"id": self.sub_id, "app.client_id": self.app.client_id}

    def get_pkce_params(self) -> dict[str, str]:
        params: dict[str, str] = generate_code_challenge()
        return params

    def get_redirect_from_request_kwargs(self, request: HttpRequest) -> dict[str, Any]:
        wanted = super().get_redirect_from_request_kwargs(request)
        return {
            **wanted,
            "process": AuthProcess.LOGIN,
            "scope": self.get_scope(),
            "auth_params": self.get_auth_params_from_request(request, action=None),
        }

    def get_scope_from_request(self, request: HttpRequest) -> list[str]:
        scope: list[str] = self.get_scope()
        return scope

    def get_auth_params_from_request(
        self, request: HttpRequest, action: object
    ) -> dict[str, str]:
        """Nothing of the caller's but an e-mail address to begin with."""
        params: dict[str, str] = self.get_auth_params()
        hint = request.GET.get("login_hint", "")
        if 0 < len(hint) <= LONGEST_STATED and _is_address(hint):
            params["login_hint"] = hint
        return params

    def redirect(
        self,
        request: HttpRequest,
        process: str,
        next_url: str | None = None,
        data: Any = None,
        **more: Any,
    ) -> HttpResponse:
        """Send the browser there, with a nonce that only the ID token of this sign-in will have."""
        nonce = secrets.token_urlsafe(32)
        params = more.pop("auth_params", None)
        params = self.get_auth_params() if params is None else dict(params)
        response: HttpResponse = super().redirect(
            request,
            process,
            next_url,
            data,
            auth_params={**params, "nonce": nonce},
            nonce=nonce,
            sent=round(time.time(), 3),
            **more,
        )
        return response

    def sociallogin_from_response(
        self, request: HttpRequest, response: dict[str, Any]
    ) -> Answer:
        said = super().sociallogin_from_response(request, response)
        return Answer(
            user=said.user,
            account=said.account,
            email_addresses=said.email_addresses,
            provider=self,
        )

    def extract_email_addresses(self, data: dict[str, Any]) -> list[EmailAddress]:
        addresses: list[EmailAddress] = super().extract_email_addresses(data)
        for address in addresses:
            address.verified = says_yes(address.verified)
        return addresses


def says_yes(value: object) -> bool:
    """Some providers write their booleans as text."""
    return value is True or value == "true"


def _is_address(text: str) -> bool:
    try:
        validate_email(text)
    except ValidationError:
        return False
    return True
