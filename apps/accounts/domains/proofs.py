"""Looks up what a domain's owner set in DNS: bounded in time, and told apart from no answer at all.

Knows no tables. NETRA_DNS chooses the resolver: 'system', name servers, or 'zone', which asks
nobody and reads a table (demo and tests). What an answer means for a domain: actions.domains.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import dns.exception
import dns.name
import dns.rdatatype
import dns.resolver
from django.conf import settings

SYSTEM, ZONE = "system", "zone"
ZONE_SETTING = "NETRA_DNS_ZONE"  # a file, or in tests the table itself
ONE_TRY = 1.0  # seconds for one name server
ALL_TRIES = 3.0  # seconds for the whole look-up
RECORDS_READ = 50  # of one answer
ZONE_BYTES = 1_000_000


class Finding(StrEnum):
    """What a look-up found."""

    FOUND = "found"
    ABSENT = "absent"  # the domain's servers say: there is no such record
    OTHER = "other"  # there are records, and none holds the challenge
    ALIAS = "alias"  # the name is a CNAME: whoever holds its target would speak for the domain
    NO_ANSWER = "no answer"  # says nothing about the domain: never counted against it


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """The texts under one name, or why there are none."""

    texts: tuple[str, ...] = ()
    instead: Finding | None = None


def look_up(name: str, challenge: str) -> Finding:
    """Whether the TXT records of `name` hold the challenge. Takes seconds: never in a transaction."""
    records = _zone(name) if settings.NETRA_DNS == ZONE else _asked(name)
    if records.instead is not None:
        return records.instead
    if challenge in (text.strip() for text in records.texts):
        return Finding.FOUND
    return Finding.OTHER if records.texts else Finding.ABSENT


def _asked(name: str) -> Records:
    """What DNS answers."""
    try:
        wanted = dns.name.from_text(name)
        answer = _resolver().resolve(wanted, dns.rdatatype.TXT, search=False)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer, dns.name.LabelTooLong):
        return Records(instead=Finding.ABSENT)
    except (dns.exception.DNSException, OSError):
        return Records(instead=Finding.NO_ANSWER)
    # A wildcard alias to a hoster would let the hoster's other customers prove the domain.
    if answer.canonical_name != wanted:
        return Records(instead=Finding.ALIAS)
    return Records(texts=_texts(list(answer)[:RECORDS_READ]))


def _texts(rows: Iterable[object]) -> tuple[str, ...]:
    # One record may come in several strings; together they are its text.
    strings = (getattr(row, "strings", ()) for row in rows)
    return tuple(b"".join(parts).decode("utf-8", "replace") for parts in strings)


def _resolver() -> dns.resolver.Resolver:
    resolver = dns.resolver.Resolver(configure=settings.NETRA_DNS == SYSTEM)
    if settings.NETRA_DNS != SYSTEM:
        resolver.nameservers = settings.NETRA_DNS.split(",")
        resolver.port = settings.NETRA_DNS_PORT
    resolver.timeout, resolver.lifetime = ONE_TRY, ALL_TRIES
    resolver.cache = None
    return resolver


def _zone(name: str) -> Records:
    """What the table of the demo and the tests says; it knows nothing of names that it leaves out."""
    zone: Path | Mapping[str, object] = getattr(settings, ZONE_SETTING)
    table = _read(zone) if isinstance(zone, Path) else zone
    values = table.get(name)
    if not isinstance(values, list | tuple):
        return Records(instead=Finding.NO_ANSWER)
    return Records(texts=tuple(str(value) for value in values[:RECORDS_READ]))


def _read(file: Path) -> Mapping[str, object]:
    """The demo's zone: a JSON object from names to lists of texts; empty when it cannot be read."""
    try:
        with file.open("rb") as opened:
            table = json.loads(opened.read(ZONE_BYTES))
    except (OSError, ValueError):
        return {}
    return table if isinstance(table, dict) else {}
