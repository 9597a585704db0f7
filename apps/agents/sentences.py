"""Sentences that several of the offline analyst's answers share: comparisons and advice. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from apps.agents import markdown as md

Result = Mapping[str, Any]

SLOW_TIMES = 2.5
MOST_STEPS = 3
ADVICE_ON_FAILURES = {
    "rate_limited": "spread the calls out or retry them with growing pauses, and ask the provider for a higher limit",
    "timeout": "set a shorter time-out with one retry, and keep a second provider for such calls",
    "error": "retry once after a short pause; if it lasts, report the error text to the provider",
}


def best_steps(options: Sequence[Result], *, first: str | None) -> list[Result]:
    """The best option of each of three features: what risks no quality goes before a smaller model."""
    order = {"move_back": 0, "prompt_caching": 1, "smaller_model": 2}
    ranked = sorted(
        options,
        key=lambda o: (
            o["feature"] != first,
            order.get(o["kind"], 3),
            -o["saving_usd_per_month"],
        ),
    )
    chosen: dict[str, Result] = {}
    for option in ranked:
        chosen.setdefault(option["feature"], option)
    return list(chosen.values())[:MOST_STEPS]


def step(option: Result) -> str:
    feature, saved = (
        md.feature(option["feature"]),
        md.usd(option["saving_usd_per_month"]),
    )
    model, target = md.name(option["model"]), md.name(option["to_model"])
    worth = f"about **{saved} a month** saved ({md.usd(option['cost_usd'])} → {md.usd(option['estimated_usd'])} for the period's {md.count(option['calls'], 'call')})"
    if option["kind"] == "prompt_caching":
        share = md.percent(option["cacheable_percent"])
        return f"**Turn on prompt caching for {feature}** ({model}): {share} of its input repeats and could be read from the cache; at most {worth}."
    if option["kind"] == "move_back":
        return f"**Move {feature} back to {target}** from {model}: {worth}. If some questions need the larger model, send only those to it."
    return f"**Try {target} for {feature}** instead of {model}: {worth}. Compare the answers on a sample first."


def step_name(option: Result) -> str:
    if option["kind"] == "prompt_caching":
        return f"Cache prompts on {md.name(option['model'])}"
    return f"{md.name(option['model'])} → {md.name(option['to_model'])}"


def slow_step(slowest: Result) -> str:
    return (
        f"**Look at {md.name(slowest['provider'])} for speed**: its p95 is {md.duration(slowest['p95_ms'])}, "
        f"{slowest['times_slower']:.1f} times the {md.duration(slowest['others_p95_ms'])} of your other providers. "
        "Stream its answers, or send urgent calls elsewhere."
    )


def latency_steps(report: Result) -> list[str]:
    slowest, providers = report["slowest"], report["providers"]
    worst = report["models"][0]
    steps = (
        [slow_step(slowest)]
        if slowest and slowest["times_slower"] >= SLOW_TIMES
        else []
    )
    slower = [
        p
        for p in providers
        if p["previous_p95_ms"] and p["p95_ms"] >= 1.3 * p["previous_p95_ms"]
    ]
    steps += [
        f"**Ask {md.name(p['name'])} what changed**: its p95 went from {md.duration(p['previous_p95_ms'])} to {md.duration(p['p95_ms'])}."
        for p in slower[:2]
    ]
    steps.append(
        f"**Set a time-out for {md.name(worst['name'])}** a little above its p99 of {md.duration(worst['p99_ms'])}, so that a stuck call ends early."
    )
    steps.append(
        "**Stream long answers and ask for shorter ones**: most of the time of a call goes into the tokens it writes."
    )
    return steps[:MOST_STEPS]


def failure_steps(statuses: Mapping[str, int]) -> list[str]:
    ranked = sorted(statuses.items(), key=lambda item: (-item[1], item[0]))
    return [
        f"**{status.replace('_', ' ').capitalize()}** ({md.count(number, 'call')}): "
        f"{ADVICE_ON_FAILURES.get(status, 'look at the error texts')}."
        for status, number in ranked
    ]


def compared(report: Result) -> str:
    before = report["previous"]
    if not before["calls"]:
        return f"Nothing is recorded for {report['period']['previous_label']}, so there is no comparison."
    return (
        f"In {report['period']['previous_label']} it was {md.usd(before['cost_usd'])} "
        f"({md.percent(report['change_percent'], signed=True)})."
    )


def unpriced(report: Result) -> str:
    number = report["unpriced_calls"]
    return (
        f"; {md.count(number, 'call')} of models without a known price counted as 0 USD"
        if number
        else ""
    )
