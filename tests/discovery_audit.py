"""Compares the test functions that stand in the files with those that pytest collects.

    python tests/discovery_audit.py       # exit 1 when fewer than 95 % of either are found

A file that cannot be imported, a wrong name or a stray `norecursedirs` makes tests vanish in
silence; this notices.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHARE = 0.95

Found = set[tuple[str, str]]  # (file, function)


def written() -> Found:
    """The test functions in the files, as the syntax tree has them."""
    return {
        (path.relative_to(ROOT).as_posix(), node.name)
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path)))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    }


def collected() -> Found:
    """The test functions that pytest finds."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--collect-only",
        "-q",
        "-p",
        "no:randomly",
    ]
    command += ["-o", "addopts=--import-mode=importlib", "--no-header", "--color=no"]
    run = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=_environment(),
    )
    if run.returncode not in {0, 5}:
        sys.stderr.write(run.stdout[-4000:] + run.stderr[-4000:])
        raise SystemExit("pytest could not collect the tests")
    lines = (line for line in run.stdout.splitlines() if line.startswith("tests/"))
    ids = (line.split("[")[0].split("::") for line in lines if "::" in line)
    return {(parts[0], parts[-1].strip()) for parts in ids}


def _environment() -> dict[str, str]:
    return {
        name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"
    }


def main() -> int:
    there, seen = written(), collected()
    files, seen_files = {file for file, _ in there}, {file for file, _ in seen}
    for file, name in sorted(there - seen):
        print(f"not collected: {file}::{name}")
    print(f"test functions: {len(there & seen)} of {len(there)} collected")
    print(f"test files: {len(files & seen_files)} of {len(files)} collected")
    if not seen:
        print("nothing was collected at all", file=sys.stderr)
        return 1
    enough = len(there & seen) >= SHARE * len(there)
    enough = enough and len(files & seen_files) >= SHARE * len(files)
    if not enough:
        print(f"fewer than {SHARE:.0%} were collected", file=sys.stderr)
    return 0 if enough else 1


if __name__ == "__main__":
    sys.exit(main())
