"""Every write about usage: a company's reported calls, and what Netra's own agents consumed."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import islice
from uuid import UUID

from django.db import transaction

from apps.core import sql
from apps.core.errors import InvalidInputError
from apps.core.tenancy import current_scope
from apps.usage import prices
from apps.usage.models import Record

BATCH = 500
MOST_TOKENS = 2**31 - 1
DEAREST_USD = Decimal(999999)
LENGTHS = {"id": 128, "provider": 64, "model": 128, "feature": 100, "error": 200}
NEEDED = {
    "id": "Send the id that your provider gave the call.",
    "provider": "Name who was called, such as 'openai'.",
    "model": "Name the model, such as 'gpt-5-mini'.",
}
COUNTS = (
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "cacheable_tokens",
    "latency_ms",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of a model as a company reports it. `id` is the company's own name for it."""

    id: str | UUID
    at: datetime
    provider: str
    model: str
    feature: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cacheable_tokens: int = 0
    latency_ms: int = 0
    status: str = Record.Status.OK.value
    error: str = ""
    cost_usd: Decimal | None = None  # None: priced by the public list


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What became of reported calls."""

    new: int = 0
    known: int = 0  # recorded before under the same id
    unpriced: int = 0  # new, of a model whose price is unknown: counted as 0 USD


def record_usage(calls: Iterable[Call]) -> Recorded:
    """Record calls for the organisation of the open scope; an id that is known changes nothing.

    All or none: raises InvalidInputError, naming the position and the field, before anything is written.
    """
    organisation_id = current_scope().tenant_id
    checked = {record_id(organisation_id, call.id): call for call in _checked(calls)}
    new = unpriced = 0
    with transaction.atomic():
        for batch in _batches(checked.items()):
            fresh = _unknown(batch)
            rows = [_row(organisation_id, key, call) for key, call in fresh]
            # Another writer may have brought the same id since it was looked up.
            Record.objects.bulk_create(rows, ignore_conflicts=True)
            new += len(rows)
            unpriced += sum(
                call.cost_usd is None and not prices.rates_of(call.provider, call.model)
                for _, call in fresh
            )
    return Recorded(new=new, known=len(checked) - new, unpriced=unpriced)


def record_execution(
    *,
    organisation_id: UUID,
    execution_id: UUID,
    agent: str,
    model: str,
    tokens: tuple[int, int],
    cost: Decimal,
    at: datetime,
) -> None:
    """Record what one of Netra's executions consumed: (input, output) tokens of a model that costs."""
    provider, name = prices.split_name(model)
    row = {
        "organisation_id": organisation_id,
        "source": Record.Source.NETRA.value,
        "at": at,
        "provider": provider[: LENGTHS["provider"]],
        "model": name[: LENGTHS["model"]],
        "feature": agent[: LENGTHS["feature"]],
        "input_tokens": tokens[0],
        "output_tokens": tokens[1],
        "cost_usd": cost,
        "execution_id": execution_id,
    }
    sql.insert(Record, [row])


def record_id(organisation_id: UUID, reported: str | UUID) -> UUID:
    """The key of a reported call: equal ids of two organisations never meet."""
    return uuid.uuid5(organisation_id, str(reported))


def _unknown(batch: Sequence[tuple[UUID, Call]]) -> list[tuple[UUID, Call]]:
    known = set(
        Record.objects.filter(id__in=[key for key, _ in batch]).values_list(
            "id", flat=True
        )
    )
    return [(key, call) for key, call in batch if key not in known]


def _row(organisation_id: UUID, key: UUID, call: Call) -> Record:
    cost = call.cost_usd
    if cost is None:
        cost = prices.cost_usd(
            call.provider,
            call.model,
            call.input_tokens,
            call.output_tokens,
            call.cached_tokens,
            call.at,
        ) or Decimal(0)
    return Record(
        id=key,
        organisation_id=organisation_id,
        at=call.at,
        provider=call.provider,
        model=call.model,
        feature=call.feature,
        input_tokens=call.input_tokens,
        output_tokens=call.output_tokens,
        cached_tokens=call.cached_tokens,
        cacheable_tokens=call.cacheable_tokens,
        latency_ms=call.latency_ms,
        status=call.status,
        error=call.error,
        cost_usd=cost,
    )


def _checked(calls: Iterable[Call]) -> Iterator[Call]:
    for position, call in enumerate(calls):
        for field, problem, fix in _problems(call):
            raise InvalidInputError(
                f"Record {position}: {problem}",
                field=f"[{position}].{field}",
                fix=fix,
                values={"position": position},
            )
        yield call


def _problems(call: Call) -> Iterator[tuple[str, str, str]]:
    """Each broken rule of one call: field, problem, fix."""
    if call.at.tzinfo is None:
        yield "at", "the time has no zone.", "Send a time such as 2026-10-01T09:30:00Z."
    yield from _text_problems(call)
    yield from _count_problems(call)
    if call.status not in Record.Status.values:
        yield (
            "status",
            f"{call.status!r} is not a status.",
            f"Use one of {', '.join(Record.Status.values)}.",
        )
    if call.cost_usd is not None and not (
        call.cost_usd.is_finite() and 0 <= call.cost_usd <= DEAREST_USD
    ):
        yield (
            "cost_usd",
            f"{call.cost_usd} is not a cost.",
            "Send US dollars from 0, or leave it out.",
        )


def _text_problems(call: Call) -> Iterator[tuple[str, str, str]]:
    for name, longest in LENGTHS.items():
        text = str(getattr(call, name))
        if name in NEEDED and not text.strip():
            yield name, f"{name} is empty.", NEEDED[name]
        if len(text) > longest:
            yield (
                name,
                f"{name} has more than {longest} characters.",
                "Send a shorter one.",
            )
        if any(sign == "\x00" or "\ud800" <= sign <= "\udfff" for sign in text):
            yield (
                name,
                f"{name} holds a character that cannot be stored.",
                "Send Unicode text without NUL.",
            )


def _count_problems(call: Call) -> Iterator[tuple[str, str, str]]:
    for name in COUNTS:
        if not 0 <= getattr(call, name) <= MOST_TOKENS:
            yield (
                name,
                f"{name} is {getattr(call, name)}.",
                f"Send a whole number from 0 to {MOST_TOKENS}.",
            )
    for name in ("cached_tokens", "cacheable_tokens"):
        if getattr(call, name) > call.input_tokens:
            yield (
                name,
                f"{name} is more than input_tokens.",
                "They are a part of the input.",
            )


def _batches(items: Iterable[tuple[UUID, Call]]) -> Iterator[list[tuple[UUID, Call]]]:
    remaining = iter(items)
    while batch := list(islice(remaining, BATCH)):
        yield batch
