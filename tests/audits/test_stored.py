"""Values that no column takes, left by an edit of the file below Django: each is found with its number."""

from __future__ import annotations

import pytest
from django.db import connection

from apps.audits import verification
from tests import guards
from tests.audits import chains

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.security,
    pytest.mark.skipif(
        connection.vendor != "sqlite", reason="only SQLite takes such a value"
    ),
]


@pytest.fixture
def sealed(acme, settings, tmp_path):
    """Nine entries; the first six are signed."""
    settings.NETRA_VAR = tmp_path
    chains.grow(acme.pk, 6)
    chains.sign(acme.pk)
    chains.grow(acme.pk, 3)
    return acme.pk


@pytest.mark.parametrize(
    "change",
    [
        "body = CAST(X'7BFF7D' AS TEXT)",
        "code = CAST(X'FF' AS TEXT)",
        "code = X'FF'",
        "target = CAST(X'FF' AS TEXT)",
        "at = '2026-11-21 15:16:0p'",
        "at = '2026-13-41 15:16:00'",
        "actor_id = 'nobody'",
    ],
)
def test_a_value_that_cannot_even_be_read_is_found_with_its_number(
    sealed, globex, change
) -> None:
    chains.grow(globex.pk, 2)
    with guards.lifted(), connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE audits_entry SET {change} WHERE organisation_id = %s AND seq = 5",  # noqa: S608 - ours
            [sealed.hex],
        )

    assert chains.damage(sealed) == [(5, "altered")]
    assert chains.damage(globex.pk) == []


@pytest.mark.parametrize("table", guards.GUARDED)
def test_a_row_whose_place_cannot_be_read_leaves_the_others_to_be_verified(
    sealed, table
) -> None:
    with guards.lifted(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE {table} SET organisation_id = 'g' WHERE seq = 6")  # noqa: S608 - ours

    assert verification.chains() == [sealed]
    assert [number for number, _ in chains.damage(sealed)] == [
        6 if table == "audits_entry" else 9
    ]


@pytest.mark.parametrize(
    "change", ["body = CAST(X'FF' AS TEXT)", "at = 'then'", "key_id = X'FF'"]
)
def test_a_checkpoint_that_cannot_even_be_read_is_found(sealed, change) -> None:
    with guards.lifted(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE audits_checkpoint SET {change}")  # noqa: S608 - ours

    assert (6, "checkpoint") in chains.damage(sealed)
