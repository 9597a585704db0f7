"""docs/security.md says what the code does: its tables are the code's, its tests exist."""

from __future__ import annotations

import re

import pytest

from tests.security import published
from tests.sources import ROOT

pytestmark = pytest.mark.security

NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


@pytest.mark.parametrize(
    ("name", "made"), [("members", published.members), ("staff", published.staff)]
)
def test_the_published_roles_are_those_of_the_code(name: str, made) -> None:
    assert published.between(name) == made(), f"put this under {name}:\n{made()}"


def test_every_test_that_it_names_exists() -> None:
    named = NAMED.findall(published.DOCUMENT.read_text())
    absent = [
        f"{file}::{test}"
        for file, test in named
        if not (ROOT / file).is_file()
        or (test and f"def {test}(" not in (ROOT / file).read_text())
    ]

    assert absent == []
    assert len(named) > 60


def test_every_row_of_the_list_has_a_test_or_says_not_yet() -> None:
    rows = [
        line
        for line in published.between("asvs").splitlines()
        if re.match(r"\| \d", line)
    ]

    assert len(rows) > 35
    assert [r for r in rows if not NAMED.search(r) and "not yet" not in r] == []
