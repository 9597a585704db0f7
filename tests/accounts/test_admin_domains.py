"""The admin of sign-in: domains, identities, people; every write is an action, every refusal a sentence."""

from __future__ import annotations

import pytest

from apps.accounts.access import memberships_of, proved_domains
from apps.accounts.models import (
    Domain,
    Organisation,
    User,
)
from tests.accounts.signing import told_by
from tests.factories import TESTS, person
from tests.factories import domain as proved
from tests.staff import staff

pytestmark = pytest.mark.security
A = "/admin/accounts/"


@pytest.fixture
def operator(netra) -> User:
    user = person("admin@netra.example", netra, is_staff=True)
    User.objects.filter(pk=user.pk).update(is_superuser=True)
    return user


@pytest.fixture
def admin_client(client, operator):
    client.force_login(operator)
    return client


@pytest.fixture
def zone(settings) -> dict[str, list[str]]:
    settings.NETRA_DNS_ZONE = {}
    return settings.NETRA_DNS_ZONE


def claim(client, place: Organisation, name: str = "Acme.Example"):
    return client.post(
        f"{A}domain/add/", {"organisation": str(place.pk), "domain": name}
    )


def the_domain() -> Domain:
    with TESTS:
        row: Domain = Domain.objects.get()
    return row


def page_of(client, url: str) -> str:
    response = client.get(url)
    assert response.status_code == 200
    return response.content.decode()


# -- domains ---------------------------------------------------------------------------


def test_a_domain_is_claimed_shown_proved_and_released(
    admin_client, operator, acme, zone
):
    claim(admin_client, acme)
    row = the_domain()
    url = f"{A}domain/{row.pk}/"

    page = page_of(admin_client, url + "change/")
    assert "Claimed: gives nothing" in page
    for text in ("_netra-challenge.acme.example", row.challenge, "Check now"):
        assert text in page

    admin_client.post(url + "check/")
    assert "DNS gave no answer" in page_of(admin_client, url + "change/")

    zone[row.record_name] = [row.challenge]
    admin_client.post(url + "check/")
    assert "Proved: the organisation" in page_of(admin_client, url + "change/")
    assert proved_domains(acme.pk) == {"acme.example"}

    admin_client.post(url + "delete/", {"post": "yes"})
    assert proved_domains(acme.pk) == frozenset()
    assert [(act, who) for act, who, _ in told_by(acme.pk)] == [
        ("domain_claimed", operator.email),
        ("domain_proved", operator.email),
        ("domain_released", operator.email),
    ]


def test_looking_at_the_check_checks_nothing(admin_client, acme, zone):
    claim(admin_client, acme)
    row = the_domain()
    zone[row.record_name] = [row.challenge]

    admin_client.get(f"{A}domain/{row.pk}/check/")

    assert the_domain().proved_at is None


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("gmail.com", "Anybody can have an address"), ("no domain", "is no mail domain")],
)
def test_a_domain_that_cannot_be_claimed_is_explained(
    admin_client, acme, name, sentence
):
    response = claim(admin_client, acme, name)

    assert response.status_code == 200
    assert sentence in response.content.decode()
    with TESTS:
        assert not Domain.objects.exists()


def test_a_domain_of_another_company_is_refused_with_a_sentence(
    admin_client, acme, globex, zone
):
    claim(admin_client, acme)
    row = the_domain()
    zone[row.record_name] = [row.challenge]
    proved(globex, "acme.example")

    page = admin_client.post(f"{A}domain/{row.pk}/check/", follow=True)

    assert "Another organisation has proved acme.example" in page.content.decode()
    assert proved_domains(acme.pk) == frozenset()


def test_accounts_outside_are_listed_and_stay_where_they_are(
    admin_client, acme, globex, alice
):
    stray = person("stray@acme.example", globex)
    person("stray@notacme.example", globex)
    row = proved(acme)

    page = page_of(admin_client, f"{A}domain/{row.pk}/change/")

    assert stray.email in page
    assert "stray@notacme.example" not in page
    assert alice.email not in page
    assert [m.organisation for m in memberships_of(stray.pk)] == [globex]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"failures": 1}, "Proved, but the last check did not find"),
        ({"suspended_at": "2026-01-01T00:00:00Z"}, "Suspended: the record is gone"),
    ],
)
def test_the_list_says_what_holds(admin_client, acme, values, words):
    proved(acme, **values)

    assert words in page_of(admin_client, f"{A}domain/")


def test_letters_of_other_scripts_are_shown_as_such(admin_client, acme):
    claim(admin_client, acme, "münchen.example")

    assert the_domain().domain == "xn--mnchen-3ya.example"
    assert "münchen.example" in page_of(admin_client, f"{A}domain/")


def test_several_domains_are_checked_from_the_list(admin_client, acme, zone):
    claim(admin_client, acme)
    row = the_domain()
    zone[row.record_name] = [row.challenge]

    admin_client.post(
        f"{A}domain/", {"action": "check_now", "_selected_action": [str(row.pk)]}
    )

    assert the_domain().proved_at is not None


@pytest.mark.parametrize("role", ["support_operator", "security_auditor"])
def test_other_staff_neither_claim_nor_check_nor_release(
    client, netra, acme, zone, role
):
    row = proved(acme, proved_at=None)
    zone[row.record_name] = [row.challenge]
    client.force_login(staff(role, netra))

    answers = [
        claim(client, acme, "other.example"),
        client.post(f"{A}domain/{row.pk}/check/"),
        client.post(f"{A}domain/{row.pk}/delete/", {"post": "yes"}),
    ]

    assert [answer.status_code for answer in answers] == [403, 403, 403]
    assert the_domain().proved_at is None
