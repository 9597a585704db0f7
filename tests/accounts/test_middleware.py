"""For whom a page runs: the scope that the middleware opens, and what it refuses."""

from __future__ import annotations

import pytest

from apps.accounts import actions
from apps.accounts.access import memberships_of
from apps.audits.models import Receipt
from apps.core.tenancy import NoScopeError, current_scope
from tests.factories import TESTER, TESTS

pytestmark = [pytest.mark.security, pytest.mark.urls("tests.accounts.doors")]


@pytest.fixture
def also_globex(alice, globex):
    with TESTS:
        actions.add_member(actor=TESTER, organisation=globex, user=alice, role="member")


def seen(client, path="/scope/", **more) -> tuple[str | None, str | None]:
    answer = client.get(path, **more).json()
    return answer["kind"], answer["organisation"]


def test_strangers_have_no_scope(client, db):
    assert seen(client) == (None, None)
    assert seen(client, "/admin/scope/") == (None, None)


def test_members_run_in_their_organisation(client, alice):
    client.force_login(alice)

    assert seen(client) == ("tenant", "acme")


def test_a_member_in_the_admin_stays_a_member(client, alice):
    client.force_login(alice)

    assert seen(client, "/admin/scope/") == ("tenant", "acme")


def test_staff_run_in_staff_scope_only_in_the_admin(client, support):
    client.force_login(support)

    assert seen(client, "/admin/scope/") == ("staff", "netra")
    assert seen(client) == ("tenant", "netra")


def test_nothing_is_open_afterwards(client, alice):
    client.force_login(alice)
    client.get("/scope/")

    with pytest.raises(NoScopeError):
        current_scope()


def test_an_organisation_can_be_asked_for(client, alice, also_globex):
    client.force_login(alice)

    assert seen(client) == ("tenant", "acme")
    assert seen(client, headers={"Netra-Organisation": "globex"}) == (
        "tenant",
        "globex",
    )
    assert seen(client) == ("tenant", "acme"), "a header counts for one request"


def test_the_organisation_chosen_on_a_page_stays_chosen(client, alice, also_globex):
    client.force_login(alice)
    client.get("/scope/?organisation=globex")

    assert seen(client) == ("tenant", "globex")


def test_the_organisation_asked_for_by_the_api_is_not_remembered(
    client, alice, also_globex
):
    client.force_login(alice)
    client.get("/api/v1/scope/?organisation=globex")

    assert seen(client) == ("tenant", "acme")


def test_a_choice_that_no_longer_holds_is_forgotten(client, alice, also_globex):
    client.force_login(alice)
    client.get("/scope/?organisation=globex")
    with TESTS:
        actions.remove_member(actor=TESTER, membership=memberships_of(alice.pk)[1])

    assert seen(client) == ("tenant", "acme")


@pytest.mark.parametrize(
    "slug", ["acme", "there-is-none", "' OR 1=1", "\x00", "ä" * 300]
)
def test_another_organisation_is_a_page_that_is_not_there(client, acme, mallory, slug):
    client.force_login(mallory)

    response = client.get("/scope/", {"organisation": slug})

    assert response.status_code == 404
    assert "text/html" in response["Content-Type"]
    with TESTS:
        assert Receipt.objects.get().user_id == mallory.pk


def test_in_the_admin_organisation_is_a_filter(client, support, acme):
    client.force_login(support)

    assert seen(client, "/admin/scope/?organisation=acme") == ("staff", "netra")


def test_a_bearer_token_is_not_mixed_with_the_session(client, alice):
    client.force_login(alice)

    assert seen(client, headers={"Authorization": "Bearer x"}) == (None, None)


def test_a_stream_reads_in_scope_and_leaves_none_open(client, alice, bob, mallory):
    client.force_login(alice)
    chunks = iter(client.get("/stream/"))

    first = next(chunks)
    with pytest.raises(NoScopeError):
        current_scope()

    assert first + b"".join(chunks) == b'"alice@acme.example""bob@acme.example"'


def test_a_refusal_on_a_page_is_explained_with_a_receipt(client, alice):
    client.force_login(alice)

    response = client.get("/failing/conflict/")

    assert response.status_code == 409
    with TESTS:
        receipt = Receipt.objects.get()
    assert str(receipt.id) in response.content.decode()
    assert (receipt.code, receipt.values, receipt.rule) == (
        "conflict",
        {"state": "completed"},
        "GET /failing/conflict/",
    )


def test_a_stranger_gets_the_page_without_a_receipt(client, db):
    response = client.get("/failing/limited/")

    assert (response.status_code, response["Retry-After"]) == (429, "7")
    with TESTS:
        assert not Receipt.objects.exists()


def test_a_fault_of_ours_is_not_dressed_up(client, alice):
    client.force_login(alice)

    with pytest.raises(RuntimeError):
        client.get("/failing/bug/")
