"""Usage figures as plain JSON for models and events, each result within 8 KiB. No queries here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from statistics import median
from typing import Any

from apps.usage.figures import Day, Failures, Jump, Latency, Slice, Totals
from apps.usage.periods import Period
from apps.usage.savings import Option

Json = dict[str, Any]
RESULT_BYTES = 8 * 1024
LONGEST_TEXT = 120
JUMP_MODELS = 5


def span(period: Period) -> Json:
    return {
        "name": period.name,
        "label": period.label,
        "start": period.start.isoformat(timespec="minutes"),
        "end": period.end.isoformat(timespec="minutes"),
        "previous_label": period.before_label,
    }


def sums(totals: Totals) -> Json:
    return {
        "calls": totals.calls,
        "failed_calls": totals.failed,
        "failed_percent": percent(totals.failed, totals.calls),
        "unpriced_calls": totals.unpriced,
        "input_tokens": totals.input_tokens,
        "output_tokens": totals.output_tokens,
        "cached_tokens": totals.cached_tokens,
        "cost_usd": usd(totals.cost),
    }


def change(present: Decimal, before: Decimal) -> Json:
    """By how much a cost changed; the percentage is null where there was none before."""
    return {
        "change_usd": usd(present - before),
        "change_percent": percent(present - before, before) if before else None,
    }


def slices(found: Sequence[Slice], total: Totals, *, limit: int) -> list[Json]:
    return [
        _slice(one) | {"share_percent": percent(one.present.cost, total.cost)}
        for one in found[:limit]
    ]


def days(found: Sequence[Day]) -> list[Json]:
    return [
        {"name": str(one.day), "cost_usd": usd(one.cost), "calls": one.calls}
        for one in found
    ]


def jump(found: Jump | None) -> Json | None:
    if found is None:
        return None
    feature, switch = found.feature, found.switch
    return {
        "feature": feature.name,
        "cost_usd": usd(feature.present.cost),
        "previous_usd": usd(feature.before.cost),
        **change(feature.present.cost, feature.before.cost),
        "since": str(found.since) if found.since else None,
        "calls": feature.present.calls,
        "previous_calls": feature.before.calls,
        "cost_per_call_usd": usd(feature.present.cost_per_call, 6),
        "previous_cost_per_call_usd": usd(feature.before.cost_per_call, 6),
        "model_switch": {
            "from": "/".join(switch.source),
            "to": "/".join(switch.target),
            "on": str(switch.on),
        }
        if switch
        else None,
        "models": [_slice(one) for one in found.models[:JUMP_MODELS]],
    }


def option(one: Option, per_month: Decimal) -> Json:
    return {
        "kind": one.kind.value,
        "feature": one.feature,
        "model": f"{one.provider}/{one.model}",
        "to_model": f"{one.to_provider}/{one.to_model}",
        "calls": one.calls,
        "cost_usd": usd(one.cost),
        "estimated_usd": usd(one.estimated),
        "saving_usd": usd(one.saving),
        "saving_usd_per_month": usd(one.saving * per_month),
        "cacheable_percent": percent(one.cacheable_share, Decimal(1)),
    }


def latency(one: Latency) -> Json:
    return {
        "name": "/".join(one.key),
        "calls": one.calls,
        "p50_ms": one.p50,
        "p95_ms": one.p95,
        "p99_ms": one.p99,
    }


def slowest(by_provider: Sequence[Latency]) -> Json | None:
    """How the slowest provider compares with the others; null where there are no others."""
    if len(by_provider) < 2:
        return None
    worst, *others = by_provider
    usual = median(one.p95 for one in others)
    return {
        "provider": worst.key[0],
        "p95_ms": worst.p95,
        "others_p95_ms": round(usual),
        "times_slower": round(worst.p95 / usual, 1),
    }


def failures(group: Failures) -> Json:
    return {
        "provider": group.provider,
        "model": group.model,
        "feature": group.feature,
        "status": group.status,
        "error": group.error,
        "count": group.count,
        "first_at": group.first_at.isoformat(timespec="minutes"),
        "last_at": group.last_at.isoformat(timespec="minutes"),
    }


def failure_rate(name: str, totals: Totals) -> Json:
    return {
        "name": name,
        "calls": totals.calls,
        "failed_calls": totals.failed,
        "failed_percent": percent(totals.failed, totals.calls),
    }


def usd(amount: Decimal, places: int = 4) -> float:
    return round(float(amount), places)


def percent(part: Decimal | int, whole: Decimal | int) -> float:
    return round(100 * float(part) / float(whole), 2) if whole else 0.0


def fit(result: Json) -> Json:
    """`result` within 8 KiB of JSON: long texts are cut, then the longest lists are halved."""
    fitted: Json = _cut(result)
    while len(json.dumps(fitted, ensure_ascii=False).encode()) > RESULT_BYTES:
        lists = {
            key: value
            for key, value in fitted.items()
            if isinstance(value, list) and value
        }
        if not lists:
            break
        name = max(lists, key=lambda key: len(lists[key]))
        # Of days the newest count, of everything else the largest, which stand first.
        keep = len(lists[name]) // 2
        fitted[name] = (
            lists[name][-keep:]
            if keep and fitted.get("by") == "day"
            else lists[name][:keep]
        )
        fitted["shortened"] = True
    return fitted


def _slice(one: Slice) -> Json:
    return {
        "name": one.name,
        "cost_usd": usd(one.present.cost),
        "previous_usd": usd(one.before.cost),
        "change_usd": usd(one.change),
        "calls": one.present.calls,
        "previous_calls": one.before.calls,
    }


def _cut(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _cut(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_cut(item) for item in value]
    return value[:LONGEST_TEXT] if isinstance(value, str) else value
