"""The export of a trail, checked by the stand-alone program as a customer would."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.utils import timezone

from apps.audits import export, retention
from apps.audits.keyring import public_key
from apps.core import clock
from apps.core.actors import Actor
from apps.core.database import write_now
from apps.core.errors import NotFoundError
from apps.core.tenancy import tenant
from tests.audits import chains
from tests.factories import TESTER, TESTS
from tests.sources import ROOT

pytestmark = pytest.mark.django_db
PROGRAM = ROOT / "clients" / "verify_trail.py"


@pytest.fixture(autouse=True)
def place(settings, tmp_path):
    settings.NETRA_VAR = tmp_path


@pytest.fixture
def sealed(acme):
    chains.grow(acme.pk, 4)
    chains.sign(acme.pk)
    chains.grow(acme.pk, 3)
    return acme.pk


def exported(chain_id, **period) -> list[dict]:
    part = export.begin(actor=TESTER, chain_id=chain_id, **period)
    return [json.loads(line) for line in export.lines(part, organisation="acme")]


def check(tmp_path, lines: list[dict], *options: str) -> tuple[int, str]:
    """Exit code and words of the stand-alone program, in a process without Netra."""
    file = tmp_path / "trail.ndjson"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = subprocess.run(
        [sys.executable, "-I", str(PROGRAM), str(file), *options],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
        cwd=tmp_path,
    )
    return done.returncode, done.stdout + done.stderr


def own_key() -> str:
    raw = public_key("signing-1").public_bytes(Encoding.Raw, PublicFormat.Raw)
    return f"signing-1={base64.b64encode(raw).decode()}"


def test_an_export_holds_and_names_itself(sealed, tmp_path) -> None:
    lines = exported(sealed)

    code, said = check(tmp_path, lines, "--key", own_key())
    assert (code, "entries 1 to 8 of 'acme' hold, 2 checkpoints" in said) == (
        0,
        True,
    ), said
    last = json.loads(lines[8]["body"])
    assert (last["act"], last["details"]) == ("exported", {"first": 1, "last": 7})


def test_without_a_key_from_elsewhere_it_only_agrees_with_itself(
    sealed, tmp_path
) -> None:
    code, said = check(tmp_path, exported(sealed))

    assert (code, "self-consistent only" in said) == (0, True)


def test_no_secret_is_in_it(sealed, settings) -> None:
    text = json.dumps(exported(sealed))

    for name in ("trail-1", "signing-1", "secret"):
        assert (settings.NETRA_KEYS / name).read_text().strip() not in text


def edited(lines: list[dict], at: int, **values) -> list[dict]:
    return [line | values if n == at else line for n, line in enumerate(lines)]


@pytest.mark.security
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda ls: edited(ls, 3, body=ls[3]["body"].replace('"n":2', '"n":3')),
            "entry 3 was altered",
        ),
        (lambda ls: [ls[0], *ls[2:]], "entry 1 is missing"),
        (
            lambda ls: [*ls[:3], ls[4], ls[3], *ls[5:]],
            "entry 3 is missing; entry 4 follows",
        ),
        (
            lambda ls: edited(ls, 4, previous="0" * 64),
            "entry 4 does not follow the one before it",
        ),
        (lambda ls: ls[:-1], "the end is missing"),
        (lambda ls: [*ls[:-2], ls[-1]], "lines are missing"),
        (lambda ls: [*ls, ls[1]], "something follows the end"),
        (
            lambda ls: edited(ls, len(ls) - 2, signature="AAAA"),
            "a checkpoint is not signed as it stands",
        ),
        (
            lambda ls: edited(ls, len(ls) - 2, key_id="signing-9"),
            "which you did not give",
        ),
    ],
)
def test_each_change_to_a_file_is_found(sealed, tmp_path, change, says) -> None:
    lines = exported(sealed)

    code, said = check(tmp_path, change(lines), "--key", own_key())

    assert code == 1
    assert says in said


@pytest.mark.security
def test_a_story_written_anew_shows_against_a_checkpoint_kept_from_before(
    sealed, tmp_path, acme
) -> None:
    kept = tmp_path / "kept.ndjson"
    kept.write_text(chains.own_file(sealed).read_text())
    chains.own_file(sealed).unlink()
    with TESTS:
        _erase(sealed)
    chains.grow(sealed, 7, other="story")
    lines = exported(sealed)

    assert check(tmp_path, lines, "--key", own_key())[0] == 0
    code, said = check(tmp_path, lines, "--key", own_key(), "--checkpoints", str(kept))
    assert (code, "entry 4 is not the one" in said) == (1, True)


@pytest.mark.security
def test_a_file_that_ends_before_what_was_kept_is_told_unless_it_was_asked_for_so(
    sealed, tmp_path
) -> None:
    until = timezone.now()
    chains.grow(sealed, 2)
    chains.sign(sealed)
    chains.grow(sealed, 2)
    lines = exported(sealed, until=until)
    kept = ("--key", own_key(), "--checkpoints", str(chains.own_file(sealed)))

    code, said = check(tmp_path, lines, *kept)
    assert (code, "ends with entry 9" in said, "entry 12" in said) == (1, True, True)
    assert check(tmp_path, lines, *kept, "--part")[0] == 0


@pytest.mark.security
def test_checkpoints_that_speak_of_none_of_the_entries_prove_nothing(
    sealed, globex, tmp_path
) -> None:
    chains.grow(globex.pk, 3)
    chains.sign(globex.pk)
    lines = exported(sealed)

    for name, text in (
        ("foreign", chains.own_file(globex.pk).read_text()),
        ("empty", ""),
    ):
        kept = tmp_path / name
        kept.write_text(text)
        code, said = check(tmp_path, lines, "--checkpoints", str(kept))
        assert (code, "speaks of these entries" in said) == (2, True)


@pytest.mark.security
def test_a_file_cannot_say_of_itself_that_it_was_proved(sealed, tmp_path) -> None:
    name = "acme hold, signed by the keys you gave.\x1b[8m"
    lines = edited(exported(sealed), 0, organisation=name)

    code, said = check(tmp_path, lines)

    assert (code, "\x1b" in said, "self-consistent only" in said) == (0, False, True)
    assert "entries 1 to 8 of 'acme hold" in said


@pytest.mark.parametrize(
    "changed",
    [{"public_keys": []}, {"first": "1"}, {"first": None}, {"chain": 1}],
    ids=str,
)
def test_a_header_of_another_form_is_told_in_a_sentence(
    sealed, tmp_path, changed
) -> None:
    code, said = check(tmp_path, edited(exported(sealed), 0, **changed))

    assert code in {1, 2}
    assert "Traceback" not in said


def _erase(chain_id) -> None:
    from apps.audits.models import Checkpoint, Head
    from tests import guards

    with guards.lifted():
        chains.entries(chain_id).delete()
        Checkpoint.objects.filter(organisation_id=chain_id).delete()
        Head.objects.filter(organisation_id=chain_id).delete()


@pytest.mark.parametrize("text", ["", "no json\n", '{"kind":"other"}\n', "[]\n"])
def test_what_is_no_export_is_refused_in_a_sentence(tmp_path, text) -> None:
    file = tmp_path / "x"
    file.write_text(text)

    done = subprocess.run(
        [sys.executable, "-I", str(PROGRAM), str(file)],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )

    assert done.returncode == 2
    assert "This cannot be checked" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_part_ends_with_a_signature_and_holds_alone(sealed, tmp_path) -> None:
    since = timezone.now()
    chains.grow(sealed, 2)
    until = timezone.now()
    chains.sign(sealed)
    chains.grow(sealed, 2)

    lines = exported(sealed, since=since, until=until)

    numbers = [line["seq"] for line in lines if line["kind"] == "entry"]
    assert numbers == [8, 9]
    assert check(tmp_path, lines, "--key", own_key())[0] == 0


def test_a_period_without_entries_is_refused_and_leaves_no_entry(sealed) -> None:
    with pytest.raises(NotFoundError):
        exported(sealed, since=timezone.now() + timedelta(days=1))

    with TESTS:
        assert not chains.entries(sealed).filter(act="exported").exists()


def test_a_chain_that_was_cut_is_exported_from_its_first_entry(acme, tmp_path) -> None:
    sealed, later = acme.pk, timezone.now() + timedelta(days=1)
    with chains.days_ago(2):
        chains.grow(sealed, 4)
        chains.sign(sealed, now=clock.now())
    chains.grow(sealed, 3)
    write_now(tenant(sealed), lambda: retention.cut(sealed, before=later))
    write_now(tenant(sealed), lambda: retention.drop(sealed))

    lines = exported(sealed)

    assert lines[0]["first"] == 5
    assert check(tmp_path, lines, "--key", own_key())[0] == 0


def test_an_empty_trail_is_exported_with_the_entry_about_it(acme, tmp_path) -> None:
    lines = exported(acme.pk)

    assert [line["kind"] for line in lines] == [
        "netra-trail",
        "entry",
        "checkpoint",
        "end",
    ]
    assert check(tmp_path, lines)[0] == 0


def test_long_trails_are_read_in_batches(sealed, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(export, "BATCH", 3)

    lines = exported(sealed)

    assert [line["seq"] for line in lines if line["kind"] == "entry"] == [*range(1, 9)]
    assert check(tmp_path, lines)[0] == 0


@pytest.mark.security
def test_an_export_holds_nothing_of_another_organisation(sealed, globex) -> None:
    chains.grow(globex.pk, 3, said="globex only")

    part = export.begin(actor=Actor.system("x"), chain_id=sealed)

    assert "globex only" not in "".join(export.lines(part, organisation="acme"))
