"""Flags: what counts without a row, for all, for a share and for one organisation; at no query."""

from __future__ import annotations

import ast
import logging
import uuid
from collections.abc import Iterator
from functools import cache

import pytest
from django.db import connection

from apps.core import flags, sweeps
from apps.core.flags import DEFAULTS, SWITCHES, Switch, bucket, enabled
from apps.core.models import Flag
from tests import roles
from tests.sources import ROOT, Source, product
from tests.switches import off

A, B = uuid.UUID(int=1), uuid.UUID(int=2)
PATH = Switch.RETRIES  # any that is decided for each organisation


def row(switch: str, percentage: int, organisation_id: uuid.UUID | None = None) -> None:
    Flag.objects.create(
        name=switch, percentage=percentage, organisation_id=organisation_id
    )
    flags.refresh()


# -- what counts ------------------------------------------------------------------------


@pytest.mark.parametrize("switch", Switch)
def test_without_a_row_a_path_has_its_default(switch: Switch) -> None:
    assert enabled(switch) is SWITCHES[switch].default
    assert enabled(switch, A) is SWITCHES[switch].default


def test_the_table_says_of_every_switch_what_it_does() -> None:
    assert set(SWITCHES) == set(Switch) == set(DEFAULTS.general)
    for facts in SWITCHES.values():
        assert facts.on.endswith(".")
        assert facts.off.endswith(".")


def test_before_the_first_look_the_defaults_count(db) -> None:
    Flag.objects.create(name=PATH, percentage=0)

    assert enabled(PATH, A)
    flags.refresh()
    assert not enabled(PATH, A)


def test_a_row_for_all_switches_for_all_and_nothing_else(db) -> None:
    row(PATH, 0)

    assert not enabled(PATH)
    assert not enabled(PATH, A)
    assert all(enabled(other, A) for other in Switch if other is not PATH)


@pytest.mark.security
def test_an_organisations_own_row_wins_for_it_alone(db) -> None:
    row(PATH, 0, A)

    assert not enabled(PATH, A)
    assert enabled(PATH, B)
    assert enabled(PATH)
    row(PATH, 0)
    Flag.objects.filter(organisation_id=A).update(percentage=100)
    flags.refresh()
    assert enabled(PATH, A)
    assert not enabled(PATH, B)


def test_a_share_is_on_for_about_that_many_and_for_the_same_ones(db) -> None:
    everybody = [uuid.UUID(int=n) for n in range(1000)]
    on: dict[int, set[uuid.UUID]] = {}
    for percentage in (10, 50, 90):
        Flag.objects.all().delete()
        row(PATH, percentage)
        on[percentage] = {each for each in everybody if enabled(PATH, each)}
        assert abs(len(on[percentage]) - percentage * 10) < 60

    assert on[10] < on[50] < on[90]


def test_a_share_is_not_on_for_the_installation_as_a_whole(db) -> None:
    row(PATH, 99)

    assert not enabled(PATH)


def test_the_bucket_of_an_organisation_never_changes() -> None:
    """Kept numbers: another way of counting would switch paths for people in the middle."""
    assert [bucket(PATH, A), bucket(PATH, B), bucket(Switch.FAIRNESS, A)] == KEPT


KEPT = [62, 11, 89]


def test_a_row_that_is_gone_counts_no_more(db) -> None:
    row(PATH, 0)
    Flag.objects.all().delete()
    flags.refresh()

    assert enabled(PATH, A)


def test_an_unknown_name_is_ignored_and_known_as_such(db) -> None:
    row("retreis", 0)

    assert flags.unknown_names() == {"retreis"}
    assert all(enabled(switch, A) for switch in Switch)


def test_off_in_a_test_ends_with_its_block() -> None:
    with off(PATH):
        assert not enabled(PATH, A)
        assert enabled(Switch.FAIRNESS)
    assert enabled(PATH, A)


# -- how it is read ---------------------------------------------------------------------


def test_asking_costs_no_query_and_a_look_costs_one(
    db, django_assert_num_queries
) -> None:
    row(PATH, 50)
    with django_assert_num_queries(0):
        for switch in Switch:
            enabled(switch, A)
    with django_assert_num_queries(1):
        flags.refresh()


def test_every_process_looks_every_two_seconds() -> None:
    assert sweeps.registered()["core.flags"] == flags.REFRESH_SECONDS == 2


@pytest.fixture
def no_table(transactional_db) -> Iterator[None]:
    """The table is away, as a database that fails would leave it."""
    with roles.as_owner(), connection.schema_editor() as editor:
        editor.alter_db_table(Flag, "core_flag", "core_flag_away")
    yield
    with roles.as_owner(), connection.schema_editor() as editor:
        editor.alter_db_table(Flag, "core_flag_away", "core_flag")


@pytest.fixture
def switched_off(transactional_db) -> None:
    row(PATH, 0)


def test_while_the_rows_cannot_be_read_the_last_ones_count_and_it_is_told_once(
    switched_off, no_table, caplog
) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            flags.refresh()

    assert not enabled(PATH, A)
    told = [r for r in caplog.records if getattr(r, "action", "") == "flags.unreadable"]
    assert len(told) == 1


# -- every switch is used, and tried switched off ------------------------------------------

# Whose paths are not there yet. Must shrink to nothing: remove a name when its path looks at it.
AWAITED: set[str] = set()
# Accounts of deliveries go in batches over all organisations: kept while it is off for all.
FOR_ALL_TOO = {"RETENTION"}
FLAGS = "apps/core/flags.py"


def looked_at(source: Source) -> set[tuple[str, bool]]:
    """(switch, whether it is asked for an organisation) of each call of `enabled`."""
    return {
        (call.args[0].attr, len(call.args) + len(call.keywords) > 1)
        for call in source.calls()
        if ast.unparse(call.func).split(".")[-1] == "enabled"
        and call.args
        and isinstance(call.args[0], ast.Attribute)
        and ast.unparse(call.args[0].value).split(".")[-1] == "Switch"
    }


@cache
def everywhere() -> set[tuple[str, bool]]:
    sources = [s for s in product() if s.file != FLAGS and "enabled(" in s.text]
    return set().union(*(looked_at(source) for source in sources))


def test_every_switch_is_looked_at_by_the_path_that_it_switches() -> None:
    used = {name for name, _ in everywhere()}

    assert {switch.name for switch in Switch} - used == AWAITED


def test_what_is_one_path_for_all_is_asked_without_an_organisation() -> None:
    asked = everywhere()
    whole = {switch.name for switch in Switch if not SWITCHES[switch].per_organisation}

    assert {name for name, for_one in asked if for_one} & whole == set()
    assert {name for name, for_one in asked if not for_one} - whole == FOR_ALL_TOO


def test_every_switch_is_switched_off_in_a_test() -> None:
    own = {"tests/core/test_flags.py", "tests/switches.py"}
    texts = [
        path.read_text(encoding="utf-8")
        for path in (ROOT / "tests").rglob("*.py")
        if str(path.relative_to(ROOT)) not in own
    ]
    mentioned = {s.name for s in Switch if any(f"Switch.{s.name}" in t for t in texts)}

    assert {switch.name for switch in Switch} - mentioned == AWAITED


def test_the_search_for_switches_finds_them() -> None:
    text = "enabled(Switch.A)\nflags.enabled(Switch.B, one)\nenabled(C)\nSwitch.D\n"
    source = Source(ROOT / "x.py", text, ast.parse(text))

    assert looked_at(source) == {("A", False), ("B", True)}
