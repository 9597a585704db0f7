"""allauth's override points: sign-up is closed, providers are our rows, admission has the rules.

What hardens the protocol is in oidc; the rules that hold for every way in are in entry.
"""

from __future__ import annotations

from typing import Any, NoReturn

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.internal.stagekit import clear_login
from allauth.core import context
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialLogin
from django.http import HttpRequest, HttpResponse

from apps.accounts import access, admission, refusals, waymarks
from apps.accounts.admission import Claims, SignInRefusedError
from apps.accounts.models import IdentityProvider, Membership, User
from apps.accounts.oidc import answers
from apps.accounts.sessions import evidence, farewell, stepup
from apps.accounts.signin import entry, failures
from apps.accounts.signin.entry import CompanySignInRequiredError
from apps.accounts.waymarks import Step
from apps.core.addresses import client_address
from apps.core.database import retrying, write_now
from apps.core.errors import NetraError
from apps.core.tenancy import tenant

PROTOCOL = "openid_connect"


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]  # allauth ships no types
    """Accounts are made by operators and by providers, never by sign-up."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def get_login_redirect_url(self, request: HttpRequest) -> str:
        return "/"

    def get_logout_redirect_url(self, request: HttpRequest) -> str:
        """Whoever came through a provider leaves there too, where it has a way."""
        there = farewell.way_out(request)
        return there or str(super().get_logout_redirect_url(request))

    def pre_login(
        self, request: HttpRequest, user: User, **told: Any
    ) -> HttpResponse | None:
        """The rules for all ways in. Whoever is refused has passed no step at all."""
        response: HttpResponse | None = super().pre_login(request, user, **told)
        if response is not None:
            return response
        try:
            entry.check(request, user)
        except CompanySignInRequiredError as error:
            clear_login(request)
            return refusals.password_refused(request, error.organisation, user, error)
        except NetraError as error:
            clear_login(request)
            return _refused_at_entry(request, error, told)
        if login := (told.get("signal_kwargs") or {}).get("sociallogin"):
            evidence.remember(request, login)
        return None

    def authentication_failed(self, request: HttpRequest, **given: Any) -> None:
        failures.note(client_address(request), str(given.get("email") or ""))

    def is_reauthentication_required(self, *, app: str, **_: Any) -> bool:
        return not stepup.stepped_up(context.request)

    def get_reauthentication_methods(self, user: User) -> list[dict[str, Any]]:
        """With a second factor set up, the password alone confirms nothing."""
        methods: list[dict[str, Any]] = super().get_reauthentication_methods(user)
        stronger = [way for way in methods if way["id"] != "reauthenticate"]
        return stronger or methods


class ProviderGoneError(SocialApp.DoesNotExist, ValueError):  # type: ignore[misc]  # no types
    """No such provider at present. A ValueError too: what allauth takes for a sign-in that lapsed."""


class SocialAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]  # allauth ships no types
    """Signing in through an organisation's own provider."""

    def list_apps(
        self,
        request: HttpRequest,
        provider: str | None = None,
        client_id: str | None = None,
    ) -> list[SocialApp]:
        # Without a name it would be the list of our customers.
        if provider is None or provider == PROTOCOL:
            return []
        row = access.provider_for(provider)
        if row is None or (client_id and client_id != row.client_id):
            return []
        return [_app(row)]

    def get_app(
        self, request: HttpRequest, provider: str, client_id: str | None = None
    ) -> SocialApp:
        found = self.list_apps(request, provider=provider, client_id=client_id)
        if not found:
            raise ProviderGoneError
        return found[0]

    def is_open_for_signup(
        self, request: HttpRequest, sociallogin: SocialLogin
    ) -> bool:
        return False

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """Let admission decide; from here on allauth sees an existing person or nobody."""
        provider = access.provider_for(sociallogin.account.provider)
        if provider is None:
            _refuse(request, None, _gone())
        try:
            if stepup.is_answer(sociallogin):
                stepup.confirm(request, sociallogin)
                return
            claims = answers.claims_in(sociallogin)
            user, role = retrying(
                lambda: write_now(
                    tenant(provider.organisation_id),
                    lambda: _admitted(provider, claims, sociallogin),
                )
            )
            waymarks.mark(request, Step.RULES)
            waymarks.give_role(request, role)
            sociallogin.user = user
        except SignInRefusedError as error:
            _refuse(request, provider, error)


def _app(row: IdentityProvider) -> SocialApp:
    return SocialApp(
        provider=PROTOCOL,
        provider_id=row.provider_id,
        name=row.name,
        client_id=row.client_id,
        secret=row.secret,
        settings={
            "server_url": row.issuer,
            "issuer": row.issuer,
            "uid_field": "sub",
            "oauth_pkce_enabled": True,
            "token_auth_method": row.token_auth,
            "fetch_userinfo": row.ask_userinfo,
            "hidden": True,
        },
    )


def _bind(login: SocialLogin, user: User) -> None:
    """Keep at allauth who it is; its own record of the identity must agree with ours."""
    if login.state.get("process") == "connect":
        raise SignInRefusedError(
            "An account cannot be joined with another company's sign-in.",
            rule="no_joining",
            fix="Sign out first, then sign in through your company.",
        )
    record = answers.record_of(login)
    if refusal := answers.against_record(record, user):
        raise refusal
    told = login.account
    # A new object in each try: the key of a row that was rolled back may be another's by now.
    kept = record or SocialAccount(user=user, provider=told.provider, uid=told.uid)
    kept.extra_data = told.extra_data
    kept.save()
    login.account = kept


def _admitted(
    provider: IdentityProvider, claims: Claims, login: SocialLogin
) -> tuple[User, str]:
    """Who may come in, and the role that they have from then on; written with allauth's record or not at all."""
    user = admission.admit(provider, claims)
    _bind(login, user)
    places = Membership.objects.filter(
        organisation_id=provider.organisation_id, user=user
    )
    return user, places.values_list("role", flat=True).first() or ""


def _refused_at_entry(
    request: HttpRequest, error: NetraError, told: dict[str, Any]
) -> HttpResponse:
    """What admission let pass and the last rules do not: on record where a provider led here."""
    login = (told.get("signal_kwargs") or {}).get("sociallogin")
    provider = access.provider_for(login.account.provider) if login else None
    if provider is not None and isinstance(error, SignInRefusedError):
        return refusals.sign_in_refused(request, provider, error, rule=error.rule)
    return refusals.page(request, error)


def _gone() -> SignInRefusedError:
    return SignInRefusedError(
        "This company's sign-in is switched off.",
        rule="provider_enabled",
        fix="Ask an owner of your organisation.",
    )


def _refuse(
    request: HttpRequest, provider: IdentityProvider | None, error: SignInRefusedError
) -> NoReturn:
    receipt_id = (
        refusals.sign_in_receipt(request, provider, error, rule=error.rule)
        if provider
        else None
    )
    raise ImmediateHttpResponse(
        refusals.page(request, error, receipt_id=receipt_id)
    ) from error
