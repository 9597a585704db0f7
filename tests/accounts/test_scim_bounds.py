"""What one request of a directory may cost, and what a refused one leaves: neither rows nor alarms."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from typing import Any

import pytest
from django.db import close_old_connections

from apps.accounts import actions
from apps.accounts.access import memberships_of
from apps.accounts.actions.scim_tokens import LIVE_MOST
from apps.accounts.models import DirectoryGroup, Organisation, ScimToken, User
from apps.core.database import write_now
from apps.core.errors import ConflictError
from apps.core.tenancy import tenant
from tests.accounts.scim import (
    Directory,
    directory_of,
    make_token,
    refusal,
    user,
)
from tests.factories import TESTER, TESTS

pytestmark = pytest.mark.security
BOB = "bob@acme.example"
OFF = {"op": "replace", "value": {"active": False}}
ON = {"op": "replace", "value": {"active": True}}


def mails(number: int) -> list[dict[str, object]]:
    return [{"value": f"bob{n}@acme.example", "type": "other"} for n in range(number)]


# -- what it may cost ------------------------------------------------------------------


@pytest.mark.parametrize(
    "operations",
    [
        [{"op": "add", "path": "emails", "value": mails(21)}],
        [{"op": "add", "value": {"Emails": mails(21)}}],
        [{"op": "add", "path": "emails", "value": mails(11)}] * 2,
        [{"op": "replace", "path": f'emails[type eq "t{n}"].value', "value": BOB} for n in range(101)],
    ],
)  # fmt: skip
def test_a_patch_of_a_person_is_bounded(okta, operations) -> None:
    """Each operation looks through all e-mails, and all of it inside the one transaction."""
    path = f"Users/{okta.add_user(BOB)['id']}"

    answer = okta.patch(path, *operations)

    assert answer.status_code == 400, answer.content
    assert answer.json()["scimType"] in {"invalidValue", "tooMany"}


def test_a_person_has_few_emails(okta) -> None:
    refusal(
        okta.send("POST", "Users", user(BOB, emails=mails(21))), 400, "invalidValue"
    )
    assert not User.objects.exists()


def test_a_page_of_people_ends_before_their_groups_grow_beyond_bounds(
    okta, monkeypatch
) -> None:
    people = [okta.add_user(f"p{n}@acme.example")["id"] for n in range(3)]
    for number in range(2):
        okta.add_group(f"G{number}", *people)
    monkeypatch.setattr("apps.accounts.scim.queries.MEMBERS_A_PAGE", 4)

    page = okta.get("Users").json()
    rest = okta.get("Users", startIndex=str(1 + page["itemsPerPage"])).json()

    assert (page["totalResults"], page["itemsPerPage"]) == (3, 2)
    assert [row["id"] for row in rest["Resources"]] == people[2:]
    assert len(rest["Resources"][0]["groups"]) == 2


# -- what a refused one leaves ---------------------------------------------------------


def test_a_plain_refusal_opens_no_transaction(okta, monkeypatch) -> None:
    """A directory asks for many that are not there; none of that may wait for the one writer."""
    okta.get("Users")  # from here on it is noted that the token is in use

    def writes(*_: object) -> None:
        raise AssertionError("a unit of writing was opened")

    monkeypatch.setattr("apps.accounts.scim.views.write_now", writes)

    refusal(okta.get("Users/2f0c1f0a-0000-4000-8000-000000000000"), 404)
    refusal(okta.get("Users", startIndex="x"), 400, "invalidValue")


@pytest.mark.parametrize("kind", ["Users", "Groups"])
def test_what_the_answer_shall_hold_is_checked_before_anything_is_written(
    okta, kind: str
) -> None:
    told = user(BOB, displayName="Bob")
    del told["schemas"]

    answer = okta.client.generic(
        "POST", f"/scim/v2/{kind}?attributes=id&excludedAttributes=meta",
        json.dumps(told), content_type="application/json",
    )  # fmt: skip

    refusal(answer, 400, answer.json().get("scimType", ""))
    assert not User.objects.exists()
    with TESTS:
        assert not DirectoryGroup.objects.exists()


@pytest.mark.parametrize("path", ["Bulk", "Me", ".search"])
def test_what_is_not_built_is_refused_without_an_alarm(okta, caplog, path: str) -> None:
    refusal(okta.send("POST", path, {}), 501)

    assert [r for r in caplog.records if r.levelname in {"ERROR", "CRITICAL"}] == []


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "members.value"},
        {"op": "remove", "path": "members.display"},
        {"op": "replace", "path": "members.value", "value": []},
        {"op": "remove", "path": ""},
    ],
)
def test_no_slip_in_a_path_empties_a_group(okta, caplog, operation) -> None:
    bob = okta.add_user(BOB)["id"]
    path = f"Groups/{okta.add_group('G', bob)['id']}"

    refusal(answer := okta.patch(path, operation), 400, answer.json()["scimType"])

    assert [m["value"] for m in okta.get(path).json()["members"]] == [bob]
    assert "SCIM failed" not in caplog.text


# -- two at once -----------------------------------------------------------------------


def at_once(*works: Any) -> None:
    """Run these in threads of their own, to the end."""

    def run(work: Any) -> None:
        try:
            work()
        finally:
            close_old_connections()

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)


@pytest.mark.live
def test_whoever_comes_back_while_a_group_loses_them_has_no_role_from_it(
    committed, acme
) -> None:
    directory = directory_of(acme)
    bob = directory.add_user(BOB)["id"]
    group = directory.add_group("Admins", bob)
    with TESTS:
        row = DirectoryGroup.objects.get()
    write_now(
        tenant(acme.pk),
        lambda: actions.set_group_role(actor=TESTER, group=row, role="admin"),
    )
    directory.patch(f"Users/{bob}", OFF)
    back, gone = threading.Event(), threading.Event()

    def come_back() -> None:
        def unit() -> None:
            actions.change_directory_user(
                actor=TESTER,
                entry_id=bob,
                change=lambda person: replace(person, active=True),
            )
            back.set()
            gone.wait(1)  # the other one has its chance before this is committed

        write_now(tenant(acme.pk), unit)

    def leave_group() -> None:
        back.wait(20)
        other = Directory(directory.client)
        other.patch(f"Groups/{group['id']}", {"op": "remove", "path": "members"})
        gone.set()

    at_once(come_back, leave_group)

    assert [m.role for m in memberships_of(User.objects.get().pk)] == ["member"]


@pytest.mark.live
def test_of_two_last_tokens_made_at_once_one_is_refused(
    committed, acme, monkeypatch
) -> None:
    for _ in range(LIVE_MOST - 1):
        make_token(acme)
    both = threading.Barrier(2)
    refused: list[Exception] = []

    def make() -> None:
        def unit() -> None:
            place = Organisation.objects.get(pk=acme.pk)
            actions.create_scim_token(actor=TESTER, organisation=place)
            threading.Event().wait(
                0.3
            )  # so that both are open together, where they can

        try:
            both.wait(20)
            write_now(tenant(acme.pk), unit)
        except ConflictError as error:
            refused.append(error)

    at_once(make, make)

    assert len(refused) == 1
    with TESTS:
        assert ScimToken.objects.count() == LIVE_MOST
