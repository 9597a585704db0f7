"""The offline analyst's answers about what was spent, and where it jumped. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from apps.agents import markdown as md
from apps.agents import sentences

Result = Mapping[str, Any]

NOTABLE_PERCENT = 10.0  # smaller changes are the usual ups and downs
TABLE_ROWS = 6
DAY_ROWS = 31


def spend_jump(breakdown: Result, savings: Result, latency: Result) -> str:
    """What happened, why, and what to do about it."""
    jump = breakdown["jump"]
    notable = jump is not None and _is_notable(jump, breakdown)
    parts = [_headline(breakdown, jump if notable else None), _movement(breakdown)]
    if notable:
        parts.insert(1, _what_happened(breakdown, jump))
        parts.append("**Why.** " + _why(jump))
    parts.append(_what_to_do(savings, latency, jump if notable else None))
    return "\n\n".join(parts)


def cost(breakdown: Result) -> str:
    """What was spent, on what."""
    span, by = breakdown["period"], breakdown["by"]
    lines = [
        f"### {md.usd(breakdown['cost_usd'])} in {span['label']}",
        f"{sentences.compared(breakdown)} {md.count(breakdown['calls'], 'call')} were made{sentences.unpriced(breakdown)}.",
    ]
    if by == "day":
        lines.append(_by_day(breakdown["rows"]))
    else:
        lines.append(_movement(breakdown))
    jump = breakdown["jump"]
    if jump is not None and _is_notable(jump, breakdown):
        lines.append("**What rose most.** " + _why(jump))
    return "\n\n".join(lines)


def _is_notable(jump: Result, breakdown: Result) -> bool:
    if not breakdown["previous"]["calls"] or jump["change_usd"] < md.CENT:
        return False
    percent = jump["change_percent"]
    return bool(percent is None or percent >= NOTABLE_PERCENT)


def _headline(breakdown: Result, jump: Result | None) -> str:
    label, total, part = (
        breakdown["period"]["label"],
        breakdown["change_usd"],
        breakdown["change_percent"],
    )
    if not breakdown["previous"]["calls"]:
        return f"### {md.usd(breakdown['cost_usd'])} in {label}, and nothing recorded before it to compare with"
    if jump is None:
        return f"### Spend did not jump in {label}: {md.change(total)} ({md.percent(part, signed=True)})"
    if total <= 0:
        return f"### Spend fell by {md.usd(-total)} in {label}, but {md.feature(jump['feature'])} rose"
    return f"### Spend rose by {md.usd(total)} ({md.percent(part, signed=True)}) in {label}"


def _what_happened(breakdown: Result, jump: Result) -> str:
    span, total = breakdown["period"], breakdown["change_usd"]
    since = f" The rise began on {md.day(jump['since'])}." if jump["since"] else ""
    share = min(100.0, 100 * jump["change_usd"] / total) if total > 0 else 0.0
    blame = (
        f", which is {md.percent(round(share, 1))} of the rise" if share >= 1 else ""
    )
    return (
        f"**What happened.** Total spend went from {md.usd(breakdown['previous']['cost_usd'])} in {span['previous_label']} to "
        f"{md.usd(breakdown['cost_usd'])}. The jump is in {md.feature(jump['feature'])}: from {md.usd(jump['previous_usd'])} to "
        f"{md.usd(jump['cost_usd'])} ({md.percent(jump['change_percent'], signed=True)}){blame}.{since}"
    )


def _why(jump: Result) -> str:
    feature, calls, before = (
        md.feature(jump["feature"]),
        jump["calls"],
        jump["previous_calls"],
    )
    if not before:
        return f"{feature} is new: {md.count(calls, 'call')} for {md.usd(jump['cost_usd'])}, and none in the period before."
    unit, unit_before = jump["cost_per_call_usd"], jump["previous_cost_per_call_usd"]
    times = (
        f", {unit / unit_before:.1f} times as much"
        if unit_before and unit / unit_before >= 1.5
        else ""
    )
    figures = (
        f"Its calls went from {md.count(before)} to {md.count(calls)} ({md.percent(100 * (calls - before) / before, signed=True)}), "
        f"and the average call from {md.rate(unit_before)} to {md.rate(unit)}{times}."
    )
    switch = jump["model_switch"]
    if switch:
        return f"{feature} moved from {md.name(switch['from'])} to {md.name(switch['to'])} on {md.day(switch['on'])}. {figures}"
    cause = (
        "more calls"
        if unit <= unit_before * 1.1
        else "dearer calls"
        if calls <= before * 1.1
        else "more and dearer calls"
    )
    return f"{feature} did not change its model; the cause is {cause}. {figures}"


def _movement(breakdown: Result) -> str:
    span = breakdown["period"]
    rows = [
        (
            md.feature(row["name"])
            if breakdown["by"] == "feature"
            else md.name(row["name"]),
            md.usd(row["previous_usd"]),
            md.usd(row["cost_usd"]),
            md.change(row["change_usd"]),
            md.count(row["calls"]),
        )
        for row in breakdown["rows"][:TABLE_ROWS]
    ]
    head = (
        breakdown["by"].capitalize(),
        _capital(span["previous_label"]),
        _capital(span["label"]),
        "Change",
        "Calls",
    )
    return md.table(head, rows)


def _what_to_do(estimate: Result, report: Result, jump: Result | None) -> str:
    steps = [
        sentences.step(o)
        for o in sentences.best_steps(
            estimate["options"], first=jump["feature"] if jump else None
        )
    ]
    slowest = report["slowest"]
    if slowest and slowest["times_slower"] >= sentences.SLOW_TIMES:
        steps.append(sentences.slow_step(slowest))
    if jump and not any(o["feature"] == jump["feature"] for o in estimate["options"]):
        steps.insert(
            0,
            f"**Check whether the calls of {md.feature(jump['feature'])} are wanted**: they cost {md.usd(jump['change_usd'])} more than before.",
        )
    if len(steps) < 3:
        steps.append(
            "**Watch it**: ask me for the “cost by day” in a week and compare."
        )
    note = (
        ""
        if not estimate["options"]
        else "\n\nSavings are estimates at list prices and the volume of that period, each seen alone."
    )
    return f"**What to do.**\n\n{md.numbered(steps)}{note}"


def _by_day(rows: Sequence[Result]) -> str:
    shown = rows[-DAY_ROWS:]
    lines = [
        (md.day(row["name"]), md.usd(row["cost_usd"]), md.count(row["calls"]))
        for row in shown
    ]
    rest = (
        f"\n\nThe newest {len(shown)} of {len(rows)} days."
        if len(rows) > len(shown)
        else ""
    )
    return md.table(("Day (UTC)", "Cost", "Calls"), lines) + rest


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
