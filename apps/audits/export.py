"""A chain as lines of JSON, to be checked by somebody who has nothing of ours but a public key.

The form: a header, entries and checkpoints in order of number, an end. clients/verify_trail.py reads it.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from apps.audits import chain, checkpoints, trail
from apps.audits.acts import Act
from apps.audits.keyring import public_key
from apps.audits.models import Checkpoint, Entry, Head
from apps.core.actors import Actor
from apps.core.clock import clock
from apps.core.database import write_now
from apps.core.errors import NotFoundError
from apps.core.tenancy import tenant

FORM = 1
BATCH = 500
ENTRY = ("seq", "body", "key_id", "previous", "digest", "code")


@dataclass(frozen=True, slots=True)
class Part:
    """Which entries of a chain are exported: from one number to another."""

    chain_id: UUID
    first: int
    last: int


def begin(
    *,
    actor: Actor,
    chain_id: UUID,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Part:
    """Seal that an export was taken, and sign the chain as far as it reaches.

    The export ends with a checkpoint, so that each of its entries is covered by a signature: a few
    may be younger than `until`. Raises NotFoundError where the period holds nothing.
    """

    def unit() -> Part:
        trail.locked_head(chain_id)
        part = _part(chain_id, since, until)
        trail.record(
            Act.EXPORTED,
            actor=actor,
            organisation_id=chain_id,
            target=f"trail:{chain_id}",
            first=part.first,
            last=part.last,
        )
        signed = checkpoints.make(chain_id, now=clock.now())
        last = _signed_from(chain_id, part.last) if until else signed
        return Part(chain_id, part.first, last)

    part = write_now(tenant(chain_id), unit)
    checkpoints.copy_out(chain_id)
    return part


def _part(chain_id: UUID, since: datetime | None, until: datetime | None) -> Part:
    head = Head.objects.get(organisation_id=chain_id)
    rows = Entry.objects.filter(
        organisation_id=chain_id, seq__gte=head.first_kept
    ).order_by("seq")
    # By number, once the borders are found: moments of neighbours may be equal.
    first = rows.filter(at__gte=since) if since else rows
    last = rows.filter(at__lt=until) if until else rows
    begins = first.values_list("seq", flat=True).first()
    ends = last.values_list("seq", flat=True).last()
    if begins is None or ends is None or ends < begins:
        if since or until:
            raise NotFoundError("The trail holds nothing of that time.")
        begins, ends = head.first_kept, head.seq
    return Part(chain_id, int(begins), int(ends))


def _signed_from(chain_id: UUID, seq: int) -> int:
    """The first checkpoint's number from `seq` on."""
    rows = Checkpoint.objects.filter(organisation_id=chain_id, seq__gte=seq)
    return int(rows.order_by("seq").values_list("seq", flat=True)[0])


def lines(part: Part, *, organisation: str) -> Iterator[str]:
    """The export, line by line, read in batches; each batch opens the scope anew."""
    yield _line("netra-trail", form=FORM, chain=str(part.chain_id), organisation=organisation,
                first=part.first, last=part.last, public_keys=_public_keys(part))  # fmt: skip
    after, entries, signed = part.first - 1, 0, 0
    while rows := _entries(part, after):
        upto = rows[-1][0]
        for row in rows:
            yield _line("entry", **_named(row))
        # A checkpoint follows the entry that it speaks of, within a batch.
        for mark in _checkpoints(part, after, upto):
            yield _line("checkpoint", **mark)
            signed += 1
        after, entries = upto, entries + len(rows)
    yield _line("end", entries=entries, checkpoints=signed)


def _line(kind: str, **values: chain.Value) -> str:
    return chain.canonical({"kind": kind, **values}) + "\n"


def _named(row: tuple[int, str, str, str, str, str]) -> dict[str, chain.Value]:
    return dict(zip(ENTRY, row, strict=True))


def _entries(part: Part, after: int) -> list[tuple[int, str, str, str, str, str]]:
    with tenant(part.chain_id):
        rows = Entry.objects.filter(
            organisation_id=part.chain_id, seq__gt=after, seq__lte=part.last
        )
        return list(rows.order_by("seq").values_list(*ENTRY)[:BATCH])


def _checkpoints(part: Part, after: int, upto: int) -> list[dict[str, chain.Value]]:
    with tenant(part.chain_id):
        rows = Checkpoint.objects.filter(
            organisation_id=part.chain_id, seq__gt=after, seq__lte=upto
        )
        return list(rows.order_by("seq").values(*checkpoints.COLUMNS))


def _public_keys(part: Part) -> dict[str, chain.Value]:
    """The public halves of the keys that signed it, base64."""
    with tenant(part.chain_id):
        rows = Checkpoint.objects.filter(organisation_id=part.chain_id)
        names = list(rows.order_by().values_list("key_id", flat=True).distinct())
    found = {name: public_key(name) for name in sorted(names)}
    return {
        name: base64.b64encode(
            key.public_bytes(Encoding.Raw, PublicFormat.Raw)
        ).decode()
        for name, key in found.items()
        if key is not None
    }
