"""The table of operations and roles: complete, rising, and nothing for strangers."""

from __future__ import annotations

from itertools import pairwise

import pytest

from apps.accounts.models import Membership
from apps.accounts.permissions import MAY, Operation, can
from apps.core.errors import NotAllowedError
from tests import factories

pytestmark = pytest.mark.security
RISING = ("viewer", "member", "admin", "owner")


def test_every_role_that_a_membership_can_have_stands_in_the_table() -> None:
    assert set(MAY) == set(Membership.Role.values) == set(RISING)


@pytest.mark.parametrize(("lower", "higher"), pairwise(RISING))
def test_a_higher_role_may_do_all_that_a_lower_one_may_and_more(
    lower: str, higher: str
) -> None:
    assert MAY[lower] < MAY[higher]


def test_an_owner_may_do_everything() -> None:
    assert MAY["owner"] == set(Operation)


@pytest.mark.parametrize("role", ["", "OWNER", "owner ", "root", "staff"])
def test_an_unknown_role_may_do_nothing(role: str) -> None:
    assert not any(can(role, operation) for operation in Operation)


def test_admins_neither_make_owners_nor_decide_who_reads_content() -> None:
    assert not can("admin", Operation.CHANGE_OWNERS)
    assert not can("admin", Operation.DECIDE_GRANTS)
    assert not can("admin", Operation.EXPORT_TRAIL)


def test_what_a_role_may_not_is_refused_with_its_name(bob, acme) -> None:
    who = factories.principal(bob, acme)

    who.demand(Operation.ASK)
    with pytest.raises(NotAllowedError, match="As member of Acme") as caught:
        who.demand(Operation.CHANGE_MEMBERS)

    assert caught.value.values == {"operation": "change_members", "role": "member"}
