"""How long Netra takes to come up: components ready, and a second start.

    python bench/startup.py [--runs 5] [--server daphne] [--json FILE]

`components ready`: from starting the interpreter until Django is set up and its
system checks have passed. `second start`: from `manage.py serve` on a database that
is migrated and seeded until the login page answers. Medians of fresh processes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from installation import SERVERS, SQLITE, Installation, installations
from servers import StartError, exit_on_sigterm, page, running
from turns import table

SECOND_START_SECONDS = 5.0  # the contract of `make run`: second start <= 5 s
INTERPRETER = "import time; print(time.monotonic())"
COMPONENTS = """
import runpy, sys, time
sys.path.insert(0, "")
sys.argv = ["manage.py", "check"]
try:
    runpy.run_path("manage.py", run_name="__main__")
except SystemExit as end:
    if end.code:
        raise
print()
print(time.monotonic())
"""


def subprocess_seconds(installation: Installation, code: str) -> float:
    """Run code that ends by printing the machine's monotonic clock."""
    start = time.monotonic()
    return float(installation.run("-c", code).split()[-1]) - start


def interpreter(installation: Installation) -> float:
    return subprocess_seconds(installation, INTERPRETER)


def components(installation: Installation) -> float:
    return subprocess_seconds(installation, COMPONENTS)


def login_page(installation: Installation) -> float:
    """Start the server, and see that `/` leads a signed-out visitor to a login."""
    server = installation.server(ready_path="/")
    start = time.monotonic()
    with running([server]):
        seconds = time.monotonic() - start
        arrived = page(f"http://127.0.0.1:{server.port}/")
    if arrived is None or "login" not in arrived[0] or "<form" not in arrived[1]:
        message = f"/ does not lead to a login page: {arrived and arrived[0]!r}"
        raise StartError(message)
    return seconds


MEASURES: dict[str, Callable[[Installation], float]] = {
    "interpreter alone": interpreter,
    "components ready": components,
    "second start": login_page,
}


def measured(installation: Installation, runs: int) -> dict[str, list[float]]:
    """Each measure several times, after one run that fills the bytecode cache."""
    seconds: dict[str, list[float]] = {}
    for name, measure in MEASURES.items():
        measure(installation)
        seconds[name] = [round(measure(installation), 3) for _ in range(runs)]
    return seconds


def report(seconds: dict[str, list[float]]) -> str:
    rows = [
        {
            "measure": name,
            "median s": f"{statistics.median(values):.2f}",
            "least": f"{min(values):.2f}",
            "most": f"{max(values):.2f}",
        }
        for name, values in seconds.items()
    ]
    return table(rows, ("measure", "median s", "least", "most"))


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--server", choices=SERVERS, default="daphne")
    parser.add_argument(
        "--database", default=SQLITE, help="sqlite, or a PostgreSQL URL"
    )
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> int:
    options = parsed()
    exit_on_sigterm()
    try:
        with installations([options.server], options.database) as (installation,):
            seconds = measured(installation, max(1, options.runs))
    except StartError as error:
        print(error)
        return 2
    second = statistics.median(seconds["second start"])
    passed = second <= SECOND_START_SECONDS
    print(report(seconds) + "\n")
    word = "PASS" if passed else "FAIL"
    print(f"{word} second start {second:.2f} s, gate <= {SECOND_START_SECONDS:g} s")
    if options.json:
        options.json.write_text(json.dumps(seconds, indent=1))
    return 0 if passed else 1


if __name__ == "__main__":
    raise SystemExit(main())
