"""The golden path beside the floor: the one command behind `make bench`.

    python bench/golden.py [--servers uvicorn,daphne] [--database sqlite|URL]

Starts a fresh Netra under each server and the floor under uvicorn, measures them
in interleaved rounds, and prints tables and a verdict per goal. Exit code 0: every
gate passed, 1: one did not, 2: a server did not come up.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version

from chats import Target
from compare import (
    BASELINE,
    Plan,
    Results,
    add_plan,
    as_json,
    floor,
    measure,
    plan_of,
    ratio,
    report_errors,
    tables,
    with_pids,
)
from installation import SERVERS, SQLITE, USERS, installations
from servers import StartError, exit_on_sigterm, running
from turns import Level, percentile, run_level, table

GOLDEN = "golden-turn"
AGENT_TURNS = 8
VERSIONS = ("Django", "channels", "daphne", "uvicorn", "pydantic-ai-slim")


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What a ratio to the floor must be.

    The gate decides the exit code. The bar is the architecture's own figure for
    SQLite ("bars that never move"; Daphne's from the prototype's goals): a missed
    bar is said out loud, and is an issue to open, but does not fail the command.
    """

    server: str
    key: str
    says: str
    gate: float
    bar: float
    at_least: bool = False
    level: int = 0  # 0: at every level that was run

    def met(self, value: float, limit: float) -> bool:
        return value >= limit if self.at_least else value <= limit

    def verdict(self, value: float, level: int) -> tuple[bool, str]:
        passed = self.met(value, self.gate)
        sign = ">=" if self.at_least else "<="
        bar = "met" if self.met(value, self.bar) else "MISSED"
        return passed, (
            f"{'PASS' if passed else 'FAIL'} {self.server}, {level} chats: {self.says}"
            f" {value:.2f} x floor, gate {sign} {self.gate:g};"
            f" bar {sign} {self.bar:g} {bar}"
        )


# Ratios only: milliseconds belong to a machine, and at 32 chats they are queueing.
# Gates: the release gate of `make bench`. Bars: the architecture's section on bars.
GOALS = (
    Goal(server="uvicorn", key="cpu_ms", says="CPU per turn", gate=1.35, bar=1.15),
    Goal(server="daphne", key="cpu_ms", says="CPU per turn", gate=1.6, bar=1.35),
    Goal(
        server="uvicorn",
        key="tps",
        says="turns/s",
        gate=0.9,
        bar=1.0,
        at_least=True,
        level=32,
    ),
)


def judge(
    results: Results, plan: Plan, kinds: Sequence[str]
) -> Iterator[tuple[bool, str]]:
    """Yield a verdict for each goal that this run can decide, errors last."""
    for goal in GOALS:
        if goal.server not in kinds:
            continue
        if goal.level and goal.level not in plan.levels:
            yield True, f"SKIP {goal.server}: {goal.says} needs level {goal.level}"
            continue
        for level in (goal.level,) if goal.level else plan.levels:
            rounds = results[f"netra-{goal.server}", level]
            value = ratio(rounds, results[BASELINE, level], goal.key)
            if value is None:
                yield False, f"FAIL {goal.server}, {level} chats: no {goal.says}"
            else:
                yield goal.verdict(value, level)
    wrong = sum(len(level.errors) for rounds in results.values() for level in rounds)
    turns = sum(level.turns for rounds in results.values() for level in rounds)
    word = "FAIL" if wrong else "PASS"
    yield not wrong, f"{word} {wrong} errors beside {turns} correct turns, gate 0"


def first_events(rounds: dict[tuple[str, int], list[Level]]) -> str:
    """Render the time to the first frame and first event, all rounds together."""
    rows = []
    for (name, concurrency), levels in rounds.items():
        row = {"server": name, "chats": str(concurrency)}
        frames = [seconds for level in levels for seconds in level.first_frames]
        events = [seconds for level in levels for seconds in level.first_events]
        for title, values in (("frame", frames), ("event", events)):
            for q in (50, 99):
                if values:
                    row[f"{title} p{q}"] = f"{percentile(values, q) * 1e3:.2f}"
        rows.append({**row, "turns": str(len(frames))})
    columns = ("server", "chats", "turns")
    return table(rows, (*columns, "frame p50", "frame p99", "event p50", "event p99"))


def with_agent(targets: Sequence[Target], plan: Plan, agent: str) -> Results:
    """One round with another agent, whose tokens nobody counts."""
    results: Results = {}
    for target in targets:
        asked = replace(target, agent=agent, tokens=0, turn_seconds=90.0)
        for concurrency in plan.levels:
            turns = max(AGENT_TURNS, 2 * concurrency)
            level = run_level(asked, concurrency, turns)
            report_errors(asked, level)
            results[target.name, concurrency] = [level]
    return results


@contextmanager
def contestants(options: argparse.Namespace) -> Iterator[list[Target]]:
    """Start the floor and every Netra, and stop them at the end."""
    with installations(options.servers, options.database) as fresh:
        pairs = [floor(), *(each.measured(options.users) for each in fresh)]
        with running([server for server, _ in pairs]):
            yield with_pids(pairs)


def machine() -> str:
    """Say what the figures were taken on; ratios of two machines may differ."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    packages = ", ".join(f"{name} {version(name)}" for name in VERSIONS)
    python = f"Python {platform.python_version()}"
    return f"{python}, {os.cpu_count()} cores, load {load}; {packages}"


def kinds(text: str) -> tuple[str, ...]:
    chosen = tuple(dict.fromkeys(text.split(",")))
    if not set(chosen) <= set(SERVERS):
        message = f"choose from {', '.join(SERVERS)}, not {text!r}"
        raise argparse.ArgumentTypeError(message)
    return chosen


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_plan(parser)
    parser.add_argument("--servers", type=kinds, default=SERVERS, help="by commas")
    parser.add_argument(
        "--database", default=SQLITE, help="sqlite, or a PostgreSQL URL"
    )
    parser.add_argument(
        "--agent", default=GOLDEN, help="whose first event is timed as well"
    )
    parser.add_argument(
        "--users", type=lambda text: text.split(","), default=USERS, help="emails"
    )
    return parser.parse_args()


def main() -> int:
    options = parsed()
    plan = plan_of(options)
    exit_on_sigterm()
    conditions = machine()
    try:
        with contestants(options) as targets:
            results = measure(targets, plan)
            timed = results
            if options.agent != GOLDEN:
                timed = with_agent(targets[1:], plan, options.agent)
    except StartError as error:
        print(error)
        return 2
    verdicts = list(judge(results, plan, options.servers))
    print(f"## Golden path on {options.database.split(':')[0]}\n\n{conditions}\n")
    print(tables(results, plan))
    print(f"\n### First frame and first event of `{options.agent}`, ms\n")
    print(first_events(timed) + "\n")
    print("\n".join(line for _, line in verdicts))
    if options.json:
        record = {
            "machine": conditions,
            "database": options.database.split(":")[0],
            "verdicts": [line for _, line in verdicts],
            "results": as_json(results),
        }
        options.json.write_text(json.dumps(record, indent=1))
    return 0 if all(passed for passed, _ in verdicts) else 1


if __name__ == "__main__":
    raise SystemExit(main())
