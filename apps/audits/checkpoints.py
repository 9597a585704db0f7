"""Signed statements of where each chain stands: a row, and a line in a file outside the database.

A chain alone does not show that its tail was cut off; a statement kept elsewhere does.
"""

from __future__ import annotations

import base64
import fcntl
import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from django.conf import settings
from django.db import DatabaseError
from django.db.models import F, Q

from apps.audits import chain, trail
from apps.audits.keyring import SIGNING, keyring, public_key, sign
from apps.audits.models import Checkpoint, Head
from apps.core import sql
from apps.core.clock import clock
from apps.core.database import write_now
from apps.core.errors import NetraError
from apps.core.ids import rising_id
from apps.core.keys import KeyStoreError
from apps.core.tenancy import Scope, system, tenant

log = logging.getLogger(__name__)

EVERY = timedelta(minutes=5)
ENTRIES = 1_000
SWEEP_SECONDS = 10.0
CHAINS = 200  # that one sweep sees to
COPIED = 1_000  # lines written between two syncs
HELD_SECONDS = 5.0  # another process writes a line or two
LOOK_SECONDS = 0.02
LAST_LINE = 8_192  # bytes at a file's end that hold its last line
LOOKING = system("checkpoints: which chains have news")
COLUMNS = ("body", "key_id", "signature")


@dataclass(frozen=True, slots=True)
class Signed:
    """One checkpoint as it lies in a row or a file."""

    body: str
    key_id: str
    signature: str

    def claims(self) -> dict[str, Any]:
        """What it says; empty where that cannot be read."""
        try:
            read = json.loads(self.body)
        except ValueError:
            return {}
        return read if isinstance(read, dict) else {}

    def holds(self) -> bool:
        """Whether one of our keys signed exactly this."""
        key = public_key(self.key_id)
        if key is None:
            return False
        try:
            key.verify(
                base64.b64decode(self.signature, validate=True), self.body.encode()
            )
        except (InvalidSignature, ValueError):
            return False
        return True


def folder() -> Path:
    """Where the copies lie. Each is best carried on to another machine."""
    return Path(settings.NETRA_VAR) / "checkpoints"


def make(chain_id: UUID, *, now: datetime) -> int:
    """Sign where the chain stands, unless that is signed already; returns its last number.

    Part of a unit of writing; like any entry it takes the head last.
    """
    seq, digest = trail.locked_head(chain_id)
    where = {"organisation_id": chain_id}
    ((signed_to,),) = sql.select(Head, ("checkpointed",), where=where)
    if signed_to == seq:
        return seq
    before = sql.select(Checkpoint, ("body",), where=where | {"seq": signed_to})
    body = chain.canonical(
        {
            "at": chain.stamp(now),
            "chain": str(chain_id),
            "digest": digest,
            "previous": chain.fingerprint(before[0][0]) if before else chain.START,
            "seq": seq,
        }
    )
    key_id = keyring().newest(SIGNING)
    row = {"id": rising_id(), "seq": seq, "digest": digest, "at": now, "body": body, "key_id": key_id,
           "signature": base64.b64encode(sign(key_id, body)).decode()}  # fmt: skip
    sql.insert(Checkpoint, [where | row])
    sql.swap(Head, where=where, values={"checkpointed": seq, "checkpointed_at": now})
    return seq


def copy_out(chain_id: UUID) -> int:
    """Append to the chain's file what it does not hold yet; returns how many lines that was."""
    place, written = folder() / f"{chain_id}.ndjson", 0
    with _appending(place) as file:
        last = _last_number(file)
        while rows := _after(chain_id, last):
            for seq, *values in rows:
                line = dict(zip(COLUMNS, values, strict=True))
                file.write(chain.canonical(line).encode() + b"\n")
                last = seq
            file.flush()
            os.fsync(file.fileno())
            written += len(rows)
    return written


def _after(chain_id: UUID, last: int) -> list[Any]:
    with tenant(chain_id):
        rows = Checkpoint.objects.filter(organisation_id=chain_id, seq__gt=last)
        return list(rows.order_by("seq").values_list("seq", *COLUMNS)[:COPIED])


@contextmanager
def _appending(place: Path) -> Iterator[IO[bytes]]:
    """The file, at its end, held against other processes; made where there was none."""
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = not place.exists()
    descriptor = os.open(place, os.O_RDWR | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "r+b") as file:
        _hold(file)
        yield file
    if new:
        _sync(place.parent)


def _hold(file: IO[bytes]) -> None:
    """Lock the file; raises BlockingIOError when another process holds it for too long."""
    until = time.monotonic() + HELD_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise
            time.sleep(LOOK_SECONDS)
        else:
            return


def _sync(place: Path) -> None:
    descriptor = os.open(place, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _last_number(file: IO[bytes]) -> int:
    """The number of the last whole line; what a crash left of another goes, and is written anew."""
    size = file.seek(0, os.SEEK_END)
    begin = file.seek(max(0, size - LAST_LINE))
    rest = file.read()
    whole = rest[: rest.rfind(b"\n") + 1]
    file.truncate(begin + len(whole))
    file.seek(0, os.SEEK_END)
    lines = whole.splitlines()
    return _number(lines[-1]) if lines else 0


def _number(line: bytes) -> int:
    """Of which entry a line speaks. Raises ValueError for what is no line of ours."""
    signed = _read(line.decode())
    seq = signed.claims().get("seq") if signed is not None else None
    if isinstance(seq, int):
        return seq
    raise ValueError("its last line is no checkpoint")


def sweep() -> int:
    """Sign every chain with news that waited long enough or are many; returns how many that were."""
    now = clock.now()
    waits = Q(checkpointed_at__isnull=True) | Q(checkpointed_at__lte=now - EVERY)
    many = Q(seq__gte=F("checkpointed") + ENTRIES)
    with LOOKING:
        heads = Head.objects.filter(waits | many, seq__gt=F("checkpointed"))
        found = list(heads.values_list("organisation_id", flat=True)[:CHAINS])
    return sum(_sign_one(chain_id, tenant(chain_id), now) for chain_id in found)


def _sign_one(chain_id: UUID, scope: Scope, now: datetime) -> bool:
    try:
        write_now(scope, lambda: make(chain_id, now=now))
        copy_out(chain_id)
    except (NetraError, DatabaseError, KeyStoreError, OSError, ValueError):
        log.exception(
            "the trail of %s could not be signed",
            chain_id,
            extra={"action": "audits.checkpoint_failed", "chain": str(chain_id)},
        )
        return False
    return True


def filed(place: Path) -> Iterator[tuple[int, Signed | None]]:
    """The lines of one file with their numbers; None for one that cannot be read."""
    with place.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            yield number, _read(line)


def _read(line: str) -> Signed | None:
    try:
        return Signed(**{name: str(json.loads(line)[name]) for name in COLUMNS})
    except (ValueError, KeyError, TypeError):
        return None
