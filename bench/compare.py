"""Several servers side by side, in interleaved rounds, as ratios to a baseline.

    python bench/compare.py                 # the floor and the null server
    python bench/compare.py targets.json    # and others that already run

Each round visits every server once per level, in turn from either end, so that
noise on a shared machine falls on all of them alike. Ratios are taken within a
round, and the median over rounds is shown.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from chats import Target
from servers import Server, StartError, asgi_server, exit_on_sigterm, running
from turns import Level, level_turns, numbers, run_level, table

BASELINE = "floor"
METRICS = (
    "tps",
    "ttfe_p50",
    "ttfe_p99",
    "ttev_p50",
    "ttft_p50",
    "turn_p50",
    "turn_p95",
    "cpu_ms",
    "client_cpu_ms",
)
HIGHER_IS_BETTER = frozenset({"tps"})
RATIOS = ("tps", "ttfe_p50", "turn_p50", "cpu_ms")
COLUMNS = (
    "server",
    "tps",
    "tps_x",
    "ttfe_p50",
    "ttfe_p50_x",
    "ttfe_p99",
    "ttev_p50",
    "ttft_p50",
    "turn_p50",
    "turn_p50_x",
    "turn_p95",
    "cpu_ms",
    "cpu_ms_x",
    "client_cpu_ms",
    "strangers",
    "errors",
    "rss",
)

Results = dict[tuple[str, int], list[Level]]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is measured."""

    levels: tuple[int, ...] = (1, 8, 32)
    turns: int = 100
    rounds: int = 4


def floor() -> tuple[Server, Target]:
    server = asgi_server(BASELINE, "floor:app")
    url = f"http://127.0.0.1:{server.port}/"
    return server, Target(name=BASELINE, adapter="agui", url=url)


def null() -> tuple[Server, Target]:
    server = asgi_server("null", "nullserver:app")
    url = f"ws://127.0.0.1:{server.port}/ws/"
    return server, Target(name="null", adapter="ws", url=url)


def with_pids(pairs: Sequence[tuple[Server, Target]]) -> list[Target]:
    """Call it when the servers run: only then they have process ids."""
    return [replace(target, pid=server.pid) for server, target in pairs]


def warm_up(targets: Sequence[Target], plan: Plan) -> None:
    for concurrency in plan.levels:
        for target in targets:
            run_level(target, concurrency, max(10, concurrency))


def measure(targets: Sequence[Target], plan: Plan) -> Results:
    """Run all rounds; the errors of a level are printed as they come."""
    warm_up(targets, plan)
    results: Results = {(t.name, level): [] for t in targets for level in plan.levels}
    for number in range(plan.rounds):
        order = targets if number % 2 == 0 else targets[::-1]
        for concurrency in plan.levels:
            for target in order:
                turns = level_turns(plan.turns, concurrency)
                level = run_level(target, concurrency, turns)
                results[target.name, concurrency].append(level)
                report_errors(target, level)
    return results


def report_errors(target: Target, level: Level) -> None:
    for error in level.errors[:2]:
        print(f"! {target.name}, {level.concurrency} chats: {error}", flush=True)


def ratio(rounds: Sequence[Level], base: Sequence[Level], key: str) -> float | None:
    """Median over rounds of what a round's figure is to the baseline's."""
    ratios = [
        ours.figures[key] / theirs.figures[key]
        for ours, theirs in zip(rounds, base, strict=True)
        if key in ours.figures and theirs.figures.get(key)
    ]
    return statistics.median(ratios) if ratios else None


def summary(rounds: Sequence[Level], base: Sequence[Level]) -> dict[str, str]:
    """One row: medians, the best round in brackets, ratios to the baseline."""
    row = {"errors": str(sum(len(level.errors) for level in rounds))}
    for key in METRICS:
        values = [level.figures[key] for level in rounds if key in level.figures]
        if values:
            best = max(values) if key in HIGHER_IS_BETTER else min(values)
            row[key] = f"{statistics.median(values):.4g} [{best:.4g}]"
    for key in RATIOS:
        times = ratio(rounds, base, key)
        if times is not None:
            row[f"{key}_x"] = f"{times:.2f}"
    last = rounds[-1].figures
    row["rss"] = f"{last['rss1']:g}" if "rss1" in last else ""
    if last.get("strangers"):
        row["strangers"] = f"{last['strangers']:g}"
    return row


def tables(results: Results, plan: Plan) -> str:
    """Render a markdown table per level."""
    names = list(dict.fromkeys(name for name, _ in results))
    parts = []
    for concurrency in plan.levels:
        base = results[BASELINE, concurrency]
        rows = [
            {"server": name, **summary(results[name, concurrency], base)}
            for name in names
        ]
        turns = level_turns(plan.turns, concurrency)
        parts.append(f"### {concurrency} chats, {plan.rounds} rounds of {turns} turns")
        parts.append(table(rows, COLUMNS))
    return "\n\n".join(parts)


def as_json(results: Results) -> list[dict[str, object]]:
    return [
        {"server": name, "rounds": [level.record() for level in rounds]}
        for (name, _), rounds in results.items()
    ]


def add_plan(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--levels", type=numbers, default=Plan.levels, help="chats")
    parser.add_argument("--turns", type=int, default=Plan.turns, help="a level, least")
    parser.add_argument("--rounds", type=int, default=Plan.rounds)
    parser.add_argument("--json", type=Path, help="write every round to this file")


def plan_of(options: argparse.Namespace) -> Plan:
    if options.rounds < 1 or options.turns < 1:
        message = "--rounds and --turns start at 1"
        raise SystemExit(message)
    return Plan(levels=options.levels, turns=options.turns, rounds=options.rounds)


def others(path: Path | None) -> list[Target]:
    """Servers that already run: a JSON list of objects with the fields of Target."""
    listed: list[dict[str, Any]] = json.loads(path.read_text()) if path else []
    return [
        Target(**{**item, "credentials": tuple(item.get("credentials", ()))})
        for item in listed
    ]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("targets", nargs="?", type=Path)
    add_plan(parser)
    options = parser.parse_args()
    plan, pairs = plan_of(options), [floor(), null()]
    exit_on_sigterm()
    try:
        with running([server for server, _ in pairs]):
            results = measure(with_pids(pairs) + others(options.targets), plan)
    except StartError as error:
        print(error)
        return 2
    print(tables(results, plan))
    if options.json:
        options.json.write_text(json.dumps(as_json(results), indent=1))
    failed = any(level.errors for rounds in results.values() for level in rounds)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
