"""The set-up check: what a provider tells about itself and what is set up here, looked at without any sign-in.

Fetches through the one guarded way out, twice at most; whatever goes wrong there is a finding.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from apps.accounts import outbound
from apps.accounts.doctor.findings import Finding, Grade
from apps.accounts.models import Domain, IdentityProvider
from apps.accounts.oidc import errors, tokens
from apps.accounts.oidc.metadata import MOST_KEYS, OPTIONAL, REQUIRED, WELL_KNOWN
from apps.accounts.outbound import Answer, OutboundError
from apps.accounts.presets import company_problem

Document = dict[str, Any]
CLOCK_WORTH_A_WORD = timedelta(seconds=20)
CLOCK_BREAKS = timedelta(seconds=tokens.LEEWAY_SECONDS)
SOON = timedelta(days=30)
DOMAINS_SHOWN = 20
SHOWN = 200


def examined(
    provider: IdentityProvider, domains: list[Domain], now: datetime
) -> list[Finding]:
    """Everything that can be said before anybody signs in, in the order of a sign-in."""
    here = [_switched_on(provider), _domains(provider, domains), _secret(provider, now)]
    problem = company_problem(provider.preset, provider.issuer)
    if problem:
        return [_fail("issuer", "Issuer", problem, "Correct the issuer."), *here]
    try:
        answer = outbound.get(provider.issuer.rstrip("/") + WELL_KNOWN)
        document = answer.json()
    except OutboundError as error:
        return [_unfetched(provider, error, "metadata", "Description"), *here]
    keys = _keys(provider, document)
    return [*_described(provider, document), keys, _clock(answer, now), *here]


def _described(provider: IdentityProvider, document: Document) -> list[Finding]:
    return [
        _issuer(provider, document),
        _endpoints(provider, document),
        _pkce(document),
        _algorithms(document),
        _names_itself(document),
        _token_auth(provider, document),
        _end_session(document),
        _back_channel(document),
    ]


# -- what the provider tells ---------------------------------------------------------------


def _issuer(provider: IdentityProvider, document: Document) -> Finding:
    told = document.get("issuer")
    if told == provider.issuer:
        return _ok("issuer", "Issuer", "It calls itself exactly as it is set up here.")
    return _fail(
        "issuer",
        "Issuer",
        f"It calls itself {str(told)[:SHOWN]!r}, but {provider.issuer!r} is set up here.",
        "Copy its own issuer to the letter, with or without the last slash.",
    )


def _endpoints(provider: IdentityProvider, document: Document) -> Finding:
    title = "Endpoints"
    wanted = [*REQUIRED, *(name for name in OPTIONAL if document.get(name))]
    if provider.ask_userinfo and "userinfo_endpoint" not in wanted:
        wanted.append("userinfo_endpoint")
    for name in wanted:
        url = document.get(name)
        if not isinstance(url, str):
            said = f"Its description lacks {name!r}."
            fix = "Ask whoever runs the provider, or correct the issuer: it may be another product’s."
            return _fail("endpoints", title, said, fix)
        try:
            outbound.check_url(url)
        except OutboundError as error:
            fix = "Let the provider publish a public https address for it."
            return _fail("endpoints", title, f"{name}: {error.message}", fix)
    return _ok("endpoints", title, f"{len(wanted)} endpoints have sound addresses.")


def _pkce(document: Document) -> Finding:
    title, told = (
        "Proof key (PKCE)",
        _texts(document, "code_challenge_methods_supported"),
    )
    if told is None:
        return _unknown(
            "pkce",
            title,
            "It does not say whether it takes S256; many that do are silent about it.",
            "A test login shows it.",
        )
    if "S256" in told:
        return _ok("pkce", title, "It takes S256, as Netra sends it.")
    return _fail(
        "pkce",
        title,
        "It does not take S256, and Netra sends nothing else.",
        "Switch on PKCE with S256 for this client at the provider.",
    )


def _algorithms(document: Document) -> Finding:
    title = "Signing algorithms"
    told = _texts(document, "id_token_signing_alg_values_supported")
    if told is None:
        return _unknown(
            "algorithms",
            title,
            "It does not say how it signs ID tokens.",
            "A test login shows it.",
        )
    taken = sorted(told & set(tokens.ALGORITHMS))
    if taken:
        return _ok("algorithms", title, f"It can sign with {', '.join(taken)}.")
    return _fail(
        "algorithms",
        title,
        "It signs with nothing that Netra takes: no signature or a shared secret proves nothing.",
        f"Let it sign ID tokens with one of {', '.join(tokens.ALGORITHMS)}.",
    )


def _names_itself(document: Document) -> Finding:
    title = "Answers name their issuer (RFC 9207)"
    if document.get("authorization_response_iss_parameter_supported") is True:
        return _ok(
            "answer_issuer", title, "Each answer says which provider it is from."
        )
    return _warn(
        "answer_issuer",
        title,
        "Answers do not say which provider they are from; state and nonce still tie them to one sign-in.",
        "Switch it on where the provider offers it; sign-in works without.",
    )


def _token_auth(provider: IdentityProvider, document: Document) -> Finding:
    title, name = "How Netra proves itself", "token_endpoint_auth_methods_supported"
    # Silence stands for the header (OpenID Connect Discovery 3).
    told = _texts(document, name) or frozenset({IdentityProvider.TokenAuth.BASIC})
    if not provider.secret:
        return _warn(
            "token_auth",
            title,
            "No client secret is kept here, so Netra proves nothing when it takes a code back.",
            "Make a client secret at the provider and enter it here.",
        )
    if provider.token_auth in told:
        return _ok("token_auth", title, f"It takes {provider.token_auth}.")
    ours = [way for way in IdentityProvider.TokenAuth.values if way in told]
    return _fail(
        "token_auth",
        title,
        f"It does not take {provider.token_auth}, which is set up here.",
        f"Choose {ours[0]} here."
        if ours
        else "Let this client prove itself by a client secret at the provider.",
    )


def _end_session(document: Document) -> Finding:
    title = "Signing out there"
    if document.get("end_session_endpoint"):
        return _ok("end_session", title, "Who signs out here is led to sign out there.")
    return _warn(
        "end_session",
        title,
        "It tells no way out, so who signs out here stays signed in there.",
        "Nothing has to be done; on shared machines people should sign out there too.",
    )


def _back_channel(document: Document) -> Finding:
    title = "Signing out from there"
    if document.get("backchannel_logout_supported") is True:
        return _ok(
            "back_channel",
            title,
            "It can tell Netra that somebody left, once the address below is entered there.",
        )
    return _warn(
        "back_channel",
        title,
        "It does not say that it tells when somebody left: sessions here end by their own limits.",
        "Use the directory (SCIM) or end sessions by hand when somebody has to leave at once.",
    )


# -- its keys and its clock ----------------------------------------------------------------


def _keys(provider: IdentityProvider, document: Document) -> Finding:
    title, url = "Keys", document.get("jwks_uri")
    if not isinstance(url, str):
        said = "Its description names no address for its keys."
        return _fail("keys", title, said, "Ask whoever runs the provider.")
    try:
        told = outbound.get(url).json().get("keys")
    except OutboundError as error:
        return _unfetched(provider, error, "keys", title)
    listed = told if isinstance(told, list) else []
    keys = [key for key in listed if isinstance(key, dict)]
    try:
        usable = sorted(tokens.usable_algorithms(keys[:MOST_KEYS]))
    except tokens.UNREADABLE:
        usable = []
    if usable:
        said = f"Its keys can be used for {', '.join(usable)}; published: {len(keys)}."
        return _ok("keys", title, said)
    return _fail(
        "keys",
        title,
        f"No key can be used to check a signature; published: {len(keys)}.",
        f"Let it publish a signing key for one of {', '.join(tokens.ALGORITHMS)}, RSA with 2048 bits or more.",
    )


def _clock(answer: Answer, now: datetime) -> Finding:
    title = "Clocks"
    try:
        there = parsedate_to_datetime(answer.date)
        apart = abs((there if there.tzinfo else there.replace(tzinfo=UTC)) - now)
    except (ValueError, TypeError, IndexError, OverflowError):
        return _unknown(
            "clock", title, "Its answer carries no readable time.", "Compare by hand."
        )
    seconds = round(apart.total_seconds())
    unit = "second" if seconds == 1 else "seconds"
    said = f"Its clock and ours are {seconds} {unit} apart."
    if apart <= CLOCK_WORTH_A_WORD:
        return _ok("clock", title, said)
    tell = _fail if apart > CLOCK_BREAKS else _warn
    fix = f"Set both by a time server: from {CLOCK_BREAKS.seconds} seconds on, ID tokens are refused."
    return tell("clock", title, said, fix)


# -- what is set up here -------------------------------------------------------------------


def _switched_on(provider: IdentityProvider) -> Finding:
    title, place = "Switched on", provider.organisation
    if place.status != place.Status.ACTIVE:
        said = f"{place.name} is not active, so nobody of it comes in."
        return _fail("enabled", title, said, "Open the organisation again.")
    if provider.enabled:
        return _ok("enabled", title, "People may sign in through it.")
    return _warn(
        "enabled",
        title,
        "It is switched off: nobody can sign in through it, nor test it.",
        "Switch it on when the rest is as it should be.",
    )


def _domains(provider: IdentityProvider, domains: list[Domain]) -> Finding:
    title = "Proved domains"
    speaks = sorted(row.readable for row in domains if row.speaks)
    if speaks:
        more = " and more" if len(speaks) > DOMAINS_SHOWN else ""
        said = f"It may speak for {', '.join(speaks[:DOMAINS_SHOWN])}{more}."
        return _ok("domains", title, said)
    claimed = (
        f"{len(domains)} are claimed, none counts" if domains else "none is claimed"
    )
    return _fail(
        "domains",
        title,
        f"{provider.organisation.name} has proved no mail domain ({claimed}), so nobody comes in.",
        "Claim the company’s domain, let it set the TXT record, and check it.",
    )


def _secret(provider: IdentityProvider, now: datetime) -> Finding:
    title, end = "Client secret’s end", provider.secret_expires_at
    if end is None:
        said = "It is not on record when the client secret runs out."
        return _unknown("secret_end", title, said, "Enter the date, and Netra warns.")
    day = f"{end.day} {end:%B %Y}"
    fix = "Make a new secret at the provider and enter it here."
    if end <= now:
        return _fail("secret_end", title, f"It ran out on {day}.", fix)
    if end - now <= SOON:
        return _warn("secret_end", title, f"It runs out on {day}.", fix)
    return _ok("secret_end", title, f"It runs out on {day}.")


# -- pieces --------------------------------------------------------------------------------


def _unfetched(
    provider: IdentityProvider, error: OutboundError, code: str, title: str
) -> Finding:
    """Down, slow, elsewhere or unreadable: what a sign-in would say, with the reason beside it."""
    refused = errors.told(provider, error)
    fix = "Ask whoever runs the provider; check the issuer for slips of the keyboard."
    return _fail(code, title, f"{refused.message} {error.message}", fix)


def _texts(document: Document, name: str) -> frozenset[str] | None:
    """A list of texts that the provider gives; None where it gives none."""
    told = document.get(name)
    if not isinstance(told, list):
        return None
    return frozenset(each for each in told if isinstance(each, str))


def _ok(code: str, title: str, said: str) -> Finding:
    return Finding(code=code, title=title, grade=Grade.OK, said=said)


def _warn(code: str, title: str, said: str, fix: str) -> Finding:
    return Finding(code=code, title=title, grade=Grade.WARN, said=said, fix=fix)


def _fail(code: str, title: str, said: str, fix: str) -> Finding:
    return Finding(code=code, title=title, grade=Grade.FAIL, said=said, fix=fix)


def _unknown(code: str, title: str, said: str, fix: str) -> Finding:
    return Finding(code=code, title=title, grade=Grade.UNKNOWN, said=said, fix=fix)
