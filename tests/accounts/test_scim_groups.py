"""Groups over SCIM: who is in them, and the roles that they give."""

from __future__ import annotations

import uuid

import pytest

from apps.accounts import actions
from apps.accounts.access import memberships_of
from apps.accounts.models import DirectoryGroup, DirectoryMember, Membership, User
from apps.audits.acts import Act
from apps.core.errors import InvalidInputError
from apps.core.tenancy import tenant
from tests.accounts.scim import refusal, sealed
from tests.factories import TESTER, TESTS

pytestmark = pytest.mark.security


def give(group: dict[str, object], role: str) -> None:
    """What staff do in the admin: the group gives this role."""
    with TESTS:
        row = DirectoryGroup.objects.get(pk=group["id"])
    with tenant(row.organisation_id):
        actions.set_group_role(actor=TESTER, group=row, role=role)


def role_of(person: dict[str, object], place: str = "acme") -> str | None:
    found = User.objects.get(email=person["userName"])
    roles = {row.organisation.slug: row.role for row in memberships_of(found.pk)}
    return roles.get(place)


def members_in(answer: object) -> set[str]:
    return {member["value"] for member in answer.json().get("members", [])}  # type: ignore[attr-defined]


@pytest.fixture
def bob(okta) -> dict[str, object]:
    return okta.add_user("bob@acme.example")


@pytest.fixture
def ann(okta) -> dict[str, object]:
    return okta.add_user("ann@acme.example")


def test_a_group_gives_no_role_until_staff_say_so(okta, bob) -> None:
    group = okta.add_group("Admins", bob["id"])

    assert role_of(bob) == "member"
    give(group, "admin")
    assert role_of(bob) == "admin"
    assert okta.get(f"Users/{bob['id']}").json()["groups"] == [
        {"value": group["id"], "display": "Admins"}
    ]


def test_the_highest_role_counts_and_goes_with_its_group(okta, bob) -> None:
    admins, viewers = okta.add_group("A", bob["id"]), okta.add_group("V", bob["id"])
    give(admins, "admin")
    give(viewers, "viewer")
    assert role_of(bob) == "admin"

    okta.patch(
        f"Groups/{admins['id']}",
        {"op": "remove", "path": f'members[value eq "{bob["id"]}"]'},
    )

    assert role_of(bob) == "member"  # the usual one is above viewer
    assert okta.send("DELETE", f"Groups/{viewers['id']}").status_code == 204


def test_a_deleted_group_takes_its_role_along(okta, bob) -> None:
    group = okta.add_group("Admins", bob["id"])
    give(group, "admin")

    okta.send("DELETE", f"Groups/{group['id']}")

    assert role_of(bob) == "member"
    refusal(okta.get(f"Groups/{group['id']}"), 404)


def test_whoever_comes_back_has_the_role_of_the_groups(okta, bob) -> None:
    give(okta.add_group("Admins", bob["id"]), "admin")

    for active in (False, True):
        okta.patch(
            f"Users/{bob['id']}",
            {"op": "replace", "path": "active", "value": active},
        )

    assert role_of(bob) == "admin"


def test_a_group_never_makes_owners_and_never_unmakes_them(okta, alice, acme) -> None:
    entry = okta.add_user(alice.email)
    group = okta.add_group("Viewers", entry["id"])

    give(group, "viewer")
    okta.send("DELETE", f"Groups/{group['id']}")

    assert role_of(entry) == "owner"
    other = okta.add_group("Owners")
    with pytest.raises(InvalidInputError):
        give(other, "owner")


def test_a_role_given_in_one_organisation_changes_none_elsewhere(
    okta, bob, globex
) -> None:
    account = User.objects.get(email=bob["userName"])
    with TESTS:
        Membership.objects.create(organisation=globex, user=account, role="viewer")
        row = DirectoryGroup.objects.get(pk=okta.add_group("A", bob["id"])["id"])

        # Staff see all organisations at once.
        actions.set_group_role(actor=TESTER, group=row, role="admin")

    assert (role_of(bob), role_of(bob, "globex")) == ("admin", "viewer")


def test_members_are_added_removed_and_replaced(okta, bob, ann) -> None:
    path = f"Groups/{okta.add_group('G')['id']}"
    both = [{"value": bob["id"]}, {"value": ann["id"]}]

    steps = [
        ({"op": "add", "path": "members", "value": both[:1]}, {bob["id"]}),
        ({"op": "Add", "path": "members", "value": both}, {bob["id"], ann["id"]}),
        ({"op": "Remove", "path": "members", "value": both[1:]}, {bob["id"]}),
        ({"op": "replace", "path": "members", "value": both[1:]}, {ann["id"]}),
        ({"op": "replace", "value": {"members": both}}, {bob["id"], ann["id"]}),
        (
            {"op": "remove", "path": f'members[value eq "{uuid.uuid4()}"]'},
            {bob["id"], ann["id"]},
        ),
        ({"op": "remove", "path": "members"}, set()),
    ]
    for operation, left in steps:
        assert members_in(okta.patch(path, operation)) == left, operation


def test_the_same_addition_twice_adds_once(okta, bob) -> None:
    path = f"Groups/{okta.add_group('G', bob['id'])['id']}"
    before = len(sealed())

    again = okta.patch(
        path, {"op": "add", "path": "members", "value": [{"value": bob["id"]}]}
    )

    assert members_in(again) == {bob["id"]}
    assert len(sealed()) == before
    with TESTS:
        assert DirectoryMember.objects.count() == 1


