"""Whose addresses and accounts a directory may take in, and whose it may not."""

from __future__ import annotations

import pytest

from apps.accounts import actions
from apps.accounts.models import Domain, Membership, User
from apps.audits.models import Receipt
from tests import factories
from tests.accounts.scim import places_of, reason, reference, refusal, sealed, user
from tests.factories import TESTER, TESTS

pytestmark = pytest.mark.security
BOB = "bob@acme.example"
OFF = {"op": "replace", "value": {"active": False}}
ON = {"op": "replace", "value": {"active": True}}


@pytest.mark.parametrize(
    "told",
    [
        {"userName": "eve@globex.example"},
        {"userName": "eve@sub.acme.example"},
        {"userName": "eve@acme.example.evil.example"},
        {"userName": BOB, "emails": [{"value": "eve@globex.example"}]},
        {"userName": "eve@globex.example", "emails": [{"value": BOB}]},
    ],
)
def test_an_address_outside_the_proved_domains_is_refused(okta, told) -> None:
    answer = okta.send("POST", "Users", {"active": True, **told})

    assert reason(refusal(answer, 400, "invalidValue")) == "directory_domain"
    assert not User.objects.exists()


def test_a_domain_that_lost_its_proof_lets_nobody_in_and_still_lets_people_out(
    okta, acme
) -> None:
    one, two = okta.add_user(BOB), okta.add_user("ann@acme.example")
    okta.patch(f"Users/{one['id']}", OFF)
    with TESTS:
        Domain.objects.update(suspended_at="2026-01-01T00:00:00Z")

    back = okta.patch(f"Users/{one['id']}", ON)
    out = okta.patch(f"Users/{two['id']}", OFF)

    assert reason(refusal(back, 400, "invalidValue")) == "directory_domain"
    assert places_of(BOB) == {}
    assert out.status_code == 200
    assert places_of("ann@acme.example") == {}


def test_an_account_of_others_is_refused_without_a_word_about_whose(
    okta, globex, acme
) -> None:
    factories.person("kim@acme.example", globex)

    answer = okta.send("POST", "Users", user("kim@acme.example"))

    document = refusal(answer, 409, "uniqueness")
    assert reason(document) == "directory_account"
    assert "globex" not in answer.content.decode().lower()
    assert places_of("kim@acme.example") == {"globex": "member"}
    assert sealed()[-1]["outcome"] == "refused"
    with TESTS:
        assert str(Receipt.objects.get().id) == reference(document)


def test_an_account_with_a_password_and_no_membership_is_not_taken_over(okta) -> None:
    """Whoever chose the password before the address was proved would come in with it."""
    User.objects.create_user(BOB, "chosen by a stranger")

    answer = okta.send("POST", "Users", user(BOB))

    assert reason(refusal(answer, 409, "uniqueness")) == "directory_account"
    assert places_of(BOB) == {}


@pytest.mark.parametrize("where", ["member", "provider"])
def test_an_account_without_a_password_that_others_have_is_not_taken_over(
    okta, globex, globex_provider, where: str
) -> None:
    kim = User.objects.create_user("kim@acme.example")
    with TESTS:
        if where == "member":
            Membership.objects.create(organisation=globex, user=kim, role="member")
        else:
            actions.link_identity(
                actor=TESTER,
                provider=globex_provider,
                user=kim,
                sub="k",
                email="k@x.example",
            )

    answer = okta.send("POST", "Users", user("kim@acme.example"))

    assert reason(refusal(answer, 409, "uniqueness")) == "directory_account"
    assert "acme" not in places_of("kim@acme.example")


def test_a_directory_does_not_touch_netras_staff(okta, acme) -> None:
    factories.person(BOB, acme, is_staff=True)

    answer = okta.send("POST", "Users", user(BOB))

    assert reason(refusal(answer, 409, "uniqueness")) == "directory_account"
