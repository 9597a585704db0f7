"""What is special about Google and Microsoft Entra as providers: their issuers. Pure.

What their ID tokens must say besides is checked by `oidc.companies`.
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

GOOGLE, ENTRA, GENERIC = "google", "entra", "generic"
GOOGLE_ISSUER = "https://accounts.google.com"
GOOGLE_HOSTS = frozenset({"accounts.google.com", "google.com", "www.google.com"})
ENTRA_HOSTS = frozenset(
    {
        "login.microsoftonline.com",
        "login.microsoftonline.us",
        "login.partner.microsoftonline.cn",
        "login.windows.net",
        "sts.windows.net",
    }
)
THIS_MACHINE = frozenset({"127.0.0.1", "localhost", "::1"})
PERSONAL_ACCOUNTS = "9188040d-6c67-4c5b-b112-36a304b66dad"
ONE_TENANT = re.compile(
    r"https://(login\.microsoftonline\.com|login\.microsoftonline\.us|login\.partner\.microsoftonline\.cn)"
    r"/(?P<tenant>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/v2\.0"
)


def effective(preset: str, issuer: str) -> str:
    """The preset whose rules hold: chosen, or known by the issuer's host."""
    host = _parts(issuer).hostname or ""
    if preset == ENTRA or host in ENTRA_HOSTS:
        return ENTRA
    if preset == GOOGLE or host in GOOGLE_HOSTS:
        return GOOGLE
    return GENERIC


def _parts(issuer: str) -> SplitResult:
    """The parts of an address; none of what cannot be read as one."""
    try:
        return urlsplit(issuer)
    except ValueError:
        return urlsplit("")


def tenant_of(issuer: str) -> str:
    """The Entra tenant that an issuer names; empty when it is not exactly one company's."""
    found = ONE_TENANT.fullmatch(issuer)
    tenant = found["tenant"] if found else ""
    return "" if tenant == PERSONAL_ACCOUNTS else tenant


def issuer_problem(preset: str, issuer: str) -> str:
    """Why a form should not take this issuer, as a sentence; empty when it can."""
    parts = _parts(issuer)
    if problem := company_problem(preset, issuer):
        return problem
    if parts.scheme != "https" and parts.hostname not in THIS_MACHINE:
        return "The issuer's address begins with https://."
    if "/.well-known/" in parts.path or parts.query or parts.fragment:
        return "Name the issuer itself, without '/.well-known/…' and without a query."
    return ""


def company_problem(preset: str, issuer: str) -> str:
    """Why this issuer is not exactly one company's, as a sentence; empty when it is."""
    rules = effective(preset, issuer)
    if rules == GOOGLE and issuer != GOOGLE_ISSUER:
        return f"Google's issuer is exactly {GOOGLE_ISSUER}."
    if rules == ENTRA and not tenant_of(issuer):
        return (
            "Name exactly one tenant: https://login.microsoftonline.com/TENANT-ID/v2.0 with the "
            "tenant's id. 'common', 'organizations' and 'consumers' would let anybody in."
        )
    return ""