def test_a_replacement_replaces_the_members(okta, bob, ann) -> None:
    group = okta.add_group("G", bob["id"])

    answer = okta.send(
        "PUT",
        f"Groups/{group['id']}",
        {"displayName": "Group", "externalId": "g1", "members": [{"value": ann["id"]}]},
    )

    assert members_in(answer) == {ann["id"]}
    assert (answer.json()["displayName"], answer.json()["externalId"]) == (
        "Group",
        "g1",
    )


def test_strangers_groups_and_nonsense_are_no_members(okta, foreign, bob) -> None:
    stranger = foreign.add_user("eve@globex.example")
    group = okta.add_group("G", bob["id"])
    path = f"Groups/{group['id']}"

    answers = [
        okta.patch(path, {"op": "add", "path": "members", "value": [{"value": value}]})
        for value in (stranger["id"], str(uuid.uuid4()), group["id"], "bob")
    ]

    for answer in answers:
        refusal(answer, 400, "invalidValue")
    assert answers[0].json() == answers[1].json()
    assert members_in(okta.get(path)) == {bob["id"]}


def test_a_request_with_one_bad_member_adds_nobody(okta, bob, ann) -> None:
    path = f"Groups/{okta.add_group('G')['id']}"
    operations = [
        {"op": "replace", "path": "displayName", "value": "New"},
        {"op": "add", "path": "members", "value": [{"value": bob["id"]}]},
        {"op": "add", "path": "members", "value": [{"value": str(uuid.uuid4())}]},
    ]

    refusal(okta.patch(path, *operations), 400, "invalidValue")

    assert okta.get(path).json()["displayName"] == "G"
    assert members_in(okta.get(path)) == set()


def test_names_of_groups_are_unique_in_an_organisation(okta, foreign) -> None:
    group = okta.add_group("Sales")
    other = okta.add_group("Support")
    foreign.add_group("Sales")

    refusal(okta.send("POST", "Groups", {"displayName": "sales"}), 409, "uniqueness")
    rename = {"op": "replace", "path": "displayName", "value": "Sales"}
    refusal(okta.patch(f"Groups/{other['id']}", rename), 409, "uniqueness")
    same = {"op": "replace", "path": "displayName", "value": "SALES"}
    assert okta.patch(f"Groups/{group['id']}", same).status_code == 200


def test_another_organisations_groups_do_not_exist(okta, foreign, bob) -> None:
    group = okta.add_group("Sales", bob["id"])
    path = f"Groups/{group['id']}"

    for answer in (
        foreign.get(path),
        foreign.send("PUT", path, {"displayName": "Mine"}),
        foreign.patch(path, {"op": "remove", "path": "members"}),
        foreign.send("DELETE", path),
    ):
        refusal(answer, 404)
    assert foreign.get("Groups").json()["totalResults"] == 0
    assert members_in(okta.get(path)) == {bob["id"]}


def test_one_entry_tells_how_many_came_and_went(okta, bob, ann) -> None:
    group = okta.add_group("G", bob["id"])
    give(group, "admin")
    okta.patch(
        f"Groups/{group['id']}",
        {"op": "replace", "path": "members", "value": [{"value": ann["id"]}]},
    )

    told = [e["details"] for e in sealed() if e["target"].startswith("directory_group")]
    assert [each["change"] for each in told] == ["created", "role", "changed"]
    last = told[-1]
    assert (last["added"], last["removed"], last["roles_changed"]) == (1, 1, 2)
    assert len(sealed(Act.ROLE_CHANGED)) == 3


def test_a_page_of_groups_takes_the_same_queries_however_many_there_are(
    okta, bob, django_assert_max_num_queries
) -> None:
    for number in range(3):
        okta.add_group(f"G{number}", bob["id"])

    with django_assert_max_num_queries(8):
        assert okta.get("Groups").json()["itemsPerPage"] == 3


def test_a_page_ends_before_its_members_grow_beyond_bounds(
    okta, bob, ann, monkeypatch
) -> None:
    for number in range(3):
        okta.add_group(f"G{number}", bob["id"], ann["id"])
    monkeypatch.setattr("apps.accounts.scim.queries.MEMBERS_A_PAGE", 4)

    page = okta.get("Groups").json()
    rest = okta.get("Groups", startIndex=str(1 + page["itemsPerPage"])).json()
    bare = okta.get("Groups", excludedAttributes="members").json()

    assert (page["totalResults"], page["itemsPerPage"]) == (3, 2)
    assert [group["displayName"] for group in rest["Resources"]] == ["G2"]
    assert bare["itemsPerPage"] == 3


def test_a_group_is_bounded(okta, bob, ann, monkeypatch) -> None:
    monkeypatch.setattr("apps.accounts.actions.directory_groups.MEMBERS_MOST", 1)
    group = okta.add_group("G", bob["id"])

    answer = okta.patch(
        f"Groups/{group['id']}",
        {"op": "add", "path": "members", "value": [{"value": ann["id"]}]},
    )

    refusal(answer, 400, "invalidValue")


def test_one_change_gives_so_many_roles_and_no_more(
    okta, bob, ann, monkeypatch
) -> None:
    monkeypatch.setattr("apps.accounts.actions.directory.ROLES_MOST", 1)
    group = okta.add_group("G", bob["id"])
    give(group, "admin")
    path = f"Groups/{group['id']}"

    both = {"op": "replace", "path": "members", "value": [{"value": ann["id"]}]}
    refusal(okta.patch(path, both), 400, "tooMany")

    assert members_in(okta.get(path)) == {bob["id"]}
    assert (role_of(bob), role_of(ann)) == ("admin", "member")
