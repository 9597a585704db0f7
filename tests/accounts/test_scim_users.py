"""Users over SCIM: entries, and the accounts and memberships that follow from them."""

from __future__ import annotations

import threading
import uuid
from typing import Any

import pytest
from django.db import close_old_connections

from apps.accounts import actions
from apps.accounts.access import principal_from_token
from apps.accounts.actions import members
from apps.accounts.events import AccessEnded
from apps.accounts.models import (
    DirectoryUser,
    Identity,
    Membership,
    Organisation,
    User,
)
from apps.audits.acts import Act
from apps.core.errors import NotAuthenticatedError
from tests import factories
from tests.accounts.scim import (
    Directory,
    directory_of,
    places_of,
    reason,
    refusal,
    sealed,
    user,
)
from tests.doors import secret_of
from tests.factories import TESTER, TESTS

pytestmark = pytest.mark.security
BOB = "bob@acme.example"
OFF = {"op": "replace", "value": {"active": False}}
ON = {"op": "replace", "value": {"active": True}}


def test_a_new_user_gets_an_account_without_a_password_and_a_membership(okta) -> None:
    made = okta.add_user(
        "Bob@ACME.example",
        name={"givenName": "Bob", "familyName": "Baker"},
        externalId="00u1",
    )

    account = User.objects.get(email=BOB)
    assert (made["userName"], made["externalId"], made["active"]) == (BOB, "00u1", True)
    assert account.name == "Bob Baker"
    assert not account.has_usable_password()
    assert places_of(BOB) == {"acme": "member"}


def test_its_role_is_the_one_that_the_provider_gives_usually(
    okta, acme_provider
) -> None:
    with TESTS:
        acme_provider.default_role = "viewer"
        acme_provider.save(update_fields=["default_role"])

    okta.add_user(BOB)

    assert places_of(BOB) == {"acme": "viewer"}


def test_an_address_beside_the_user_name_is_the_accounts(okta) -> None:
    emails = [
        {"value": "home@else.example", "type": "home"},
        {"value": BOB, "type": "work", "primary": True},
    ]

    made = okta.add_user("00u-bob", emails=emails)

    assert made["emails"] == [{"value": BOB, "type": "work", "primary": True}]
    assert places_of(BOB) == {"acme": "member"}


def test_a_member_made_by_hand_is_linked_and_keeps_the_role(okta, alice) -> None:
    made = okta.add_user(alice.email)

    assert made["active"] is True
    assert places_of(alice.email) == {"acme": "owner"}
    assert User.objects.count() == 1


def test_a_second_creation_is_refused_and_changes_nothing(okta) -> None:
    okta.add_user(BOB, externalId="00u1")
    entries = len(sealed())

    again = okta.send("POST", "Users", user(BOB.upper(), externalId="00u2"))

    refusal(again, 409, "uniqueness")
    with TESTS:
        assert [row.external_id for row in DirectoryUser.objects.all()] == ["00u1"]
    assert len(sealed()) == entries


def test_whoever_is_switched_off_loses_membership_tokens_and_sockets_and_comes_back(
    okta, acme, heard
) -> None:
    entry = okta.add_user(BOB)
    bob = factories.principal(User.objects.get(email=BOB), acme)
    secret = secret_of(bob)

    off = okta.patch(f"Users/{entry['id']}", OFF)

    assert off.json()["active"] is False
    assert places_of(BOB) == {}
    with pytest.raises(NotAuthenticatedError):
        principal_from_token(secret)
    assert [(e.user_id, e.organisation_id) for e in heard] == [(bob.user_id, acme.pk)]
    assert okta.patch(f"Users/{entry['id']}", ON).json()["active"] is True
    assert places_of(BOB) == {"acme": "member"}
    with pytest.raises(NotAuthenticatedError):
        principal_from_token(secret)


@pytest.fixture
def heard(monkeypatch) -> list[AccessEnded]:
    """The ends of access that are announced."""
    found: list[AccessEnded] = []

    def hear(event: object) -> None:
        if isinstance(event, AccessEnded):
            found.append(event)

    monkeypatch.setattr(members, "publish", hear)
    return found


def test_a_company_sign_in_that_ended_with_the_membership_works_again(
    okta, acme_provider
) -> None:
    entry = okta.add_user(BOB)
    with TESTS:
        actions.link_identity(
            actor=TESTER,
            provider=acme_provider,
            user=User.objects.get(email=BOB),
            sub="s1",
            email=BOB,
        )

    for step, status in ((OFF, "suspended"), (ON, "active")):
        okta.patch(f"Users/{entry['id']}", step)
        with TESTS:
            assert Identity.objects.get(sub="s1").status == status


def test_a_membership_that_was_ended_by_hand_shows_as_not_active(okta) -> None:
    entry = okta.add_user(BOB)
    with TESTS:
        actions.remove_member(
            actor=TESTER, membership=Membership.objects.get(user__email=BOB)
        )

    assert okta.get(f"Users/{entry['id']}").json()["active"] is False
    okta.patch(f"Users/{entry['id']}", ON)
    assert places_of(BOB) == {"acme": "member"}


def test_a_deleted_user_leaves_and_the_account_stays_for_a_return(okta) -> None:
    entry = okta.add_user(BOB)
    account = User.objects.get(email=BOB).pk

    gone = okta.send("DELETE", f"Users/{entry['id']}")

    assert (gone.status_code, gone.content) == (204, b"")
    refusal(okta.get(f"Users/{entry['id']}"), 404)
    refusal(okta.send("DELETE", f"Users/{entry['id']}"), 404)
    assert places_of(BOB) == {}
    okta.add_user(BOB)
    assert User.objects.get(email=BOB).pk == account
    assert places_of(BOB) == {"acme": "member"}


