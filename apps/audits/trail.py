"""The one writer of the sealed trail: an entry in the same transaction as the act that it tells of."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import connection, transaction

from apps.audits import chain
from apps.audits.acts import Act, Outcome
from apps.audits.keyring import TRAIL, keyring
from apps.audits.models import Entry, Head
from apps.core import circumstances, clock, sql
from apps.core.actors import Actor
from apps.core.ids import rising_id

PLATFORM = UUID(int=0)  # the chain of what belongs to no organisation
TOLD = ("door", "address", "agent", "request_id", "session")


def record(
    act: Act,
    *,
    actor: Actor,
    organisation_id: UUID | None,
    target: str = "",
    outcome: Outcome = Outcome.DONE,
    **details: chain.Value,
) -> int:
    """Seal one entry and return its number. Call it last in the unit: the head is locked last.

    `target` is 'kind:id'. `details` hold names, ids, counts and before/after values, never content
    or secrets. An entry that cannot be written stops the act.
    """
    chain_id = organisation_id or PLATFORM
    before, previous = locked_head(chain_id)
    seq, now = before + 1, clock.now()
    text = chain.canonical(
        {
            "act": act.value,
            "actor": actor.label,
            "actor_id": str(actor.id) if actor.id else None,
            "actor_kind": actor.kind.value,
            "at": chain.stamp(now),
            "details": details,
            "organisation": str(chain_id),
            "outcome": outcome.value,
            "seq": seq,
            "target": target,
            **_circumstances(),
        }
    )
    digest = chain.digest(previous, text)
    sql.insert(Entry, [_row(chain_id, act, actor, outcome, target, now)
        | {"seq": seq, "body": text, "previous": previous, "digest": digest} | _sealed(digest)])  # fmt: skip
    sql.swap(
        Head,
        where={"organisation_id": chain_id},
        values={"seq": seq, "digest": digest},
    )
    return seq


def locked_head(chain_id: UUID) -> tuple[int, str]:
    """The last number of a chain and its digest; nobody else adds to it until the transaction ends."""
    if not connection.in_atomic_block:
        # The lock would end with this statement, and act, entry and head would part.
        raise transaction.TransactionManagementError(
            "the trail is written in the transaction of the act"
        )
    where = {"organisation_id": chain_id}
    names = ("seq", "digest")
    found = sql.select(Head, names, where=where, lock=True)
    if not found:
        # Whoever begins a chain at the same moment is waited for: one of the two inserts nothing.
        first = where | {"seq": 0, "digest": chain.START}
        sql.upsert(Head, [first], key=("organisation_id",), values=("organisation_id",))
        found = sql.select(Head, names, where=where, lock=True)
    seq, digest = found[0]
    return int(seq), str(digest)


def _circumstances() -> dict[str, chain.Value]:
    told = circumstances.present()
    if told is circumstances.NONE:
        return {}
    return {name: value for name in TOLD if (value := getattr(told, name))}


def _sealed(digest: str) -> dict[str, object]:
    keys = keyring()
    key_id = keys.newest(TRAIL)
    return {"key_id": key_id, "code": chain.seal(keys.key(key_id), digest)}


def _row(
    chain_id: UUID,
    act: Act,
    actor: Actor,
    outcome: Outcome,
    target: str,
    now: datetime,
) -> dict[str, object]:
    """The columns by which an entry is found; verification compares them with what is sealed."""
    return {
        "id": rising_id(),
        "organisation_id": chain_id,
        "at": now,
        "act": act,
        "outcome": outcome,
        "actor_kind": actor.kind,
        "actor_id": actor.id,
        "target": target,
    }
