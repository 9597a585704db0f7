"""The analyst's tools over an organisation's own usage data, described for models.

The tenant comes from the proved context alone: no tool has an argument that names one. Money is in US
dollars. Knows no agent loop: the runtime hands these functions to it.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, get_args, get_origin, get_type_hints

from apps.agents import tabulation
from apps.agents.tabulation import Json
from apps.core import database
from apps.core.errors import InvalidInputError
from apps.core.tenancy import tenant
from apps.executions.contexts import UserExecutionContext, checked_context
from apps.usage import queries, savings
from apps.usage.periods import FORMS, parse_period
from apps.usage.queries import COLUMNS, Dimension

ROWS = 10
TOP_ROWS = 5
DAY_ROWS = 92
MOST_FAILURES = 50
FAILURE_PERIOD = "30d"
By = Literal["feature", "model", "provider", "day"]
ToolFunction = Callable[..., Awaitable[Json]]


async def usage_summary(context: UserExecutionContext, *, period: str = "30d") -> Json:
    """Calls, tokens, cost and failures of a period, against the period before it."""

    def read(now: datetime) -> Json:
        span = parse_period(period, now=now)
        present = queries.totals(span.start, span.end)
        before = queries.totals(span.before_start, span.before_end)
        features = queries.slices(COLUMNS[Dimension.FEATURE], span)
        models = queries.slices(COLUMNS[Dimension.MODEL], span)
        oldest, newest = queries.oldest(), queries.newest()
        return {
            "period": tabulation.span(span),
            **tabulation.sums(present),
            "previous": tabulation.sums(before),
            **tabulation.change(present.cost, before.cost),
            "top_features": tabulation.slices(features, present, limit=TOP_ROWS),
            "top_models": tabulation.slices(models, present, limit=TOP_ROWS),
            "first_record": oldest.isoformat(timespec="minutes") if oldest else None,
            "last_record": newest.isoformat(timespec="minutes") if newest else None,
        }

    return await _read(context, read)


async def cost_breakdown(
    context: UserExecutionContext, *, by: By = "feature", period: str = "30d"
) -> Json:
    """Cost by feature, model, provider or day against the period before, and where it jumped."""
    dimension = _dimension(by)

    def read(now: datetime) -> Json:
        span = parse_period(period, now=now)
        present = queries.totals(span.start, span.end)
        before = queries.totals(span.before_start, span.before_end)
        if dimension is Dimension.DAY:
            rows = tabulation.days(queries.days(span.start, span.end)[-DAY_ROWS:])
        else:
            rows = tabulation.slices(
                queries.slices(COLUMNS[dimension], span), present, limit=ROWS
            )
        return {
            "by": dimension.value,
            "period": tabulation.span(span),
            **tabulation.sums(present),
            "previous": tabulation.sums(before),
            **tabulation.change(present.cost, before.cost),
            "rows": rows,
            "jump": tabulation.jump(queries.jump(span)),
        }

    return await _read(context, read)


async def latency_report(context: UserExecutionContext, *, period: str = "30d") -> Json:
    """p50, p95 and p99 of answered calls for each provider and model, and which provider is slow."""

    def read(now: datetime) -> Json:
        span = parse_period(period, now=now)
        by_provider = queries.latencies(
            COLUMNS[Dimension.PROVIDER], span.start, span.end
        )
        by_model = queries.latencies(COLUMNS[Dimension.MODEL], span.start, span.end)
        earlier = queries.latencies(
            COLUMNS[Dimension.PROVIDER], span.before_start, span.before_end
        )
        p95_before = {one.key: one.p95 for one in earlier}
        return {
            "period": tabulation.span(span),
            "providers": [
                tabulation.latency(one) | {"previous_p95_ms": p95_before.get(one.key)}
                for one in by_provider[:ROWS]
            ],
            "models": [tabulation.latency(one) for one in by_model[:ROWS]],
            "slowest": tabulation.slowest(by_provider),
        }

    return await _read(context, read)


async def recent_failures(context: UserExecutionContext, *, limit: int = 10) -> Json:
    """Failed calls of the last 30 days grouped by cause, and how often each provider failed."""
    most = _limit(limit)

    def read(now: datetime) -> Json:
        span = parse_period(FAILURE_PERIOD, now=now)
        providers = queries.slices(COLUMNS[Dimension.PROVIDER], span)
        rates = [
            tabulation.failure_rate(one.name, one.present)
            for one in providers
            if one.present.calls
        ]
        return {
            "period": tabulation.span(span),
            **tabulation.failure_rate("all", queries.totals(span.start, span.end)),
            "statuses": queries.failed_statuses(span.start, span.end),
            "groups": [
                tabulation.failures(group)
                for group in queries.failures(span.start, span.end, limit=most)
            ],
            "providers": sorted(rates, key=lambda rate: -rate["failed_percent"])[:ROWS],
        }

    return await _read(context, read)


async def savings_estimate(
    context: UserExecutionContext, *, period: str = "30d"
) -> Json:
    """What cheaper models and prompt caching would save a month, by public list prices."""

    def read(now: datetime) -> Json:
        span = parse_period(period, now=now)
        total = queries.totals(span.start, span.end)
        options = savings.options(
            queries.slices(("feature", "provider", "model"), span)
        )
        per_month = Decimal(repr(span.per_month))
        return {
            "period": tabulation.span(span),
            "calls": total.calls,
            "cost_usd": tabulation.usd(total.cost),
            "options": [
                tabulation.option(option, per_month) for option in options[:ROWS]
            ],
            "note": "Each option is estimated alone; a smaller model may answer less well.",
        }

    return await _read(context, read)


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool as a model sees it. `function` takes the context, then keyword arguments."""

    name: str
    description: str
    schema: Mapping[str, object]
    function: ToolFunction


