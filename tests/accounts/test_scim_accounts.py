"""Whose addresses and accounts a directory may take in, and whose it may not."""

from __future__ import annotations

import pytest

from apps.accounts import actions
from apps.accounts.domains.names import canonical, normal_address
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


def test_whoever_others_took_in_meanwhile_is_not_taken_back(okta, globex) -> None:
    """Else acme's own provider could sign in as somebody who now works elsewhere."""
    entry = okta.add_user(BOB)
    okta.patch(f"Users/{entry['id']}", OFF)
    with TESTS:
        Membership.objects.create(
            organisation=globex, user=User.objects.get(), role="admin"
        )

    answer = okta.patch(f"Users/{entry['id']}", ON)

    document = refusal(answer, 409, "uniqueness")
    assert reason(document) == "directory_account"
    assert reference(document)
    assert places_of(BOB) == {"globex": "admin"}


@pytest.mark.parametrize("became", ["is_staff", "closed"])
def test_staff_and_closed_accounts_are_not_taken_back(okta, became: str) -> None:
    entry = okta.add_user(BOB)
    okta.patch(f"Users/{entry['id']}", OFF)
    changed = {"is_staff": True} if became == "is_staff" else {"is_active": False}
    User.objects.update(**changed)

    answer = okta.patch(f"Users/{entry['id']}", ON)

    assert reason(refusal(answer, 409, "uniqueness")) == "directory_account"
    with TESTS:
        assert not Membership.objects.exists()


@pytest.mark.parametrize("way", ["post", "put"])
@pytest.mark.parametrize("email", ["netra support", "root", "bob@", "@acme.example"])
def test_an_email_that_is_no_address_is_refused_whatever_the_user_name_is(
    okta, way: str, email: str
) -> None:
    told = user(BOB, emails=[{"value": email, "primary": True}])
    if way == "post":
        answer = okta.send("POST", "Users", told)
    else:
        answer = okta.send("PUT", f"Users/{okta.add_user(BOB)['id']}", told)

    refusal(answer, 400, "invalidValue")
    assert [row.email for row in User.objects.all()] in ([], [BOB])


def test_an_address_that_is_too_long_in_its_normal_form_is_refused(okta, acme) -> None:
    """In punycode a domain with letters of its own grows: 'ü' becomes 'xn--tda'."""
    name = "ü." * 25 + "acme.example"
    factories.domain(acme, canonical(name))
    address = "b" * 60 + "@" + name
    assert len(address) <= 254 < len(normal_address(address))

    answer = okta.send("POST", "Users", user(address))

    refusal(answer, 400, "invalidValue")
    assert not User.objects.exists()


def test_a_membership_that_was_given_by_hand_shows_as_active_and_can_be_ended(
    okta, acme
) -> None:
    entry = okta.add_user(BOB)
    path = f"Users/{entry['id']}"
    okta.patch(path, OFF)
    with TESTS:
        actions.add_member(
            actor=TESTER, organisation=acme, user=User.objects.get(), role="admin"
        )

    assert okta.get(path).json()["active"] is True
    assert okta.patch(path, OFF).json()["active"] is False
    assert places_of(BOB) == {}


@pytest.mark.parametrize("way", ["put", "remove", "null"])
def test_only_who_says_active_brings_somebody_back(okta, way: str) -> None:
    entry = okta.add_user(BOB)
    path = f"Users/{entry['id']}"
    with TESTS:
        actions.remove_member(actor=TESTER, membership=Membership.objects.get())

    if way == "put":
        told = {"userName": BOB, "displayName": "Bob"}
        answer = okta.send("PUT", path, told)
    elif way == "remove":
        answer = okta.patch(path, {"op": "remove", "path": "active"})
    else:
        answer = okta.patch(path, {"op": "replace", "path": "active", "value": None})

    assert answer.json()["active"] is False
    assert places_of(BOB) == {}
