"""A customer's proof: whole, or named where it is not, by a file that imports nothing of ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from apps.audits.isolation import actions, bundle, verifying
from apps.audits.isolation.judging import Check, Judged, Outcome
from apps.audits.isolation.verifying import BrokenError, UnreadableError, verify
from apps.audits.models import IsolationAudit
from apps.audits.trail import PLATFORM
from apps.core.tenancy import tenant
from tests.factories import TESTER

OWN = tenant(PLATFORM)


def probe(number: int, outcome: Outcome = Outcome.HELD) -> Judged:
    return Judged(
        kind="route",
        surface=f"GET /{number}/",
        check=Check.FOREIGN,
        outcome=outcome,
        request="as canary-a",
        expected="nothing of another's",
        got="404, nothing foreign in it",
    )


@pytest.fixture
def audit(db) -> IsolationAudit:
    with OWN:
        audit_id = actions.begin(actor=TESTER, trigger="command")
        probes = [probe(number) for number in range(1, 6)]
        actions.end(actor=TESTER, audit_id=audit_id, probes=probes)
        row: IsolationAudit = IsolationAudit.objects.get(pk=audit_id)
    return row


@pytest.fixture
def file(audit, tmp_path: Path) -> Path:
    place = tmp_path / "bundle.ndjson"
    with OWN:
        place.write_text("".join(f"{line}\n" for line in bundle.lines(audit)))
    return place


def test_a_bundle_is_whole_and_says_how_far_its_key_proves_it(file: Path):
    own, given = verify(file), verify(file, bundle.published_key())

    assert own.end["verdict"] == "passed"
    assert "self-consistent only" in own.sentence
    assert "the one that you gave" in given.sentence


def test_one_flipped_byte_anywhere_is_found(file: Path):
    whole = file.read_bytes()
    for place in range(0, len(whole), 7):
        flipped = bytearray(whole)
        flipped[place] ^= 0x01
        file.write_bytes(bytes(flipped))
        with pytest.raises((BrokenError, UnreadableError)):
            verify(file)


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_a_bundle_that_was_cut_short_is_refused(file: Path, kept: float):
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * kept)])

    with pytest.raises(BrokenError):
        verify(file)


def test_a_probe_that_was_taken_out_is_missed(file: Path):
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:3] + lines[4:]))

    with pytest.raises(BrokenError):
        verify(file)


def test_another_installations_key_is_named(file: Path):
    other = "A" * 43 + "="

    with pytest.raises(BrokenError, match="not by the one that you gave"):
        verify(file, other)


def test_what_is_no_bundle_cannot_be_read(tmp_path: Path):
    text = tmp_path / "x"
    text.write_text("hello\n")

    with pytest.raises(UnreadableError):
        verify(text)
    with pytest.raises(UnreadableError):
        verify(tmp_path / "missing")


def test_the_one_file_works_alone(file: Path, tmp_path: Path):
    alone = tmp_path / "verifying.py"
    alone.write_text(Path(verifying.__file__).read_text())

    done = subprocess.run(
        [sys.executable, "-I", str(alone), str(file)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )

    assert done.returncode == 0, done.stderr
    assert "5 probes" in done.stdout


def test_sums_that_do_not_follow_from_the_probes_are_refused_though_they_are_signed(
    audit, tmp_path: Path
):
    with OWN:
        audit.verdict = "breached"
        lines = list(bundle.lines(audit))
    file = tmp_path / "lie"
    file.write_text("".join(f"{line}\n" for line in lines))

    with pytest.raises(BrokenError, match="do not follow"):
        verify(file)


# -- rows ----------------------------------------------------------------------------


def test_two_audits_at_once_are_refused(db):
    with OWN:
        actions.begin(actor=TESTER, trigger="command")
        with pytest.raises(actions.AuditRunningError):
            actions.begin(actor=TESTER, trigger="command")


def test_an_audit_that_was_lost_makes_way(db):
    with OWN:
        lost = actions.begin(actor=TESTER, trigger="command")
        rows = IsolationAudit.objects.filter(pk=lost)
        rows.update(seen_at=rows.get().seen_at - actions.LOST * 2)
        actions.begin(actor=TESTER, trigger="command")

        assert rows.get().verdict == "interrupted"


@pytest.mark.parametrize(
    ("outcome", "state"),
    [(Outcome.BREACHED, "breached"), (Outcome.INCONCLUSIVE, "inconclusive")],
)
def test_one_probe_that_did_not_hold_decides(db, outcome: Outcome, state: str):
    with OWN:
        audit_id = actions.begin(actor=TESTER, trigger="command")
        probes = [probe(1), probe(2, outcome)]
        actions.end(actor=TESTER, audit_id=audit_id, probes=probes)

        assert IsolationAudit.objects.get(pk=audit_id).verdict == state