def _described(function: ToolFunction) -> Tool:
    name = getattr(function, "__name__", "")
    return Tool(name, inspect.getdoc(function) or "", _schema(function), function)


def _schema(function: ToolFunction) -> Mapping[str, object]:
    """The JSON schema of a tool's keyword arguments, from its signature."""
    hints = get_type_hints(function)
    properties = {
        name: _argument(name, hints[name]) | {"default": parameter.default}
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _argument(name: str, hint: Any) -> Json:
    if get_origin(hint) is Literal:
        return {"type": "string", "enum": list(get_args(hint))}
    if hint is int:
        return {"type": "integer", "minimum": 1, "maximum": MOST_FAILURES}
    return {"type": "string", "description": FORMS if name == "period" else ""}


_FUNCTIONS: tuple[ToolFunction, ...] = (
    usage_summary,
    cost_breakdown,
    latency_report,
    recent_failures,
    savings_estimate,
)
TOOLS: dict[str, Tool] = {tool.name: tool for tool in map(_described, _FUNCTIONS)}


async def _read(
    context: UserExecutionContext, work: Callable[[datetime], Json]
) -> Json:
    """Read for the context's organisation; one context has one 'now', so that its figures agree."""
    checked_context(context)
    scope = tenant(context.organisation_id, context.user_id)
    return tabulation.fit(await database.read(scope, lambda: work(context.created_at)))


def _dimension(value: object) -> Dimension:
    if isinstance(value, str) and value in list(Dimension):
        return Dimension(value)
    raise InvalidInputError(
        f"{str(value)[:40]!r} is nothing to break costs down by.",
        field="by",
        fix=f"Use one of: {', '.join(Dimension)}.",
    )


def _limit(value: object) -> int:
    if (
        isinstance(value, int)
        and not isinstance(value, bool)
        and 1 <= value <= MOST_FAILURES
    ):
        return value
    raise InvalidInputError(
        f"{str(value)[:40]!r} is not a limit.",
        field="limit",
        fix=f"Use a whole number from 1 to {MOST_FAILURES}.",
    )
