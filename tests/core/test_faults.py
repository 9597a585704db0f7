"""Kill points: what may be asked for, that it happens at the nth reach, and never outside tests."""

from __future__ import annotations

import ast
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import transaction

from apps.core import faults
from apps.core.faults import NAMES, Act, Fault
from apps.core.keys import KeyStore
from tests.netra.test_start import refused, start
from tests.sources import called, product

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    faults.arm(())


@pytest.fixture
def happened(monkeypatch) -> list[Fault]:
    """What would have happened to this process."""
    seen: list[Fault] = []

    def happen(fault: Fault) -> None:
        seen.append(fault)

    monkeypatch.setattr(Fault, "happen", happen)
    return seen


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", ()),
        ("after_claim:1", (Fault(name="after_claim", nth=1),)),
        ("in_finish:12:kill", (Fault(name="in_finish", nth=12),)),
        ("in_sweep:2:stop", (Fault(name="in_sweep", nth=2, act=Act.STOP),)),
        (
            "after_claim:1:sleep=0.5, finished:3",
            (
                Fault(name="after_claim", nth=1, act=Act.SLEEP, seconds=0.5),
                Fault(name="finished", nth=3),
            ),
        ),
    ],
)
def test_orders_are_read(value: str, expected: tuple[Fault, ...]) -> None:
    assert faults.parsed(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        "after_claim", "after_claim:0", "after_claim:-1", "after_claim:x", "nowhere:1",
        "after_claim:1:explode", "after_claim:1:sleep", "after_claim:1:sleep=x", "after_claim:1:",
    ],
)  # fmt: skip
def test_anything_else_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=re.escape(value)):
        faults.parsed(value)


def test_it_happens_the_nth_time_only(happened) -> None:
    fault = Fault(name="after_claim", nth=2)
    faults.arm((fault,))

    for _ in range(3):
        faults.reach("after_start")
        faults.reach("after_claim")

    assert happened == [fault]


def test_nothing_happens_where_nothing_was_asked_for(happened) -> None:
    faults.arm((Fault(name="after_claim", nth=1),))
    faults.arm(())

    faults.reach("after_claim")

    assert happened == []


def test_after_the_commit_means_after_it_and_before_the_bells(
    happened, committed
) -> None:
    fault = Fault(name="finished", nth=1)
    faults.arm((fault,))
    rang: list[int] = []

    with transaction.atomic():
        faults.reach_once_committed("finished")
        transaction.on_commit(lambda: rang.append(len(happened)))
        assert happened == []

    assert (happened, rang) == ([fault], [1])


def test_a_rolled_back_transaction_reaches_nothing_after_its_commit(
    happened, committed
) -> None:
    faults.arm((Fault(name="finished", nth=1),))

    with transaction.atomic():
        faults.reach_once_committed("finished")
        transaction.set_rollback(True)

    assert happened == []


@pytest.mark.parametrize(
    ("act", "code"), [("kill", -signal.SIGKILL), ("sleep=0.01", 0)]
)
def test_a_process_dies_there_and_only_there(act: str, code: int) -> None:
    program = (
        "from apps.core import faults\n"
        f"faults.arm(faults.parsed('after_claim:2:{act}'))\n"
        "faults.reach('after_claim'); print('once', flush=True)\n"
        "faults.reach('after_claim'); print('twice', flush=True)\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert done.returncode == code
    assert done.stdout.split() == (["once"] if code else ["once", "twice"])


def test_each_name_stands_at_exactly_one_place() -> None:
    reached = Counter(
        name.value
        for source in product()
        if source.file != "apps/core/faults.py"
        for call in source.calls()
        if called(call) in {"reach", "reach_once_committed"}
        for name in ast.walk(call.args[0])
        if isinstance(name, ast.Constant)
    )

    assert reached == dict.fromkeys(NAMES, 1)


@pytest.mark.security
def test_outside_tests_the_start_is_refused(tmp_path: Path) -> None:
    sentence = refused(start(tmp_path, NETRA_FAULT="after_claim:1"))

    assert "NETRA_TESTING=1" in sentence


@pytest.mark.security
def test_in_production_the_start_is_refused(tmp_path: Path) -> None:
    KeyStore(tmp_path / "var" / "keys").ensure(may_create=True)

    sentence = refused(
        start(
            tmp_path,
            NETRA_FAULT="after_claim:1",
            NETRA_TESTING="1",
            NETRA_PUBLIC_URL="https://netra.example",
        )
    )

    assert "production" in sentence


def test_a_name_that_is_not_known_is_refused_with_those_that_are(
    tmp_path: Path,
) -> None:
    sentence = refused(start(tmp_path, NETRA_FAULT="nowhere:1", NETRA_TESTING="1"))

    assert "NETRA_FAULT is 'nowhere:1'" in sentence
    assert all(name in sentence for name in NAMES)
