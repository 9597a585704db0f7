"""Changing a flag: what is refused, what is written, and that the process follows."""

from __future__ import annotations

import uuid

import pytest

from apps.core import actions, checks
from apps.core.actors import Actor
from apps.core.database import write_now
from apps.core.errors import InvalidInputError
from apps.core.flags import Switch, enabled
from apps.core.models import Flag
from apps.core.tenancy import system
from tests import factories

LEAD = Actor.staff(uuid.UUID(int=7), "lead@netra.example")
A = uuid.UUID(int=1)
GIVEN = {"actor": LEAD, "name": "retries", "percentage": 0, "reason": "a trial"}


def test_a_change_keeps_who_when_and_why(db):
    flag = actions.set_flag(**GIVEN)

    row = Flag.objects.get()
    assert row == flag
    assert (row.name, row.organisation_id, row.percentage) == ("retries", None, 0)
    assert (row.changed_by, row.reason) == ("lead@netra.example", "a trial")
    assert row.updated_at is not None


def test_a_second_change_replaces_the_first(db):
    first = actions.set_flag(**GIVEN)
    second = actions.set_flag(**GIVEN | {"percentage": 40, "reason": "more"})
    own = actions.set_flag(**GIVEN, organisation_id=A)

    assert first.pk == second.pk != own.pk
    assert Flag.objects.get(pk=first.pk).reason == "more"


def test_this_process_follows_once_it_is_committed(transactional_db):
    scope = system("tests")

    def unit() -> None:
        actions.set_flag(**GIVEN)
        assert enabled(Switch.RETRIES, A)

    write_now(scope, unit)
    assert not enabled(Switch.RETRIES, A)
    write_now(scope, lambda: actions.remove_flag(actor=LEAD, flag=Flag.objects.get()))
    assert enabled(Switch.RETRIES, A)


def test_a_change_that_is_undone_switches_nothing(transactional_db):
    def unit() -> None:
        actions.set_flag(**GIVEN)
        raise RuntimeError("undone")

    with pytest.raises(RuntimeError, match="undone"):
        write_now(factories.TESTS, unit)

    assert enabled(Switch.RETRIES, A)
    assert not Flag.objects.exists()


@pytest.mark.parametrize(
    ("field", "change"),
    [
        pytest.param("name", {"name": "retreis"}, id="unknown name"),
        pytest.param("percentage", {"percentage": 101}, id="above 100"),
        pytest.param("percentage", {"percentage": -1}, id="below 0"),
        pytest.param("reason", {"reason": "  "}, id="no reason"),
        pytest.param("reason", {"reason": "x" * 301}, id="long reason"),
        pytest.param(
            "percentage",
            {"organisation_id": A, "percentage": 50},
            id="half an organisation",
        ),
        pytest.param(
            "organisation_id",
            {"name": "group-commit", "organisation_id": A},
            id="one path for all, for one",
        ),
        pytest.param(
            "percentage",
            {"name": "self-fence", "percentage": 50},
            id="one path for all, in part",
        ),
    ],
)
def test_what_would_switch_nothing_is_refused_by_field(db, field, change):
    with pytest.raises(InvalidInputError) as refusal:
        actions.set_flag(**GIVEN | change)

    assert refusal.value.field == field
    assert refusal.value.fix
    assert not Flag.objects.exists()


# -- the system check --------------------------------------------------------------------


def test_w006_a_row_of_an_unknown_name_is_told(db):
    assert checks.check_flag_names(databases=["default"]) == []
    Flag.objects.create(name="retreis")
    Flag.objects.create(name="retries")

    (found,) = checks.check_flag_names(databases=["default"])

    assert found.id == "netra.W006"
    assert "retreis" in found.msg
    assert found.hint
    assert checks.check_flag_names(databases=None) == []
