"""Mail domains as text: their one normal form, which are public, what a TXT record must hold. Pure.

What an organisation claims and proved are rows: models. Looking a record up: proofs.
"""

from __future__ import annotations

import re
import secrets

import idna

LONGEST = 253
CHALLENGE_LABEL = "_netra-challenge"
CHALLENGE_START = "netra-domain="
CHALLENGE_BYTES = 24
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_ENDING = re.compile(r"[a-z]{2,63}|xn--[a-z0-9-]{1,59}")

# Whose addresses anybody can have. Exact names: no part of a name decides anything here.
PUBLIC_MAIL_DOMAINS = frozenset(
    {
        "aol.com",
        "fastmail.com",
        "gmail.com",
        "gmx.at",
        "gmx.de",
        "gmx.net",
        "googlemail.com",
        "hey.com",
        "hotmail.com",
        "icloud.com",
        "live.com",
        "mac.com",
        "mail.com",
        "mail.ru",
        "me.com",
        "msn.com",
        "outlook.com",
        "pm.me",
        "proton.me",
        "protonmail.com",
        "qq.com",
        "web.de",
        "yahoo.com",
        "yandex.ru",
        "ymail.com",
        "zoho.com",
    }
)


def canonical(name: str) -> str:
    """The one form in which a domain is kept and compared: lower case, punycode, no dot at the end.

    Raises ValueError for what is no mail domain.
    """
    bare = name.strip().removeprefix("@").removesuffix(".")
    labels = bare.lower().split(".") if bare.isascii() else _encoded(bare).split(".")
    for label in labels:
        if not _LABEL.fullmatch(label):
            raise ValueError(f"{name!r} is no domain")
        if label.startswith("xn--"):
            _encoded(label)
    domain = ".".join(labels)
    if len(labels) < 2 or len(domain) > LONGEST or not _ENDING.fullmatch(labels[-1]):
        raise ValueError(f"{name!r} is no mail domain")
    return domain


def _encoded(name: str) -> str:
    try:
        return idna.encode(name, uts46=True, std3_rules=True).decode("ascii").lower()
    except idna.IDNAError as error:
        raise ValueError(f"{name!r} is no domain") from error


def readable(domain: str) -> str:
    """A domain with its own letters, for people: 'xn--mnchen-3ya.example' is 'münchen.example'."""
    try:
        return idna.decode(domain)
    except idna.IDNAError:
        return domain


def domain_of(email: str) -> str:
    """What stands behind the last @, in normal form; empty when there is no address."""
    local, at, domain = email.strip().rpartition("@")
    if not (local and at and domain.isprintable() and not domain.startswith("@")):
        return ""
    try:
        return canonical(domain)
    except ValueError:
        return ""


def normal_address(email: str) -> str:
    """An address in lower case with its domain in normal form; as it is when it is none."""
    local = email.strip().rpartition("@")[0].lower()
    domain = domain_of(email)
    return f"{local}@{domain}" if domain else email.strip().lower()


def is_public(domain: str) -> bool:
    """Whether anybody can have an address in it."""
    return domain in PUBLIC_MAIL_DOMAINS


def record_name(domain: str) -> str:
    """The name under which the proof is looked up."""
    return f"{CHALLENGE_LABEL}.{domain}"


def new_challenge() -> str:
    """What the TXT record of one claim must hold; nobody can guess it."""
    return CHALLENGE_START + secrets.token_urlsafe(CHALLENGE_BYTES)
