"""Reading changes nothing, and whatever changes something wants the page's own token."""

from __future__ import annotations

import hashlib

import pytest
from django.apps import apps
from django.test import Client, override_settings

from tests.factories import TESTS
from tests.security.routes import Route, routes

pytestmark = [pytest.mark.security, pytest.mark.integration]

# What a look may leave behind: that it was made, by whom, and what was refused.
MARKS = {
    "django_session",
    "audits_receipt",  # a refusal that support can look up
    "audits_entry", "audits_head", "audits_checkpoint",  # that staff looked
    "accounts_signin",  # when a session was used last
    "accounts_token",  # when a token was used last
}  # fmt: skip
# Without the page's token on purpose, each with what proves the sender instead.
WITHOUT_TOKEN = {
    "/scim/": "a bearer token of the organisation's directory",
    "/accounts/oidc/": "a logout token that the provider signed",
}
UNSAFE = ("post", "put", "patch", "delete")


def tables() -> dict[str, tuple[int, str]]:
    """How many rows each table has, and a digest of them."""
    found = {}
    with TESTS:
        for model in apps.get_models(include_auto_created=True):
            if model._meta.db_table in MARKS or model._meta.proxy:
                continue
            rows = sorted(map(repr, model._base_manager.values_list()))
            digest = hashlib.sha256("\n".join(rows).encode()).hexdigest()
            found[model._meta.db_table] = (len(rows), digest)
    return found


@pytest.mark.parametrize("who", ["stranger", "member", "staff"])
def test_reading_changes_nothing(visitors, ids, who: str) -> None:
    before = tables()

    for route in routes(ids):
        visitors[who].get(route.path)
        visitors[who].head(route.path)

    after = tables()
    assert {t for t in before if before[t] != after[t]} == set()
    assert before["chat_thread"][0] == 1


def test_signing_out_by_a_link_does_not_sign_out(visitors) -> None:
    for path in ("/accounts/logout/", "/admin/logout/"):
        visitors["staff"].get(path)

    assert visitors["staff"].get("/admin/").status_code == 200


def forged(client: Client, route: Route, method: str) -> str:
    """How a request of another site's page fares, with the person's cookies and without the token."""
    response = getattr(client, method)(
        route.path, headers={"Origin": "https://evil.example"}
    )
    if response.status_code == 403 and b"CSRF" in response.content:
        return "refused"
    if (
        response.status_code == 403
        and b"your safety the form was not sent" in response.content
    ):
        return "refused"
    return f"{method} {response.status_code}"


@pytest.mark.parametrize("who", ["member", "staff"])
def test_every_unsafe_route_wants_the_pages_token(visitors, ids, who: str) -> None:
    strict = Client(enforce_csrf_checks=True, raise_request_exception=False)
    strict.cookies = visitors[who].cookies
    before, let_in = tables(), {}

    for route in routes(ids):
        if route.path.startswith(tuple(WITHOUT_TOKEN)) and _is_exempt(route):
            continue
        for method in UNSAFE if route.path.startswith("/api/") else UNSAFE[:1]:
            if (fared := forged(strict, route, method)) != "refused":
                let_in[route.path] = fared

    assert let_in == {}
    assert tables() == before


def test_only_named_views_are_exempt(ids) -> None:
    exempt = {
        route.path
        for route in routes(ids)
        if _is_exempt(route)
        # The API checks by itself, for sessions only (apps.accounts.authentication).
        and not route.path.startswith("/api/v1/")
    }

    assert [p for p in exempt if not p.startswith(tuple(WITHOUT_TOKEN))] == []


def _is_exempt(route: Route) -> bool:
    return bool(getattr(route.view, "csrf_exempt", False))


@pytest.mark.parametrize(
    "origin", ["null", "http://testserver:81", "https://testserver.evil.example"]
)
def test_a_form_from_elsewhere_is_refused_even_with_a_token(bob, origin: str) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(bob)
    client.get("/accounts/logout/")
    token = client.cookies["csrftoken"].value

    refused = client.post(
        "/accounts/logout/", {"csrfmiddlewaretoken": token}, headers={"Origin": origin}
    )
    taken = client.post("/accounts/logout/", {"csrfmiddlewaretoken": token})

    assert (refused.status_code, taken.status_code) == (403, 302)


@override_settings(CSRF_TRUSTED_ORIGINS=["https://netra.example"])
def test_a_bearer_token_needs_no_other(alice_principal) -> None:
    """Browsers never add this header by themselves."""
    from tests.doors import secret_of

    client = Client(enforce_csrf_checks=True)

    response = client.post(
        "/api/v1/tokens/", {}, content_type="application/json",
        headers={"Authorization": f"Bearer {secret_of(alice_principal)}"},
    )  # fmt: skip

    assert response.status_code == 201
