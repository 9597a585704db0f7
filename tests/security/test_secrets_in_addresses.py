"""No credential travels in an address: addresses end up in logs, histories and referrers."""

from __future__ import annotations

import logging
import re

import pytest
from django.test import Client

from tests.doors import secret_of
from tests.security.routes import routes

pytestmark = [pytest.mark.security, pytest.mark.integration]

SECRET_NAMES = re.compile(
    r"token|secret|password|session|key|bearer|auth|code", re.IGNORECASE
)
# One-time links that travel by mail, each void after its use.
MAILED = {"key", "uidb36"}


def test_no_address_has_a_place_for_a_secret(db) -> None:
    named = {
        name
        for route in routes()
        if not route.path.startswith("/admin/")
        for name in re.findall(r"<(?:\w+:)?(\w+)>", route.pattern.replace("?P<", "<"))
    }

    assert "thread_id" in named
    assert {n for n in named if SECRET_NAMES.search(n)} - MAILED <= {"token_id"}


@pytest.mark.parametrize(
    "name", ["token", "access_token", "key", "api_key", "bearer", "sessionid"]
)
def test_a_token_in_the_query_opens_nothing(bob, bob_principal, name: str) -> None:
    session = Client()
    session.force_login(bob)
    secret = (
        session.cookies["sessionid"].value
        if name == "sessionid"
        else secret_of(bob_principal)
    )

    response = Client().get(f"/api/v1/me/?{name}={secret}")

    assert response.status_code == 401
    assert secret not in response.content.decode()


def test_what_is_refused_is_logged_without_its_credential(
    bob_principal, caplog
) -> None:
    secret = secret_of(bob_principal)[:-1] + "x"

    with caplog.at_level(logging.DEBUG):
        Client(
            headers={"Authorization": f"Bearer {secret}", "Cookie": "sessionid=zebra"}
        ).get("/api/v1/me/")

    assert caplog.records
    assert secret not in caplog.text
    assert "zebra" not in caplog.text
