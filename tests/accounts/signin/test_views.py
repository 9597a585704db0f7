"""The pages of signing in, as strangers and members see them."""

from __future__ import annotations

import socket

import pytest
from django.core.cache import cache
from django.utils import timezone

from apps.accounts.models import Domain
from tests.accounts.conftest import make_provider
from tests.factories import PASSWORD, TESTS

LOGIN = "/accounts/login/"
COMPANY = "/accounts/company/"
START = "/accounts/oidc/acme/login/"


@pytest.fixture(autouse=True)
def fresh_limits():
    cache.clear()


def form_action(response) -> set[str]:
    parts = dict(
        part.strip().partition(" ")[::2]
        for part in response["Content-Security-Policy"].split(";")
    )
    return set(parts["form-action"].split())


def test_home_sends_strangers_to_the_login_page(client, db):
    assert client.get("/")["Location"] == LOGIN


def test_home_sends_members_to_the_chat(client, alice):
    client.force_login(alice)

    assert client.get("/")["Location"] == "/chat/"


def test_home_sends_staff_to_the_admin(client, support):
    client.force_login(support)

    assert client.get("/")["Location"] == "/admin/"


def test_home_tells_people_without_organisation(client, alice, acme):
    acme.status = "suspended"
    acme.save()
    client.force_login(alice)

    response = client.get("/")

    assert response.status_code == 403
    assert "no active organisation" in response.content.decode()


def test_a_password_signs_in(client, alice):
    response = client.post(LOGIN, {"login": "Alice@acme.example", "password": PASSWORD})

    assert (response.status_code, response["Location"]) == (302, "/")
    assert client.get("/")["Location"] == "/chat/"


@pytest.mark.security
def test_wrong_password_and_unknown_address_look_alike(client, alice):
    pages = [
        client.post(LOGIN, {"login": email, "password": "wrong"}).content.decode()
        for email in ("alice@acme.example", "nobody@acme.example")
    ]

    told = [page[page.index("errorlist") :][:200] for page in pages]
    assert told[0] == told[1]
    assert client.get("/")["Location"] == LOGIN


@pytest.mark.security
def test_a_closed_account_cannot_use_its_password(client, alice):
    alice.is_active = False
    alice.save()

    client.post(LOGIN, {"login": alice.email, "password": PASSWORD})

    assert client.get("/")["Location"] == LOGIN


@pytest.mark.security
def test_the_login_page_leads_nowhere_else(client, alice):
    response = client.post(
        LOGIN + "?next=https://evil.example/",
        {"login": alice.email, "password": PASSWORD},
    )

    assert response["Location"] == "/"


@pytest.mark.security
def test_the_login_page_names_no_customer(client, acme_provider, settings):
    settings.NETRA_DEMO = False

    assert "acme" not in client.get(LOGIN).content.decode().lower()


def test_the_demo_offers_its_people(client, acme_provider, globex_provider):
    page = client.get(LOGIN).content.decode()

    for email in ("alice@acme.example", "bob@acme.example", "mallory@globex.example"):
        assert f"Continue as {email}" in page
    assert START in page


def test_an_address_leads_to_its_company_and_keeps_the_way(client, acme_provider):
    response = client.post(
        COMPANY, {"email": " Anybody@ACME.example", "next": "/chat/?x=1"}
    )

    assert response["Location"] == START + "?next=%2Fchat%2F%3Fx%3D1"


@pytest.mark.security
def test_known_and_unknown_people_of_a_company_are_led_alike(
    client, alice, acme_provider
):
    places = {
        client.post(COMPANY, {"email": email})["Location"]
        for email in ("alice@acme.example", "nobody@acme.example")
    }

    assert places == {START}


@pytest.mark.security
@pytest.mark.parametrize(
    "email", ["x@nowhere.example", "alice", "", "@", "x@\x00", "x" * 5000]
)
def test_every_other_address_gets_the_same_answer(client, alice, acme, email):
    response = client.post(COMPANY, {"email": email}, follow=True)

    assert response.redirect_chain == [(LOGIN, 302)]
    assert "No company sign-in is set up for this address" in response.content.decode()


@pytest.mark.security
@pytest.mark.parametrize(
    "url", ["https://evil.example/", "//evil.example", "javascript:alert(1)"]
)
def test_the_way_through_a_company_leads_nowhere_else(client, acme_provider, url):
    assert (
        client.post(COMPANY, {"email": "a@acme.example", "next": url})["Location"]
        == START
    )


@pytest.mark.security
def test_guessing_companies_is_limited(client, db):
    answers = [
        client.post(COMPANY, {"email": f"a@c{n}.example"}).status_code
        for n in range(40)
    ]

    assert answers[0] == 302
    assert answers[-1] == 429


