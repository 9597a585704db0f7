"""Reading a token that a provider signed: signature always, then every claim that protects us."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from apps.accounts.admission import SUB_LENGTH
from apps.accounts.models import IdentityProvider
from apps.accounts.oidc import errors
from apps.accounts.oidc.metadata import Key, keys_of, metadata_of

LARGEST = 16 * 1024
LEEWAY_SECONDS = 60
SHORTEST_RSA = 2048
# Which keys a signature may be checked with: never a shared secret, never none.
ALGORITHMS: dict[str, dict[str, str]] = {
    "RS256": {"kty": "RSA"},
    "PS256": {"kty": "RSA"},
    "ES256": {"kty": "EC", "crv": "P-256"},
    "EdDSA": {"kty": "OKP", "crv": "Ed25519"},
}
# A token that brings its own key, or rules that we do not know, proves nothing.
FORBIDDEN_HEADERS = ("jwk", "x5u", "x5c", "crit", "b64", "zip", "enc")
TEXTS = ("email", "name", "given_name", "family_name", "preferred_username")
ID_TOKEN = frozenset({"", "jwt"})
LOGOUT_TOKEN = frozenset({"", "jwt", "logout+jwt"})
# What PyJWT raises, and what Python does at numbers and depths that PyJWT does not expect.
UNREADABLE = (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError)
Claims = dict[str, Any]


def read_id_token(
    provider: IdentityProvider, token: object, *, nonce: str, access_token: str = ""
) -> Claims:
    """The claims of an ID token that was made for this sign-in; raises a ProviderRefusedError."""
    claims = read_signed(provider, token, types=ID_TOKEN, required=("sub", "exp"))
    sub = claims.get("sub")
    if not isinstance(sub, str) or not sub or len(sub) > SUB_LENGTH:
        raise errors.TokenClaimsError(provider, claim="sub")
    told = claims.get("nonce")
    if not nonce or not secrets.compare_digest(str(told).encode(), nonce.encode()):
        raise errors.NonceError(provider)
    _check_bound(provider, token, claims, access_token)
    return claims


def read_signed(
    provider: IdentityProvider,
    token: object,
    *,
    types: frozenset[str],
    required: tuple[str, ...] = (),
) -> Claims:
    """The claims of any token of the provider for us: signature, issuer, audience, times.

    A logout token is read with LOGOUT_TOKEN; what only it must hold is checked by its reader.
    """
    if not isinstance(token, str) or not token:
        raise errors.TokenMissingError(provider)
    if len(token) > LARGEST:
        raise errors.TokenTooLargeError(provider, length=len(token))
    header = _header(provider, token, types)
    claims = _decoded(provider, token, header, required)
    _check_audience(provider, claims)
    check_plain(provider, claims)
    return claims


def check_plain(provider: IdentityProvider, said: Claims) -> None:
    """Refuse what one database keeps and another does not: NUL, halves of characters, NaN, endless depth."""
    try:
        text = json.dumps(said, allow_nan=False, ensure_ascii=False)
        text.encode()
    except (ValueError, RecursionError) as error:
        raise errors.TokenClaimsError(provider, reason="not plain") from error
    if r"\u0000" in text:
        raise errors.TokenClaimsError(provider, reason="not plain")


def check_person(provider: IdentityProvider, said: Claims) -> None:
    """Refuse a description of a person whose texts are none, wherever it came from."""
    check_plain(provider, said)
    for name in TEXTS:
        if not isinstance(said.get(name) or "", str):
            raise errors.TokenClaimsError(provider, claim=name)
    # Letters outside ASCII change their number with their case, and databases differ about which are alike.
    if not (said.get("email") or "").rpartition("@")[0].isascii():
        raise errors.TokenClaimsError(provider, claim="email")


def _header(provider: IdentityProvider, token: str, types: frozenset[str]) -> Claims:
    try:
        header: Claims = jwt.get_unverified_header(token)
    except UNREADABLE as error:
        raise errors.TokenMissingError(provider, reason="unreadable") from error
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise errors.TokenAlgorithmError(provider, alg=str(algorithm)[:40])
    for name in FORBIDDEN_HEADERS:
        if name in header:
            raise errors.TokenHeaderError(provider, header=name)
    if "jku" in header and header["jku"] != metadata_of(provider).jwks_uri:
        raise errors.TokenHeaderError(provider, header="jku")
    if str(header.get("typ") or "").lower() not in types:
        raise errors.TokenHeaderError(provider, header="typ")
    return header


def _decoded(
    provider: IdentityProvider, token: str, header: Claims, required: tuple[str, ...]
) -> Claims:
    wrong: jwt.InvalidSignatureError | None = None
    for key in _keys(provider, header):
        try:
            return _verified(provider, token, header["alg"], key, required)
        except jwt.InvalidSignatureError as error:
            wrong = error
        except UNREADABLE as error:
            raise _told(provider, error) from error
    raise errors.TokenSignatureError(provider) from wrong


def _verified(
    provider: IdentityProvider,
    token: str,
    algorithm: str,
    key: jwt.PyJWK,
    required: tuple[str, ...],
) -> Claims:
    claims: Claims = jwt.decode(
        token,
        key,
        algorithms=[algorithm],
        audience=provider.client_id,
        issuer=provider.issuer,
        leeway=LEEWAY_SECONDS,
        options={"require": ["iss", "aud", "iat", *required]},
    )
    return claims


def _told(provider: IdentityProvider, error: Exception) -> errors.ProviderRefusedError:
    kinds: tuple[tuple[type[jwt.PyJWTError], type[errors.ProviderRefusedError]], ...]
    kinds = (
        (jwt.ExpiredSignatureError, errors.TokenExpiredError),
        (jwt.ImmatureSignatureError, errors.TokenEarlyError),
        (jwt.InvalidIssuerError, errors.TokenIssuerError),
        (jwt.InvalidAudienceError, errors.TokenAudienceError),
    )
    for kind, refused in kinds:
        if isinstance(error, kind):
            return refused(provider)
    if isinstance(error, jwt.MissingRequiredClaimError):
        return errors.TokenClaimsError(provider, claim=error.claim)
    return errors.TokenClaimsError(provider, reason=type(error).__name__)


def _check_audience(provider: IdentityProvider, claims: Claims) -> None:
    """A token for several must say that we are the one who asked (OpenID Connect Core 3.1.3.7)."""
    audience, party = claims["aud"], claims.get("azp")
    several = isinstance(audience, list) and len(audience) > 1
    if (several or party is not None) and party != provider.client_id:
        raise errors.TokenAudienceError(provider, claim="azp")


def _check_bound(
    provider: IdentityProvider, token: object, claims: Claims, access_token: str
) -> None:
    """Where the ID token names the access token's digest, it must be that of the one we got."""
    told = claims.get("at_hash")
    if told is None or not access_token:
        return
    algorithm = jwt.get_unverified_header(str(token))["alg"]
    hashed = hashlib.sha512 if algorithm == "EdDSA" else hashlib.sha256
    digest = hashed(access_token.encode()).digest()
    half = base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=")
    if not secrets.compare_digest(str(told).encode(), half):
        raise errors.AccessTokenSwappedError(provider)


