"""Who may enter the admin, and under which policy."""

from __future__ import annotations

import pytest

from tests.staff import staff

pytestmark = pytest.mark.security

POLICY = "Content-Security-Policy"


def directives(response) -> dict[str, str]:
    parts = (part.strip() for part in response[POLICY].split(";"))
    return {name: value for name, _, value in (part.partition(" ") for part in parts)}


def test_a_stranger_is_led_to_the_one_login_page(client, db):
    response = client.get("/admin/executions/execution/", follow=True)

    last, status = response.redirect_chain[-1]
    assert status == 302
    assert last == "/accounts/login/?next=/admin/executions/execution/"


def test_a_member_gets_403_on_every_kind_of_page(client, alice):
    client.force_login(alice)

    for path in ("", "executions/execution/", "issues/issue/", "jsi18n/"):
        response = client.get(f"/admin/{path}", follow=True)
        assert response.status_code == 403, path
        assert "Executions" not in response.content.decode()


def test_staff_who_ask_for_the_login_page_land_on_the_overview(client, support):
    client.force_login(support)

    response = client.get("/admin/login/")

    assert response["Location"] == "/admin/"


def test_staff_without_a_role_see_no_figures(client, support, alice_principal):
    client.force_login(support)

    response = client.get("/admin/")

    assert response.status_code == 200
    assert b"has no role yet" in response.content
    assert client.get("/admin/executions/execution/").status_code == 403


def test_the_admin_alone_may_evaluate_and_style_inline(client, netra):
    client.force_login(staff("support_viewer", netra))

    policy = directives(client.get("/admin/executions/execution/"))

    assert policy["script-src"] == "'self' 'unsafe-eval'"
    assert policy["style-src"] == "'self' 'unsafe-inline'"
    assert policy["default-src"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert "trusted-types" not in policy


@pytest.mark.parametrize("path", ["/accounts/login/", "/chat/", "/admin-like/", "/"])
def test_every_other_page_keeps_the_strict_policy(client, alice, path):
    if path == "/chat/":
        client.force_login(alice)

    policy = directives(client.get(path))

    assert policy["script-src"] == "'self'"
    assert policy["style-src"] == "'self'"
    assert policy["require-trusted-types-for"] == "'script'"


def test_the_refusal_of_a_member_keeps_the_strict_policy(client, alice):
    client.force_login(alice)

    response = client.get("/admin/", follow=True)

    assert response.status_code == 403
    assert directives(response)["script-src"] == "'self'"


def test_signing_out_needs_a_post(client, netra):
    client.force_login(staff("support_viewer", netra))

    client.get("/admin/logout/")
    assert client.get("/admin/").status_code == 200

    client.post("/admin/logout/")
    assert client.get("/admin/").status_code == 302
