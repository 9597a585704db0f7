"""Writes the offline analyst's answers: tool results in, Markdown out. Every figure is a tool's. Pure.

One function for each subject. What was asked and which tools to call is decided in the analyst.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from apps.agents import markdown as md
from apps.agents import sentences

Result = Mapping[str, Any]

TABLE_ROWS = 6
CLOSING = (
    "*Computed by Netra's offline analyst from your organisation's own usage records. "
    "It follows fixed rules and is not a language model.*"
)
CAN_ANSWER = (
    "**Cost**: “Where did our AI spend jump last month, and what should we do?”",
    "**Savings**: “How could we spend less on AI?”",
    "**Latency**: “Which provider is slow?”",
    "**Failures**: “What failed in the last 30 days?”",
    "**Models**: “Which model is best value for us?”",
)


def savings(estimate: Result) -> str:
    """What could be spent less, by which step."""
    span, options = estimate["period"], estimate["options"]
    head = f"### Where you could save, from {md.count(estimate['calls'], 'call')} in {span['label']}"
    if not options:
        return (
            f"{head}\n\nYou spent {md.usd(estimate['cost_usd'])}. I found no saving that is worth a cent: no repeated prompt "
            "prefixes were reported (`cacheable_tokens`), and no cheaper model of the same family is on the price list."
        )
    rows = [
        (
            sentences.step_name(o),
            md.feature(o["feature"]),
            md.usd(o["cost_usd"]),
            md.usd(o["estimated_usd"]),
            md.usd(o["saving_usd_per_month"]),
        )
        for o in options[:TABLE_ROWS]
    ]
    return "\n\n".join(
        (
            head,
            f"You spent {md.usd(estimate['cost_usd'])}. In the order in which I would try them:",
            md.numbered(
                [sentences.step(o) for o in sentences.best_steps(options, first=None)]
            ),
            "All options by size:",
            md.table(
                ("Step", "Feature", "Cost", "With it", "Saved a month"), rows, texts=2
            ),
            "Each is estimated alone, at list prices and the volume of that period; those of the same feature do not add up.",
        )
    )


def latency(report: Result) -> str:
    """Who is fast and who is slow."""
    span, providers, slowest = report["period"], report["providers"], report["slowest"]
    if not providers:
        return f"### Latency in {span['label']}\n\nNo answered call of that time was recorded with a latency (`latency_ms`)."
    rows = [
        (
            md.name(p["name"]),
            md.count(p["calls"]),
            *_percentiles(p),
            md.duration(p["previous_p95_ms"]),
        )
        for p in providers
    ]
    models = [
        (md.name(m["name"]), md.count(m["calls"]), *_percentiles(m))
        for m in report["models"][:TABLE_ROWS]
    ]
    parts = [
        f"### {_latency_headline(slowest, providers)} in {span['label']}",
        md.table(("Provider", "Calls", "p50", "p95", "p99", "p95 before"), rows),
        "By model, the slowest first:",
        md.table(("Model", "Calls", "p50", "p95", "p99"), models),
        "**What to do.**\n\n" + md.numbered(sentences.latency_steps(report)),
    ]
    return "\n\n".join(parts)


def failures(report: Result) -> str:
    """What failed, how often, and what helps."""
    label, failed = report["period"]["label"], report["failed_calls"]
    if not failed:
        return f"### Nothing failed in {label}\n\nAll {md.count(report['calls'], 'recorded call')} were answered."
    groups = [
        (
            md.name(f"{g['provider']}/{g['model']}"),
            md.feature(g["feature"]),
            str(g["status"]).replace("_", " "),
            md.name(g["error"], "–"),
            md.count(g["count"]),
            md.day(g["last_at"]),
        )
        for g in report["groups"]
    ]
    rates = [
        (
            md.name(p["name"]),
            md.count(p["calls"]),
            md.count(p["failed_calls"]),
            md.percent(p["failed_percent"]),
        )
        for p in report["providers"]
    ]
    return "\n\n".join(
        (
            f"### {md.count(failed, 'call')} failed in {label}",
            f"That is {md.percent(report['failed_percent'])} of {md.count(report['calls'], 'call')}. Grouped by cause:",
            md.table(
                ("Model", "Feature", "Kind", "Error", "Calls", "Last"), groups, texts=4
            ),
            md.table(("Provider", "Calls", "Failed", "Share"), rates),
            "**What to do.**\n\n"
            + md.numbered(sentences.failure_steps(report["statuses"])),
        )
    )


def models(breakdown: Result, report: Result, estimate: Result) -> str:
    """What each model costs and how fast it is, and where another would do."""
    p95 = {m["name"]: m["p95_ms"] for m in report["models"]}
    rows = [
        (
            md.name(row["name"]),
            md.count(row["calls"]),
            md.usd(row["cost_usd"]),
            md.rate(row["cost_usd"] / row["calls"]) if row["calls"] else "–",
            md.duration(p95.get(row["name"])),
        )
        for row in breakdown["rows"]
        if row["calls"]
    ]
    moves = [o for o in estimate["options"] if o["kind"] != "prompt_caching"]
    steps = [sentences.step(o) for o in sentences.best_steps(moves, first=None)]
    advice = (
        md.numbered(steps)
        if steps
        else "No cheaper model of the same family is on the price list for what you use."
    )
    return "\n\n".join(
        (
            f"### Your models in {breakdown['period']['label']}",
            md.table(("Model", "Calls", "Cost", "A call", "p95"), rows),
            f"**Where a cheaper model may do.**\n\n{advice}",
            "Price and speed are measured; how well a model answers is not recorded. Try it on a sample before you move.",
        )
    )


def summary(report: Result) -> str:
    """The period at a glance."""
    span = report["period"]
    facts = [
        f"**Cost**: {md.usd(report['cost_usd'])}. {sentences.compared(report)}",
        (
            f"**Calls**: {md.count(report['calls'])}, of which {md.count(report['failed_calls'])} failed "
            f"({md.percent(report['failed_percent'])}){sentences.unpriced(report)}."
        ),
        (
            f"**Tokens**: {md.count(report['input_tokens'])} in ({md.count(report['cached_tokens'])} from the prompt cache), "
            f"{md.count(report['output_tokens'])} out."
        ),
    ]
    tables = [
        _ranking(head, report[key])
        for head, key in (("Feature", "top_features"), ("Model", "top_models"))
        if report[key]
    ]
    return "\n\n".join(
        (f"### Your AI usage in {span['label']}", md.listed(facts), *tables)
    )


def beyond(report: Result | None) -> str:
    """For a question that the rules do not reach: say so, and show what they do."""
    text = (
        "I could not relate that question to your AI usage data, so I will not guess. What I can answer:\n\n"
        + md.listed(CAN_ANSWER)
    )
    return text if report is None else f"{text}\n\nFor a start:\n\n{summary(report)}"


def nothing_recorded(report: Result) -> str:
    """For a period without records: what is missing, and how to add it."""
    label, first, last = (
        report["period"]["label"],
        report["first_record"],
        report["last_record"],
    )
    if first and last:
        return (
            f"### No calls are recorded for {label}\n\nYour records reach from {md.day(first)} to {md.day(last)}. "
            "Name a period within that time, such as a month, and I will look again."
        )
    return (
        "### There are no usage records yet\n\nI answer from the calls of AI models that your software reports, and none "
        "has been reported for your organisation. To add some:\n\n"
        + md.numbered(
            (
                "Ask an administrator for an API token (`manage.py token` makes one).",
                (
                    "Send each call, or a list of calls, to `POST /api/v1/usage/` as JSON or CSV: `id`, `at`, `provider`, `model`, "
                    "`feature`, `input_tokens`, `output_tokens`, `latency_ms`, `status`. Sending the same `id` twice is harmless."
                ),
                (
                    "Leave `cost_usd` out and it is priced from the public list. Report `cacheable_tokens` to learn what prompt "
                    "caching would save."
                ),
            )
        )
        + "\n\nThen ask again."
    )


def _latency_headline(slowest: Result | None, providers: Sequence[Result]) -> str:
    if slowest and slowest["times_slower"] >= sentences.SLOW_TIMES:
        return f"{md.name(slowest['provider'])} is slow: p95 {md.duration(slowest['p95_ms'])}, {slowest['times_slower']:.1f} times the others,"
    if slowest:
        return f"No provider stands out: the slowest p95 is {md.duration(slowest['p95_ms'])} ({md.name(slowest['provider'])})"
    return f"Your one provider, {md.name(providers[0]['name'])}, has a p95 of {md.duration(providers[0]['p95_ms'])}"


def _ranking(head: str, rows: Sequence[Result]) -> str:
    lines = [
        (
            md.feature(row["name"]) if head == "Feature" else md.name(row["name"]),
            md.usd(row["cost_usd"]),
            md.percent(row["share_percent"]),
            md.count(row["calls"]),
        )
        for row in rows
        if row["calls"]
    ]
    return md.table((head, "Cost", "Share", "Calls"), lines)


def _percentiles(row: Result) -> tuple[str, str, str]:
    return (
        md.duration(row["p50_ms"]),
        md.duration(row["p95_ms"]),
        md.duration(row["p99_ms"]),
    )
