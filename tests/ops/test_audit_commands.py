"""`audit_verify` and `audit_export` as an operator runs them: words and exit codes."""

from __future__ import annotations

import io
import json
import sys

import pytest
from django.core.management import CommandError, call_command
from django.db.models import Value
from django.db.models.functions import Concat, Length, Substr

from apps.audits import checkpoints
from apps.audits.trail import PLATFORM
from tests import factories
from tests.audits import chains
from tests.factories import TESTS

pytestmark = [pytest.mark.django_db, pytest.mark.security]


@pytest.fixture(autouse=True)
def place(settings, tmp_path):
    settings.NETRA_VAR = tmp_path


@pytest.fixture
def sealed(acme, globex, alice_principal):
    for chain_id in (acme.pk, globex.pk, PLATFORM):
        chains.grow(chain_id, 3)
        chains.sign(chain_id)
    factories.ended(alice_principal)
    return acme.pk


def verify(*options: str, terminal: bool = False) -> tuple[int, str, str]:
    """Exit code, output and remarks."""
    out, remarks = io.StringIO(), io.StringIO()
    remarks.isatty = lambda: terminal  # type: ignore[method-assign]
    try:
        call_command("audit_verify", *options, stdout=out, stderr=remarks)
    except SystemExit as end:
        return int(end.code or 0), out.getvalue(), remarks.getvalue()
    except CommandError as error:
        return error.returncode, out.getvalue(), str(error)
    return 0, out.getvalue(), remarks.getvalue()


def edit_one_byte(chain_id, seq: int) -> None:
    place = Length("body") - 3
    chains.tamper(
        chain_id,
        seq,
        body=Concat(
            Substr("body", 1, place), Value("~"), Substr("body", place + Value(2))
        ),
    )


def test_a_whole_trail_holds(sealed) -> None:
    code, out, remarks = verify()

    assert (code, out) == (0, "")
    assert "10 entries in 3 chains, 6 checkpoints." in remarks
    assert "Executions: 1 whole." in remarks
    assert "Everything holds." in remarks


@pytest.mark.mission_critical
@pytest.mark.parametrize("seq", [1, 2, 4])
def test_one_byte_that_was_edited_is_named_with_its_entry(sealed, seq) -> None:
    edit_one_byte(sealed, seq)

    code, out, remarks = verify()

    assert code == 1
    assert out == f"acme, entry {seq}: altered: entry {seq} was altered.\n"
    assert "1 places do not hold." in remarks


def test_one_organisation_can_be_asked_for(sealed) -> None:
    edit_one_byte(sealed, 1)

    assert verify("--organisation", "globex")[0] == 0
    assert verify("--organisation", "platform")[0] == 0
    assert verify("--organisation", "acme")[0] == 1


def test_it_can_begin_later(sealed) -> None:
    edit_one_byte(sealed, 1)

    assert verify("--since", "2")[0] == 0


def test_files_kept_elsewhere_are_compared(sealed, tmp_path) -> None:
    kept = tmp_path / "kept"
    checkpoints.folder().rename(kept)
    file = kept / f"{sealed}.ndjson"

    assert verify("--checkpoints", str(kept))[0] == 0

    file.write_text(file.read_text().replace(r"\"seq\":3", r"\"seq\":2"))
    code, out, _ = verify("--checkpoints", str(kept))
    assert (code, "checkpoint" in out) == (1, True)


def test_a_file_of_a_chain_that_is_gone_is_damage(sealed) -> None:
    file = chains.own_file(sealed)
    file.rename(file.with_name("00000000-0000-4000-8000-00000000dead.ndjson"))

    code, out, _ = verify()
    assert (code, "00000000-0000-4000-8000-00000000dead" in out) == (1, True)


@pytest.mark.parametrize(
    "options",
    [
        ("--organisation", "nobody"),
        ("--since", "0"),
        ("--checkpoints", "/nowhere/at/all"),
    ],
)
def test_bad_input_is_a_sentence_and_code_2(sealed, options) -> None:
    code, out, said = verify(*options)

    assert (code, out) == (2, "")
    assert said.endswith(".")


def test_a_folder_with_other_files_is_bad_input(sealed, tmp_path) -> None:
    (tmp_path / "notes.ndjson").touch()

    code, _, said = verify("--checkpoints", str(tmp_path))
    assert (code, "not named after a chain" in said) == (2, True)


def test_a_terminal_shows_how_far_it_is(sealed) -> None:
    assert "of 10" in verify(terminal=True)[2]
    assert "#" not in verify()[2]


def test_an_export_goes_into_a_new_file(sealed, tmp_path) -> None:
    place = tmp_path / "out.ndjson"

    call_command(
        "audit_export", "--organisation", "acme", "--out", str(place), stderr=io.StringIO()
    )  # fmt: skip

    lines = [json.loads(line) for line in place.read_text().splitlines()]
    assert (lines[0]["kind"], lines[-1]["kind"]) == ("netra-trail", "end")
    assert place.stat().st_mode & 0o777 == 0o600
    with TESTS:
        assert chains.entries(sealed).filter(act="exported").count() == 1


def test_an_export_goes_to_standard_output(sealed, monkeypatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)

    call_command("audit_export", "--organisation", "acme", stderr=io.StringIO())

    assert out.getvalue().startswith('{"chain":')


@pytest.mark.parametrize(
    "options",
    [
        ("--organisation", "nobody"),
        ("--organisation", "acme", "--since", "yesterday"),
        ("--organisation", "acme", "--since", "2999-01-01"),
        ("--organisation", "acme", "--out", "/nowhere/at/all"),
    ],
)
def test_a_bad_export_is_a_sentence_and_code_2(sealed, options) -> None:
    with pytest.raises(CommandError) as caught:
        call_command("audit_export", *options, stderr=io.StringIO())

    assert caught.value.returncode == 2
