"""Walks chains and says where they do not hold. Reads only; what it finds is told to a callback.

One chain at a time: its entries in order, beside its signed checkpoints from rows and files.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db.models import CharField
from django.db.models.functions import Cast

from apps.audits import chain, checkpoints, witnesses
from apps.audits.acts import Act
from apps.audits.checkpoints import Signed
from apps.audits.keyring import trail_key
from apps.audits.models import Checkpoint, Entry, Head
from apps.audits.stored import UnreadableRowError, in_order
from apps.core.tenancy import system

BATCH = 2_000
VERIFYING = system("audit_verify: every chain, read only")
LOOKS = 3  # at a chain that retention shortens meanwhile
LINK = ("body", "key_id", "previous", "digest", "code")
CLAIMS = ("at", "act", "outcome", "actor_kind", "actor_id", "target")
MARK = ("digest", "at", *checkpoints.COLUMNS)


@dataclass(frozen=True, slots=True)
class Damage:
    """One thing that does not hold, with the number of the entry where it shows."""

    chain_id: UUID
    seq: int
    kind: str
    says: str


@dataclass(slots=True)
class Tally:
    """How much was looked at."""

    entries: int = 0
    checkpoints: int = 0
    proofs: Counter[str] = field(default_factory=Counter)


Tell = Callable[[Damage], None]
Watch = Callable[[int], None]


@dataclass(slots=True)
class _Walk:
    """One chain on the way: what the next entry must be, and what is still to be compared."""

    chain_id: UUID
    tally: Tally
    tell: Tell
    expected: int
    previous: str
    marks: list[tuple[int, str, str]]  # number, digest, whence; in order
    cut: tuple[int, str] | None = None  # what the last sealed cut says
    statements: dict[str, list[witnesses.Statement]] = field(default_factory=dict)
    place: str = field(init=False)

    def __post_init__(self) -> None:
        self.place = str(self.chain_id)

    def damage(self, seq: int, kind: str, says: str) -> None:
        self.tell(Damage(self.chain_id, seq, kind, says))

    def step(self, row: tuple[Any, ...]) -> bool:
        """Take the next entry; False where it does not hold."""
        link = _link(row, self.place)
        key = trail_key(link.key_id)
        fault = chain.broken(link, seq=self.expected, previous=self.previous, key=key)
        if fault is not None:
            seq = self.expected if fault.fault is chain.Fault.MISSING else link.seq
            self.damage(seq, fault.fault.value, fault.says)
            return False
        self.expected, self.previous = link.seq + 1, link.digest
        self.tally.entries += 1
        if not self.agrees():
            return False
        self._note(link)
        return True

    def agrees(self) -> bool:
        """Whether the checkpoints of the entry just taken say the same of it."""
        while self.marks and self.marks[0][0] < self.expected:
            seq, digest, whence = self.marks.pop(0)
            if seq == self.expected - 1 and digest != self.previous:
                says = f"entry {seq} is not the one that was signed ({whence})"
                self.damage(seq, "rewritten", says)
                return False
        return True

    def _note(self, link: chain.Link) -> None:
        act = str(link.columns["act"])
        if act == Act.TRAIL_CUT:
            told = json.loads(link.body)["details"]
            self.cut = int(told["first_kept"]), str(told["digest"])
        elif witnesses.witness_of(act) is not None:
            body = json.loads(link.body)
            told = witnesses.Statement(link.seq, body["target"], body["details"])
            waiting = self.statements.setdefault(act, [])
            waiting.append(told)
            if len(waiting) >= BATCH // 4:
                self.prove()

    def prove(self) -> None:
        """Compare what waits with the rows that it tells of."""
        for act, waiting in self.statements.items():
            witness = witnesses.witness_of(act)
            for verdict in witness(self.chain_id, waiting) if witness else ():
                self.tally.proofs[verdict.standing.value] += 1
                if verdict.standing is witnesses.Standing.BROKEN:
                    self.damage(verdict.seq, "execution", verdict.says)
        self.statements = {}


def chains(others: Iterable[UUID] = ()) -> list[UUID]:
    """Every chain that has a head, entries or checkpoints, and `others`."""
    found = set(others)
    with VERIFYING:
        for model in (Head, Checkpoint, Entry):
            # As texts: one that is no id, put there by hand, must not keep the others unseen.
            told = Cast("organisation_id", CharField())
            rows = model.objects.order_by().values_list(told, flat=True).distinct()
            found |= {chain_id for text in rows if (chain_id := _id(text))}
    return sorted(found)


def _id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def files(place: Path) -> dict[UUID, Path]:
    """The files of checkpoints in a folder, by chain. Raises ValueError for a foreign name."""
    return {UUID(file.stem): file for file in sorted(place.glob("*.ndjson"))}


def size(chain_ids: list[UUID], since: int) -> int:
    """About how many entries there are to be looked at, as the heads say."""
    with VERIFYING:
        heads = Head.objects.filter(organisation_id__in=chain_ids)
        told = heads.values_list("seq", "first_kept")
        return sum(max(0, last - max(first, since) + 1) for last, first in told)


def verify(
    chain_id: UUID,
    *,
    file: Path | None,
    since: int,
    tell: Tell,
    watch: Watch,
) -> Tally:
    """Look through one chain, from its first entry or `since` on; stops at its first broken link.

    Where retention took rows away meanwhile, what seemed to be missing is looked at anew.
    """
    for _ in range(LOOKS):
        found: list[Damage] = []
        begins = _begins(chain_id)
        tally = _looked_through(chain_id, file, since, found.append, watch)
        if not found or _begins(chain_id) == begins:
            break
    for damage in found:
        tell(damage)
    return tally


def _begins(chain_id: UUID) -> int | None:
    with VERIFYING:
        heads = Head.objects.filter(organisation_id=chain_id)
        found: int | None = heads.values_list("first_kept", flat=True).first()
        return found


def _looked_through(
    chain_id: UUID, file: Path | None, since: int, tell: Tell, watch: Watch
) -> Tally:
    tally = Tally()
    with VERIFYING:
        # Marks first: what is written meanwhile is then beyond them, and not missing.
        marks = _marks(chain_id, file, tally, tell)
        head = Head.objects.filter(organisation_id=chain_id).first()
        if head is None:
            _without_head(chain_id, marks, tell)
            return tally
        first = min(max(since, head.first_kept), head.seq + 1)
        previous = _before(chain_id, first, head.first_kept)
        walk = _Walk(chain_id, tally, tell, first, previous, marks)
        if not walk.agrees() or not _walk(walk, head, watch):
            return tally
        walk.prove()
        _check_end(walk, head, whole=first == head.first_kept)
    return tally


def _walk(walk: _Walk, head: Head, watch: Watch) -> bool:
    try:
        for row in _rows(walk.chain_id, walk.expected, head.seq):
            if not walk.step(row):
                return False
            if walk.tally.entries % BATCH == 0:
                watch(walk.tally.entries)
    except UnreadableRowError as error:
        says = f"entry {error.seq} was altered: it cannot be read"
        walk.damage(error.seq, chain.Fault.ALTERED.value, says)
        return False
    watch(walk.tally.entries)
    return True


def _check_end(walk: _Walk, head: Head, *, whole: bool) -> None:
    """Whether the chain reaches as far as the head and the signed checkpoints say."""
    last = walk.expected - 1
    if last < head.seq:
        says = f"entries {last + 1} to {head.seq} are missing: the tail was cut off"
        walk.damage(last + 1, "cut off", says)
    elif walk.previous != head.digest:
        walk.damage(last, "head", f"the head does not name entry {last} as it is")
    elif _beyond(walk.chain_id, head.seq):
        walk.damage(head.seq + 1, "head", f"the head was set back to {head.seq}")
    elif walk.marks and (furthest := walk.marks[-1])[0] > last:
        says = (
            f"entries {last + 1} to {furthest[0]} are missing: the tail was cut off; "
            f"they were signed ({furthest[2]})"
        )
        walk.damage(last + 1, "cut off", says)
    elif not _is_signed_as_said(head):
        says = f"the head says that entry {head.checkpointed} was signed last, and no such checkpoint is there"
        walk.damage(last, "head", says)
    elif whole and head.first_kept > 1:
        _check_cut(walk, head)


def _is_signed_as_said(head: Head) -> bool:
    """Whether there is the checkpoint after which the head counts: else the next may never be due."""
    if head.checkpointed == 0:
        return head.checkpointed_at is None
    signed = Checkpoint.objects.filter(
        organisation_id=head.organisation_id, seq=head.checkpointed
    )
    return bool(signed.filter(at=head.checkpointed_at).exists())


def _check_cut(walk: _Walk, head: Head) -> None:
    start = _before(walk.chain_id, head.first_kept, head.first_kept)
    if walk.cut != (head.first_kept, start):
        says = (
            f"the chain begins with entry {head.first_kept}, and no sealed cut says so"
        )
        walk.damage(head.first_kept, "cut", says)


def _beyond(chain_id: UUID, seq: int) -> bool:
    """Whether there is an entry that the head does not know, now that it is read anew."""
    now = Head.objects.values_list("seq", flat=True).get(organisation_id=chain_id)
    entries = Entry.objects.filter(organisation_id=chain_id, seq__gt=now)
    return bool(now == seq and entries.exists())


def _without_head(
    chain_id: UUID, marks: list[tuple[int, str, str]], tell: Tell
) -> None:
    if marks or Entry.objects.filter(organisation_id=chain_id).exists():
        says = "the chain's head is missing"
        if marks:
            says += f"; entry {marks[-1][0]} was signed ({marks[-1][2]})"
        tell(Damage(chain_id, marks[-1][0] if marks else 1, "head", says))


def _before(chain_id: UUID, first: int, first_kept: int) -> str:
    """The digest before entry `first`: what the entry before says, else what this one says."""
    if first == 1:
        return chain.START
    rows = Entry.objects.filter(organisation_id=chain_id)
    if first > first_kept:
        found = rows.filter(seq=first - 1).values_list("digest", flat=True).first()
    else:
        found = rows.filter(seq=first).values_list("previous", flat=True).first()
    return str(found or chain.START)


def _rows(chain_id: UUID, first: int, last: int) -> Iterator[tuple[Any, ...]]:
    """The entries in order; the end was fixed before, since people go on acting."""
    rows = Entry.objects.filter(organisation_id=chain_id, seq__lte=last)
    return in_order(rows, LINK + CLAIMS, after=first - 1, batch=BATCH)


def _link(row: tuple[Any, ...], place: str) -> chain.Link:
    seq, body, key_id, previous, digest, code = row[: -len(CLAIMS)]
    at, act, outcome, kind, actor, target = row[-len(CLAIMS) :]
    columns = {
        "organisation": place,
        "at": _moment(at),
        "act": act,
        "outcome": outcome,
        "actor_kind": kind,
        "actor_id": str(actor) if actor else None,
        "target": target,
    }
    return chain.Link(seq, body, key_id, previous, digest, code, columns)


def _marks(
    chain_id: UUID, file: Path | None, tally: Tally, tell: Tell
) -> list[tuple[int, str, str]]:
    """What was signed of a chain, in order: from the rows, and from its file."""
    marks = []
    before: Signed | None = None
    rows = Checkpoint.objects.filter(organisation_id=chain_id)
    try:
        for seq, digest, at, *signed in in_order(rows, MARK, after=0, batch=BATCH):
            told = Signed(*signed)
            if _is_sound(told, before, chain_id) and _matches(told, seq, digest, at):
                before = told
                marks.append((seq, digest, "checkpoint in the database"))
                continue
            says = (
                f"the checkpoint of entry {seq} is not signed by a key of ours as it is"
            )
            tell(Damage(chain_id, seq, "checkpoint", says))
    except UnreadableRowError as error:
        says = f"the checkpoint of entry {error.seq} cannot be read"
        tell(Damage(chain_id, error.seq, "checkpoint", says))
    tally.checkpoints += len(marks)
    marks += _filed_marks(chain_id, file, tally, tell)
    return sorted(marks)


def _filed_marks(
    chain_id: UUID, file: Path | None, tally: Tally, tell: Tell
) -> list[tuple[int, str, str]]:
    marks: list[tuple[int, str, str]] = []
    before: Signed | None = None
    for number, signed in checkpoints.filed(file) if file is not None else ():
        if signed is None or not _is_sound(signed, before, chain_id):
            last = marks[-1][0] if marks else 1
            says = f"line {number} of {file.name if file else ''} is no checkpoint signed by a key of ours after the one before it"
            tell(Damage(chain_id, last, "checkpoint", says))
            continue
        claims, before = signed.claims(), signed
        marks.append((claims["seq"], claims["digest"], f"line {number} of its file"))
    tally.checkpoints += len(marks)
    return marks


def _is_sound(signed: Signed, before: Signed | None, chain_id: UUID) -> bool:
    """Whether it is signed, speaks of this chain, and names the one before it."""
    claims = signed.claims()
    linked = before is None or claims.get("previous") == chain.fingerprint(before.body)
    return signed.holds() and claims.get("chain") == str(chain_id) and linked


def _matches(signed: Signed, seq: int, digest: str, at: datetime) -> bool:
    claims = signed.claims()
    told = (claims.get("seq"), claims.get("digest"), claims.get("at"))
    return told == (seq, digest, _moment(at))


def _moment(at: datetime | None) -> str:
    """As it is sealed; empty for a text that is no time, which SQLite's column may hold."""
    return chain.stamp(at) if at is not None else ""
