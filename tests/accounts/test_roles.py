"""Which role a provider's claims give, whatever form they come in."""

from __future__ import annotations

import pytest

from apps.accounts.roles import (
    VALUES_READ,
    RoleFrom,
    RoleGiven,
    claim_values,
    highest,
    map_problem,
    mapped_role,
    role_told,
)

pytestmark = pytest.mark.security


@pytest.mark.parametrize(
    ("claims", "name", "wanted"),
    [
        ({"groups": ["a", "b"]}, "groups", {"a", "b"}),
        ({"groups": "a"}, "groups", {"a"}),
        ({"realm_access": {"roles": ["a"]}}, "realm_access.roles", {"a"}),
        ({"https://x.example/roles": ["a"]}, "https://x.example/roles", {"a"}),
        ({"a.b": ["flat"], "a": {"b": ["deep"]}}, "a.b", {"flat"}),
        ({"groups": [{"name": "a"}, {"value": "b"}, "c"]}, "groups", {"a", "b", "c"}),
        ({"groups": {"a": {"org": "x"}, "b": False}}, "groups", {"a"}),
        ({"groups": [["a"], ["b"]]}, "groups", {"a", "b"}),
        ({"groups": [1, None, True]}, "groups", set()),
        ({"groups": 7}, "groups", set()),
        ({"groups": "a"}, "groups.deeper.still", set()),
        ({}, "groups", set()),
        ({"": ["a"]}, "", set()),
    ],
)
def test_values_are_found_in_every_form(claims, name, wanted):
    assert claim_values(claims, name) == wanted


def test_a_text_is_one_value():
    """Who may name a group could else put the word that is mapped into its name."""
    assert claim_values({"g": ["my netra-admins"]}, "g") == {"my netra-admins"}
    assert claim_values({"g": "x,netra-admins"}, "g") == {"x,netra-admins"}


def test_an_endless_list_is_cut():
    values = [f"g{n}" for n in range(VALUES_READ * 3)]

    assert len(claim_values({"groups": values}, "groups")) < VALUES_READ


def test_the_highest_role_counts_and_owner_never():
    role_map = {"a": "viewer", "b": "admin", "c": "owner", "d": 5}

    assert mapped_role({"a", "b", "c", "d"}, role_map) == "admin"
    assert mapped_role({"c", "d", "x"}, role_map) is None
    assert highest(["viewer", "king", "owner"]) == "owner"
    assert highest([]) is None


@pytest.mark.parametrize(
    "role_map",
    [
        [], "x", {"a": "owner"}, {"a": "king"}, {"": "admin"}, {"a": ["admin"]}, {1: "admin"},
        {str(n): "viewer" for n in range(201)},
    ],
)  # fmt: skip
def test_a_map_that_cannot_be_used_is_explained(role_map):
    assert map_problem(role_map).endswith(".")


def test_a_good_map_has_no_problem():
    assert map_problem({}) == map_problem({"a": "admin", "b": "viewer"}) == ""


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"b", "a", "x"}, RoleGiven(role="admin", by=RoleFrom.MAP, value="a")),
        ({"c", "x"}, RoleGiven(role="viewer", by=RoleFrom.MAP, value="c")),
        ({"x"}, RoleGiven(role="member", by=RoleFrom.DEFAULT)),
        (set(), RoleGiven(role="member", by=RoleFrom.DEFAULT)),
    ],
    ids=["the highest", "one", "none mapped", "none"],
)
def test_a_role_is_told_with_what_gives_it(values, told):
    role_map = {"a": "admin", "b": "admin", "c": "viewer"}

    assert role_told(values, role_map, "member") == told
