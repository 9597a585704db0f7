"""What a provider tells about itself: its endpoints and its keys, fetched seldom and kept a little.

Kept in the shared cache under the organisation's name; what it says is checked before it is kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from django.core.cache import cache

from apps.accounts import outbound, presets
from apps.accounts.models import IdentityProvider
from apps.accounts.oidc import errors, keywatch
from apps.accounts.outbound import OutboundError
from apps.core.tenancy import topic

WELL_KNOWN = "/.well-known/openid-configuration"
KEPT_SECONDS = 600
REFETCH_SECONDS = 60  # an unknown key id makes us look again, this seldom
MOST_KEYS = 50
REQUIRED = ("authorization_endpoint", "token_endpoint", "jwks_uri")
OPTIONAL = ("userinfo_endpoint", "end_session_endpoint")
Key = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """The part of a provider's discovery document that we use."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str = ""
    end_session_endpoint: str = ""
    names_itself: bool = False  # every answer carries `iss` (RFC 9207)


def metadata_of(provider: IdentityProvider) -> Metadata:
    """The provider's description of itself; raises a ProviderRefusedError."""
    if presets.company_problem(provider.preset, provider.issuer):
        raise errors.IssuerNotOneCompanyError(provider, issuer=provider.issuer)

    def fetched() -> dict[str, Any]:
        document = _fetched(provider, provider.issuer.rstrip("/") + WELL_KNOWN)
        return asdict(_checked(provider, document))

    return Metadata(**_kept(_name(provider, "metadata", provider.issuer), fetched))


def keys_of(provider: IdentityProvider, *, unknown: bool = False) -> list[Key]:
    """The keys that the provider publishes; with `unknown` fetched anew, at most once a minute."""
    uri = metadata_of(provider).jwks_uri
    name = _name(provider, "keys", uri)

    def fetched() -> list[Key]:
        try:
            keys = _fetched(provider, uri).get("keys")
            if not isinstance(keys, list):
                raise errors.BadMetadataError(provider, lacks="keys")
        except errors.ProviderRefusedError:
            keywatch.note_failure(provider)
            raise
        found = [key for key in keys[:MOST_KEYS] if isinstance(key, dict)]
        keywatch.note_keys(provider, found)
        return found

    if unknown and cache.add(f"{name}.again", 1, REFETCH_SECONDS):
        fresh: list[Key] = fetched()
        cache.set(name, fresh, KEPT_SECONDS)
        return fresh
    kept: list[Key] = _kept(name, fetched)
    return kept


def forget(provider: IdentityProvider) -> None:
    """Fetch anew at the next sign-in, as after a change of the provider."""
    cache.delete(_name(provider, "metadata", provider.issuer))


def _kept(name: str, fetch: Callable[[], Any]) -> Any:
    found = cache.get(name)
    if found is None:
        found = fetch()
        cache.set(name, found, KEPT_SECONDS)
    return found


def _name(provider: IdentityProvider, what: str, address: str) -> str:
    digest = hashlib.sha256(address.encode()).hexdigest()[:16]
    return topic(provider.organisation_id, "oidc", what, provider.pk.hex, digest)


def _fetched(provider: IdentityProvider, url: str) -> dict[str, Any]:
    try:
        return outbound.get(url).json()
    except OutboundError as error:
        raise errors.told(provider, error) from error


def _checked(provider: IdentityProvider, document: dict[str, Any]) -> Metadata:
    issuer = document.get("issuer")
    if issuer != provider.issuer:
        raise errors.MetadataIssuerError(
            provider, told=str(issuer)[:200], expected=provider.issuer
        )
    found = {name: document.get(name) for name in REQUIRED}
    found |= {name: document[name] for name in OPTIONAL if document.get(name)}
    for name, url in found.items():
        if not isinstance(url, str):
            raise errors.BadMetadataError(provider, lacks=name)
        try:
            outbound.check_url(url)
        except OutboundError as error:
            raise errors.told(provider, error) from error
    announced = document.get("authorization_response_iss_parameter_supported")
    return Metadata(
        issuer=provider.issuer,
        names_itself=announced is True,
        **found,  # type: ignore[arg-type]  # each was seen to be a string
    )
