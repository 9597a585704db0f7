"""A bad configuration stops the start with one sentence: the variable, the form, exit code 2."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from django.core import management
from django.db import OperationalError

import manage
from apps.core.keys import PURPOSES, KeyStore
from apps.core.transactions import (
    DatabaseConnectionError,
    LockTimeoutError,
    caused,
)

ROOT = Path(__file__).resolve().parents[2]


def start(
    folder: Path, command: str = "check", **variables: str
) -> subprocess.CompletedProcess[str]:
    environment = {
        n: v for n, v in os.environ.items() if not n.startswith(("NETRA_", "DJANGO_"))
    }
    environment |= {"NETRA_VAR": str(folder / "var"), **variables}
    return subprocess.run(
        [sys.executable, "manage.py", command],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def refused(run: subprocess.CompletedProcess[str]) -> str:
    """The sentence it was refused with; fails when it was more, or less, than that."""
    assert run.returncode == 2, run.stdout + run.stderr
    assert "Traceback" not in run.stderr
    (line,) = [
        line
        for line in run.stderr.splitlines()
        if line.startswith("Netra cannot start:")
    ]
    assert run.stderr.strip().endswith(line)
    return line


@pytest.mark.parametrize(
    ("variables", "form"),
    [
        ({"NETRA_DEBUG": "maybe"}, "1 or 0"),
        ({"NETRA_DEMO": "2"}, "1 or 0"),
        ({"NETRA_LIMITS": "none"}, "1 or 0"),
        ({"NETRA_PUBLIC_URL": "netra.example"}, "http(s)://host[:port]"),
        ({"NETRA_PUBLIC_URL": "https://netra.example/path"}, "http(s)://host[:port]"),
        ({"NETRA_OIDC_URL": "ftp://netra.example"}, "http(s)://host[:port]"),
        (
            {"NETRA_DATABASE_URL": "mysql://root@127.0.0.1/netra"},
            "sqlite:///path or postgres://",
        ),
        ({"NETRA_REDIS_URL": "localhost:6379"}, "redis://host:port/number"),
    ],
    ids=lambda value: (
        "=".join(next(iter(value.items()))) if isinstance(value, dict) else ""
    ),
)
def test_a_malformed_variable_is_named_with_the_accepted_form(
    variables: dict[str, str], form: str, tmp_path: Path
) -> None:
    (name, value), *_ = variables.items()

    sentence = refused(start(tmp_path, **variables))

    assert f"{name} is {value!r}" in sentence
    assert form in sentence


def test_redis_beside_sqlite_is_refused_with_both_ways_out(tmp_path: Path) -> None:
    sentence = refused(start(tmp_path, NETRA_REDIS_URL="redis://127.0.0.1:6379/0"))

    assert "NETRA_REDIS_URL" in sentence
    assert "PostgreSQL" in sentence


@pytest.mark.security
@pytest.mark.regression
def test_debugging_brings_no_demo_to_a_public_address(tmp_path: Path) -> None:
    sentence = refused(
        start(
            tmp_path,
            NETRA_PUBLIC_URL="https://netra.example",
            NETRA_DEMO="1",
            NETRA_DEBUG="1",
        )
    )

    assert "NETRA_DEMO=1 is refused" in sentence


@pytest.mark.security
@pytest.mark.parametrize("name", ["NETRA_DEMO", "NETRA_LIMITS"])
def test_demo_data_and_lifted_limits_are_refused_in_production(
    name: str, tmp_path: Path
) -> None:
    KeyStore(tmp_path / "var" / "keys").ensure(may_create=True)
    value = "1" if name == "NETRA_DEMO" else "0"

    sentence = refused(
        start(tmp_path, NETRA_PUBLIC_URL="https://netra.example", **{name: value})
    )

    assert name in sentence


@pytest.mark.security
def test_production_never_makes_keys_by_itself(tmp_path: Path) -> None:
    sentence = refused(start(tmp_path, NETRA_PUBLIC_URL="https://netra.example"))

    assert "NETRA_KEYS" in sentence
    assert all(purpose in sentence for purpose in PURPOSES)
    assert not list(tmp_path.rglob("secret*"))


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    sentence = refused(start(tmp_path, NETRA_VAR=str(tmp_path / "file" / "var")))

    assert "NETRA_VAR" in sentence


def test_a_database_that_cannot_be_opened_is_one_sentence(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/absent/netra.sqlite3"

    sentence = refused(start(tmp_path, "migrate", NETRA_DATABASE_URL=url))

    assert "NETRA_DATABASE_URL" in sentence
    assert "unable to open database file" in sentence


def test_a_database_that_may_not_be_written_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "locked.sqlite3"
    sqlite3.connect(path).close()
    raw = sqlite3.connect(f"file:{path}?mode=ro", uri=True)

    with pytest.raises(sqlite3.OperationalError) as caught:
        raw.execute("CREATE TABLE t (x)")
    raw.close()

    sentence = manage.unreachable(OperationalError(str(caught.value)))
    assert sentence is not None
    assert "NETRA_DATABASE_URL" in sentence


def test_a_typed_error_still_tells_why_the_database_cannot_be_used() -> None:
    error = caused(DatabaseConnectionError, OperationalError("connection refused"))

    assert "connection refused" in str(manage.unreachable(error))  # type: ignore[arg-type]


def test_a_command_that_meets_a_busy_database_says_so_in_one_line(
    monkeypatch, capsys
) -> None:
    def busy(_: list[str]) -> None:
        raise caused(LockTimeoutError, OperationalError("database is locked"))

    monkeypatch.setattr(management, "execute_from_command_line", busy)

    assert manage.main() == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "busy" in said


def test_other_faults_of_the_database_keep_their_trace() -> None:
    assert manage.unreachable(OperationalError("no such column: x")) is None


def test_a_good_configuration_starts(tmp_path: Path) -> None:
    run = start(tmp_path)

    assert run.returncode == 0, run.stderr
    assert (tmp_path / "var" / "keys").stat().st_mode & 0o777 == 0o700
    for key in PURPOSES:
        assert (tmp_path / "var" / "keys" / key).stat().st_mode & 0o777 == 0o600