@pytest.mark.security
def test_looking_at_the_start_page_starts_nothing(client, acme_provider):
    response = client.get(START)

    assert response.status_code == 200
    assert "Continue to Acme" in response.content.decode()


@pytest.mark.security
def test_only_the_start_page_may_lead_to_other_origins(client, acme_provider, settings):
    assert "https:" in form_action(client.get(START))
    assert "https:" not in form_action(client.get(LOGIN))


def test_a_provider_that_cannot_be_reached_is_explained(client, acme_provider):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        acme_provider.issuer = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with TESTS:
            acme_provider.save()

        response = client.post(START)

    assert (response.status_code, response["Retry-After"]) == (503, "60")
    assert "cannot be reached" in response.content.decode()


@pytest.mark.security
def test_an_unknown_provider_is_not_there(client, db):
    assert client.get("/accounts/oidc/there-is-none/login/").status_code == 404
    assert client.get("/accounts/oidc/there-is-none/login/callback/").status_code == 404


@pytest.mark.security
def test_a_callback_that_nobody_asked_for_is_refused(client, acme_provider):
    response = client.get(START + "callback/?code=x&state=y")

    assert response.status_code == 401
    assert "Sign-in did not work" in response.content.decode()


@pytest.mark.security
@pytest.mark.parametrize(
    "path",
    [
        "signup/",
        "email/",
        "password/set/",
        "3rdparty/",
        "3rdparty/signup/",
        "social/connections/",
        "social/signup/",
    ],
)
@pytest.mark.parametrize("method", ["get", "post"])
def test_pages_that_netra_does_not_offer_are_closed(client, alice, path, method):
    client.force_login(alice)

    assert getattr(client, method)("/accounts/" + path).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "login/",
        "logout/",
        "inactive/",
        "confirm-email/",
        "password/reset/",
        "password/reset/done/",
        "password/reset/key/done/",
        "password/reset/key/1-x/",
        "3rdparty/login/cancelled/",
    ],
)
def test_pages_around_signing_in_wear_our_frame(client, db, path):
    response = client.get("/accounts/" + path, follow=True)

    page = response.content.decode()
    assert response.status_code == 200
    assert 'class="brand"' in page
    assert "<style" not in page
    assert 'style="' not in page


@pytest.mark.parametrize(
    "path", ["logout/", "password/change/", "reauthenticate/", "2fa/"]
)
def test_pages_of_ones_account_wear_our_frame(client, alice, path):
    client.post(LOGIN, {"login": alice.email, "password": PASSWORD})

    response = client.get("/accounts/" + path, follow=True)

    assert response.status_code == 200
    assert 'class="brand"' in response.content.decode()


def test_signing_out_ends_the_session(client, alice):
    client.force_login(alice)
    client.post("/accounts/logout/")

    assert client.get("/")["Location"] == LOGIN


def another_way(place, name: str = "Acme Factory", **values):
    return make_provider(
        place, provider_id="factory", name=name, client_id="f", **values
    )


@pytest.mark.security
def test_a_company_with_several_ways_lets_the_person_choose(
    client, acme, acme_provider
):
    another_way(acme, "<b>Factory</b>")

    page = client.post(COMPANY, {"email": "anybody@acme.example", "next": "/chat/"})

    told = page.content.decode()
    assert page.status_code == 200
    assert "Continue with Acme" in told
    assert "Continue with &lt;b&gt;Factory" in told
    assert f'href="{START}?next=%2Fchat%2F"' in told
    assert 'href="/accounts/oidc/factory/login/?next=%2Fchat%2F"' in told


@pytest.mark.security
def test_several_ways_are_those_of_one_company_that_are_on(
    client, acme, acme_provider, globex_provider
):
    another_way(acme, enabled=False)

    page = client.post(COMPANY, {"email": "anybody@acme.example"})

    assert page["Location"] == START


@pytest.mark.security
@pytest.mark.parametrize(
    "email", ["x@acme.example", "x@nowhere.example", "nonsense", "x@sub.acme.example"]
)
def test_every_address_costs_the_same_work(
    client, acme_provider, django_assert_num_queries, email
):
    with django_assert_num_queries(1):
        client.post(COMPANY, {"email": email})


@pytest.mark.security
def test_a_suspended_domain_leads_nowhere(client, acme, acme_provider):
    with TESTS:
        Domain.objects.update(suspended_at=timezone.now())

    assert client.post(COMPANY, {"email": "x@acme.example"})["Location"] == LOGIN
