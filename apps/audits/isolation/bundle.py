"""Writes an audit as one signed file for a customer: a head, a line for each probe, a signed end.

Whoever holds it checks it with verifying.py, which imports nothing of ours.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.conf import settings

from apps.audits import chain
from apps.audits.isolation.verifying import FORM, START, link
from apps.audits.keyring import SIGNING, keyring, public_key, sign
from apps.audits.models import IsolationAudit, Probe
from apps.core.errors import ConflictError
from apps.core.keys import KeyStoreError

COLUMNS = (
    "number",
    "kind",
    "surface",
    "check_name",
    "outcome",
    "request",
    "expected",
    "got",
    "digest",
)


class NotOverError(ConflictError):
    """This audit has no bundle: it did not come to an end, or its probes are no longer kept."""

    code = "audit_without_bundle"
    fix = "Run another audit."


def lines(audit: IsolationAudit) -> Iterator[str]:
    """The lines of an ended audit's bundle. Call it in a scope that sees audits."""
    probes = Probe.objects.filter(audit_id=audit.pk).order_by("number")
    total = audit.held + audit.breached + audit.inconclusive
    if audit.ended_at is None or not total or probes.count() != total:
        raise NotOverError
    name = keyring().newest(SIGNING)
    digest = START
    for body in (_head(audit, name), *map(_line, probes.values(*COLUMNS))):
        text = chain.canonical(body)
        digest = link(digest, text)
        yield text
    yield _end(audit, name, digest, total)


def _head(audit: IsolationAudit, name: str) -> dict[str, chain.Value]:
    return {
        "form": FORM,
        "audit": str(audit.pk),
        "installation": settings.NETRA_PUBLIC_URL,
        "release": audit.release,
        "database": audit.database,
        "trigger": audit.trigger,
        "began_at": chain.stamp(audit.began_at),
        "key_id": name,
        "public_key": published_key(name),
    }


def published_key(name: str = "") -> str:
    """The public half of the signing key, in base64, as customers are given it."""
    name = name or keyring().newest(SIGNING)
    key = public_key(name)
    if key is None:
        raise KeyStoreError(f"there is no signing key {name!r}")
    return base64.b64encode(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


def _line(row: dict[str, chain.Value]) -> dict[str, chain.Value]:
    return {"check" if n == "check_name" else n: value for n, value in row.items()}


def _end(audit: IsolationAudit, name: str, digest: str, total: int) -> str:
    body: dict[str, chain.Value] = {
        "digest": digest,
        "verdict": audit.verdict,
        "probes": total,
        "surfaces": audit.surfaces,
        "held": audit.held,
        "breached": audit.breached,
        "inconclusive": audit.inconclusive,
        "ended_at": chain.stamp(audit.ended_at) if audit.ended_at else None,
    }
    signature = base64.b64encode(sign(name, chain.canonical(body))).decode()
    return chain.canonical(body | {"signature": signature})
