"""The one address that allauth knows of each account, and the ends of access that are announced."""

from __future__ import annotations

from allauth.account.models import EmailAddress

from apps.accounts import receivers
from apps.accounts.events import EndOfAccess
from tests.factories import TESTS


def addresses() -> list[tuple[str, bool, bool]]:
    return list(EmailAddress.objects.values_list("email", "verified", "primary"))


def test_a_new_account_has_a_verified_address(alice):
    assert addresses() == [("alice@acme.example", True, True)]


def test_a_changed_address_replaces_the_old_one(alice):
    alice.email = "renamed@acme.example"
    alice.save()

    assert addresses() == [("renamed@acme.example", True, True)]


def test_other_changes_leave_it_alone(alice, django_assert_num_queries):
    with django_assert_num_queries(1):
        alice.save(update_fields=["last_login"])


def test_each_end_of_somebodys_access_is_announced_once(
    alice, acme, monkeypatch, client
):
    told = []
    monkeypatch.setattr(receivers, "publish", told.append)
    monkeypatch.setattr("apps.accounts.actions.sessions.publish", told.append)
    client.force_login(alice)

    client.post("/accounts/logout/")
    alice.is_active = False
    alice.save()
    user_id = alice.pk
    with TESTS:
        alice.delete()

    assert [(event.user_id, event.organisation_id) for event in told] == [
        (user_id, None)
    ] * 3
    assert [event.why for event in told] == [
        EndOfAccess.LOGGED_OUT,
        EndOfAccess.DEACTIVATED,
        EndOfAccess.DEACTIVATED,
    ]


def test_a_stranger_who_signs_out_is_announced_to_nobody(client, db, monkeypatch):
    told = []
    monkeypatch.setattr(receivers, "publish", told.append)

    client.post("/accounts/logout/")

    assert told == []
