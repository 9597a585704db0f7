"""What a visitor writes into headers decides nothing: neither host, nor scheme, nor address."""

from __future__ import annotations

import pytest
from django.test import Client, RequestFactory, override_settings

from apps.accounts.signin.adapter import AccountAdapter

pytestmark = [pytest.mark.security, pytest.mark.integration]

LOGIN = "/accounts/login/"
SPOOFED = {
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Port": "444",
    "X-Forwarded-For": "127.0.0.1",
    "X-Real-IP": "127.0.0.1",
    "X-Original-URL": "/admin/",
    "X-Rewrite-URL": "/admin/",
    "X-HTTP-Method-Override": "DELETE",
    "Forwarded": "for=127.0.0.1;host=evil.example;proto=https",
}


@pytest.mark.parametrize(
    "path", [LOGIN, "/chat/", "/admin/", "/api/v1/me/", "/metrics"]
)
def test_spoofed_headers_change_no_answer(db, path: str) -> None:
    client = Client()

    plain, spoofed = (
        client.get(path, REMOTE_ADDR="203.0.113.9", headers=headers)
        for headers in ({}, SPOOFED)
    )

    assert spoofed.status_code == plain.status_code
    assert spoofed.get("Location") == plain.get("Location")
    assert b"evil.example" not in spoofed.content
    assert "Strict-Transport-Security" not in spoofed


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "testserver.evil.example",
        "evil.example:80",
        "testserver@evil.example",
        "169.254.169.254",
    ],
)
@pytest.mark.parametrize("path", ["/", LOGIN, "/api/v1/me/"])
def test_a_name_that_is_not_ours_is_not_served(db, host: str, path: str) -> None:
    """A page that re-points its own name at us (DNS rebinding) reads nothing."""
    response = Client().get(path, headers={"Host": host})

    assert response.status_code == 400
    assert host.encode() not in response.content


@pytest.mark.parametrize(
    ("proxies", "forwarded", "believed"),
    [
        (0, "198.51.100.7", "203.0.113.9"),
        (1, "198.51.100.7", "198.51.100.7"),
        (1, "127.0.0.1, 198.51.100.7", "198.51.100.7"),
    ],
)
def test_limits_count_the_address_that_our_proxies_name(
    proxies: int, forwarded: str, believed: str
) -> None:
    request = RequestFactory().get(
        "/", REMOTE_ADDR="203.0.113.9", headers={"X-Forwarded-For": forwarded}
    )

    with override_settings(NETRA_PROXIES=proxies, ALLAUTH_TRUSTED_PROXY_COUNT=proxies):
        found = AccountAdapter(request).get_client_ip(request)

    assert found == believed


def test_a_new_address_in_a_header_does_not_renew_the_tries(db) -> None:
    client = Client()

    answers = [
        client.post(
            LOGIN,
            {"login": f"nobody{n}@acme.example", "password": "wrong horse battery"},
            headers={"X-Forwarded-For": f"198.51.100.{n}"},
        )
        for n in range(12)
    ]

    assert answers[0].status_code == 200
    assert answers[-1].status_code == 429
