"""Whole conversations, shaped as Okta and Microsoft Entra send them."""

from __future__ import annotations

import pytest

from apps.accounts.access import memberships_of
from apps.accounts.models import DirectoryGroup, User
from tests.accounts.scim import GROUP, PATCH, USER, Directory, refusal
from tests.factories import TESTS

pytestmark = pytest.mark.security
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
ISABEL = "isabel@acme.example"


def is_member(email: str) -> bool:
    found = User.objects.filter(email=email).first()
    return found is not None and bool(memberships_of(found.pk))


def test_okta_assigns_a_person_changes_them_and_takes_them_away(okta) -> None:
    asked = {"filter": f'userName eq "{ISABEL}"', "startIndex": "1", "count": "100"}
    told = {
        "schemas": [USER],
        "userName": ISABEL,
        "name": {"givenName": "Isabel", "familyName": "Ito"},
        "emails": [{"primary": True, "value": ISABEL, "type": "work"}],
        "displayName": "Isabel Ito",
        "locale": "en-GB",
        "externalId": "00ujl29u0le5T6Aj10h7",
        "groups": [],
        "password": "1mz050nq",
        "active": True,
    }
    assert okta.get("Users", **asked).json()["totalResults"] == 0

    made = okta.send("POST", "Users", told)
    entry = made.json()
    path = f"Users/{entry['id']}"

    assert (made.status_code, made["Location"]) == (201, entry["meta"]["location"])
    refusal(okta.send("POST", "Users", told), 409, "uniqueness")  # it tries again
    assert okta.get("Users", **asked).json()["Resources"] == [entry]
    renamed = okta.send("PUT", path, entry | {"displayName": "Isa Ito", "active": True})
    assert renamed.json()["displayName"] == "Isa Ito"
    assert User.objects.get(email=ISABEL).name == "Isa Ito"
    for active in (False, False, True):
        answer = okta.send(
            "PATCH",
            path,
            {
                "schemas": [PATCH],
                "Operations": [{"op": "replace", "value": {"active": active}}],
            },
        )
        assert answer.json()["active"] is active
        assert is_member(ISABEL) is active


def test_okta_pushes_a_group_renames_and_deletes_it(okta) -> None:
    people = [okta.add_user(f"{name}@acme.example")["id"] for name in ("ann", "bob")]
    made = okta.send(
        "POST",
        "Groups",
        {
            "schemas": [GROUP],
            "displayName": "Analysts",
            "members": [{"value": people[0], "display": "ann@acme.example"}],
        },
    )
    group = made.json()
    path = f"Groups/{group['id']}"

    renamed = okta.patch(
        path,
        {"op": "replace", "value": {"id": group["id"], "displayName": "Analysis"}},
    )
    changed = okta.patch(
        path,
        {"op": "remove", "path": f'members[value eq "{people[0]}"]'},
        {"op": "add", "path": "members", "value": [{"value": people[1]}]},
    )

    assert renamed.json()["displayName"] == "Analysis"
    assert [m["value"] for m in changed.json()["members"]] == [people[1]]
    assert okta.send("DELETE", path).status_code == 204
    assert (
        okta.get("Groups", filter='displayName eq "Analysis"').json()["Resources"] == []
    )


def test_entra_provisions_a_person_and_deprovisions_them(okta) -> None:
    assert okta.get("Users", filter='userName eq "no-such-user"').status_code == 200
    asked = okta.get("Users", filter='externalId eq "58342554"')
    assert asked.json()["Resources"] == []
    made = okta.send(
        "POST",
        "Users",
        {
            "schemas": [USER, ENTERPRISE],
            "externalId": "58342554",
            "userName": "Isabel@acme.example",
            "active": True,
            "addresses": None,
            "displayName": "Isabel Ito",
            "emails": [
                {"type": "work", "value": "Isabel@acme.example", "primary": True}
            ],
            "meta": {"resourceType": "User"},
            "name": {
                "formatted": "Isabel Ito",
                "familyName": "Ito",
                "givenName": "Isabel",
            },
            "phoneNumbers": None,
            "preferredLanguage": None,
            "title": None,
            ENTERPRISE: {"department": "Sales", "manager": "x"},
        },
    )
    assert made.status_code == 201, made.content
    path = f"Users/{made.json()['id']}"

    changed = okta.patch(
        path,
        {"op": "Replace", "path": "displayName", "value": "Isa Ito"},
        {"op": "Replace", "path": "name.givenName", "value": "Isa"},
        {"op": "Replace", "path": 'emails[type eq "work"].value', "value": "isa@acme.example"},
        {"op": "Add", "path": f"{ENTERPRISE}:department", "value": "Support"},
        {"op": "Add", "path": f"{ENTERPRISE}:manager", "value": "someone"},
        {"op": "Add", "path": 'phoneNumbers[type eq "mobile"].value', "value": "1"},
    )  # fmt: skip

    assert changed.status_code == 200, changed.content
    assert changed.json()["name"] == {"givenName": "Isa", "familyName": "Ito"}
    assert User.objects.get().email == "isa@acme.example"
    off = okta.patch(path, {"op": "Replace", "path": "active", "value": "False"})
    assert off.json()["active"] is False
    assert not is_member("isa@acme.example")
    on = okta.patch(path, {"op": "Replace", "path": "active", "value": "True"})
    assert on.json()["active"] is True
    assert is_member("isa@acme.example")
    assert okta.send("DELETE", path).status_code == 204
    assert okta.send("DELETE", path).status_code == 404
    assert not is_member("isa@acme.example")


def test_entra_puts_paths_where_names_go(okta) -> None:
    entry = okta.add_user(ISABEL, emails=[{"type": "work", "value": ISABEL}])

    changed = okta.patch(
        f"Users/{entry['id']}",
        {
            "op": "Replace",
            "value": {
                "displayName": "Isa",
                "name.familyName": "Ito",
                'emails[type eq "work"].value': "isa@acme.example",
                f"{ENTERPRISE}:department": "Sales",
            },
        },
    ).json()

    assert (changed["displayName"], changed["name"]) == ("Isa", {"familyName": "Ito"})
    assert User.objects.get().email == "isa@acme.example"


def test_entra_keeps_the_members_of_a_group(okta) -> None:
    people = [okta.add_user(f"{name}@acme.example")["id"] for name in ("ann", "bob")]
    made = okta.send(
        "POST",
        "Groups",
        {
            "schemas": [GROUP, "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"],
            "externalId": "8aa1a0c0",
            "displayName": "Analysts",
            "meta": {"resourceType": "Group"},
        },
    )  # fmt: skip
    assert made.status_code == 201, made.content
    path = f"Groups/{made.json()['id']}"

    def members(directory: Directory) -> set[str]:
        return {m["value"] for m in directory.get(path).json()["members"]}

    listed = [{"$ref": None, "value": person} for person in people]
    okta.patch(path, {"op": "Add", "path": "members", "value": listed})
    assert members(okta) == set(people)
    okta.patch(path, {"op": "Remove", "path": "members", "value": listed[:1]})
    assert members(okta) == {people[1]}
    asked = okta.get(
        "Groups", filter='displayName eq "analysts"', excludedAttributes="members"
    ).json()
    assert "members" not in asked["Resources"][0]
    okta.patch(path, {"op": "Replace", "path": "displayName", "value": "Others"})
    assert okta.send("DELETE", path).status_code == 204
    with TESTS:
        assert not DirectoryGroup.objects.exists()