# -- keys ------------------------------------------------------------------------------


def _keys(provider: IdentityProvider, header: Claims) -> list[jwt.PyJWK]:
    """The provider's keys that this token may be signed with; looks again for a new one."""
    found = _fitting(keys_of(provider), header)
    if not found:
        found = _fitting(keys_of(provider, unknown=True), header)
    if not found:
        raise errors.TokenKeyError(provider, kid=str(header.get("kid"))[:100])
    return found


def usable_algorithms(keys: list[Key]) -> frozenset[str]:
    """The algorithms for which one of these keys could check a signature."""
    return frozenset(name for name in ALGORITHMS if _fitting(keys, {"alg": name}))


def _fitting(keys: list[Key], header: Claims) -> list[jwt.PyJWK]:
    algorithm, kid = header["alg"], header.get("kid")
    shape = ALGORITHMS[algorithm]
    fitting = []
    for key in keys:
        if (
            (kid is None or key.get("kid") == kid)
            and all(key.get(name) == value for name, value in shape.items())
            and key.get("use", "sig") == "sig"
            and key.get("alg", algorithm) == algorithm
            and _may_verify(key.get("key_ops"))
        ):
            fitting += _usable(key, algorithm)
    return fitting


def _may_verify(operations: object) -> bool:
    """RFC 7517 4.3: a list, and optional. What is no list allows nothing."""
    return operations is None or (
        isinstance(operations, list) and (not operations or "verify" in operations)
    )


def _usable(key: Key, algorithm: str) -> list[jwt.PyJWK]:
    """The key as PyJWT wants it, in a list that is empty when it is malformed or too short."""
    try:
        made = jwt.PyJWK(key, algorithm)
    except UNREADABLE:
        return []
    if isinstance(made.key, RSAPublicKey) and made.key.key_size < SHORTEST_RSA:
        return []
    return [made]