@pytest.mark.parametrize("way", ["patch", "put", "delete"])
def test_the_last_owner_cannot_be_removed_and_nothing_is_half_done(
    okta, alice, way: str
) -> None:
    entry = okta.add_user(alice.email, displayName="Alice")
    path, before = f"Users/{entry['id']}", len(sealed())

    if way == "patch":
        rename = {"op": "replace", "path": "displayName", "value": "Gone"}
        answer = okta.patch(path, rename, OFF)
    elif way == "put":
        answer = okta.send("PUT", path, user(alice.email, active=False))
    else:
        answer = okta.send("DELETE", path)

    assert reason(refusal(answer, 409)) == "last_owner"
    assert places_of(alice.email) == {"acme": "owner"}
    assert okta.get(path).json()["displayName"] == "Alice"
    told = sealed()[before:]
    assert [(e["outcome"], e["details"]["code"]) for e in told] == [
        ("refused", "last_owner")
    ]


def test_a_new_address_is_followed_inside_the_proved_domains_only(okta) -> None:
    entry = okta.add_user(BOB)
    path = f"Users/{entry['id']}"

    moved = okta.patch(
        path, {"op": "replace", "path": "userName", "value": "Robert@acme.example"}
    )
    outside = okta.patch(
        path, {"op": "replace", "path": "userName", "value": "bob@globex.example"}
    )

    assert moved.json()["userName"] == "robert@acme.example"
    refusal(outside, 400, "invalidValue")
    assert User.objects.get().email == "robert@acme.example"
    assert sealed(Act.PERSON_CHANGED)[-1]["details"]["email"] == {
        "before": BOB,
        "after": "robert@acme.example",
    }


def test_an_address_is_not_moved_onto_another_account(okta, mallory) -> None:
    with TESTS:
        User.objects.filter(pk=mallory.pk).update(email="mallory@acme.example")
    entry = okta.add_user(BOB)

    answer = okta.send("PUT", f"Users/{entry['id']}", user("mallory@acme.example"))

    assert reason(refusal(answer, 409, "uniqueness")) == "directory_account"
    assert places_of("mallory@acme.example") == {"globex": "owner"}
    assert User.objects.filter(email=BOB).exists()


def test_the_address_of_somebody_who_belongs_elsewhere_too_stays(okta, globex) -> None:
    entry = okta.add_user(BOB, displayName="Bob")
    with TESTS:
        Membership.objects.create(organisation=globex, user=User.objects.get())

    path = f"Users/{entry['id']}"
    moved = okta.send("PUT", path, user("new@acme.example", displayName="Bob"))
    okta.patch(path, {"op": "replace", "path": "displayName", "value": "Changed"})
    okta.patch(path, OFF)

    assert reason(refusal(moved, 409)) == "directory_shared_account"
    account = User.objects.get()
    assert (account.email, account.name) == (BOB, "Bob")
    assert places_of(BOB) == {"globex": "member"}


def test_another_organisations_ids_do_not_exist(okta, foreign) -> None:
    entry = okta.add_user(BOB)

    absent = foreign.get(f"Users/{uuid.uuid4()}")
    for answer in (
        foreign.get(f"Users/{entry['id']}"),
        foreign.send("PUT", f"Users/{entry['id']}", user("eve@globex.example")),
        foreign.patch(f"Users/{entry['id']}", OFF),
        foreign.send("DELETE", f"Users/{entry['id']}"),
    ):
        assert refusal(answer, 404) == absent.json()
    for asked in ({}, {"filter": f'id eq "{entry["id"]}"'}):
        assert foreign.get("Users", **asked).json()["totalResults"] == 0
    assert places_of(BOB) == {"acme": "member"}


def test_each_request_that_changes_something_seals_one_entry(okta, acme) -> None:
    entry = okta.add_user(BOB)
    path = f"Users/{entry['id']}"
    okta.patch(path, {"op": "replace", "path": "displayName", "value": "Bob"})
    okta.patch(path, {"op": "replace", "path": "displayName", "value": "Bob"})
    okta.get(path)
    okta.send("DELETE", path)

    told = sealed()
    assert [e["details"]["change"] for e in told] == ["created", "changed", "deleted"]
    assert told[1]["details"]["fields"] == ["display_name"]
    assert {e["target"] for e in told} == {f"directory_user:{entry['id']}"}
    assert {(e["door"], e["organisation"]) for e in told} == {("scim", str(acme.pk))}
    assert told[0]["actor"].startswith("directory nts_")


@pytest.mark.live
def test_two_creations_at_once_make_one_account(committed, acme) -> None:
    directories = [directory_of(acme), directory_of(acme, proved=False)]
    answers: list[Any] = []

    def create(directory: Directory) -> None:
        try:
            answers.append(directory.send("POST", "Users", user(BOB)).status_code)
        finally:
            close_old_connections()

    threads = [threading.Thread(target=create, args=(d,)) for d in directories]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert sorted(answers) == [201, 409]
    assert User.objects.filter(email=BOB).count() == 1


def test_a_suspended_organisations_directory_is_shut_out(okta, acme) -> None:
    Organisation.objects.filter(pk=acme.pk).update(status="suspended")

    refusal(okta.get("Users"), 401)
