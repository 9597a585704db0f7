"""The one address that allauth knows of each account."""

from __future__ import annotations

from allauth.account.models import EmailAddress


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
