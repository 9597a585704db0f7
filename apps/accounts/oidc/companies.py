"""What Google's and Microsoft's ID tokens must say besides: that the account is this company's."""

from __future__ import annotations

from collections.abc import Mapping

from apps.accounts import presets
from apps.accounts.access import proved_domains
from apps.accounts.models import IdentityProvider
from apps.accounts.oidc import errors


def check_company(provider: IdentityProvider, claims: Mapping[str, object]) -> None:
    """Refuse accounts that the issuer knows but that are not of this company."""
    rules = presets.effective(provider.preset, provider.issuer)
    if rules == presets.GOOGLE:
        _check_google(provider, claims)
    elif rules == presets.ENTRA:
        _check_entra(provider, claims)


def _check_google(provider: IdentityProvider, claims: Mapping[str, object]) -> None:
    """One issuer for the whole world: the hosted domain says whose account it is."""
    domain = str(claims.get("hd") or "").lower()
    if domain not in proved_domains(provider.organisation_id):
        raise errors.HostedDomainError(provider, hosted_domain=domain[:253])


def _check_entra(provider: IdentityProvider, claims: Mapping[str, object]) -> None:
    if claims.get("tid") != presets.tenant_of(provider.issuer):
        raise errors.OtherTenantError(provider, tenant=str(claims.get("tid"))[:64])
    left_out = claims.get("_claim_names")
    elsewhere = isinstance(left_out, dict) and provider.role_claim in left_out
    counted = provider.role_claim == "groups" and bool(claims.get("hasgroups"))
    if provider.role_claim and (elsewhere or counted):
        raise errors.GroupsLeftOutError(provider, claim=provider.role_claim)
