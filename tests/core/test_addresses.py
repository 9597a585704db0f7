"""Whose address counts: the peer's, unless proxies of the installation's own told of another."""

from __future__ import annotations

from typing import Any

import pytest
from django.http import HttpRequest

from apps.core.addresses import client_address

pytestmark = pytest.mark.security

# how many proxies, the peer, X-Forwarded-For, who is believed to ask
CASES = {
    "no proxy": (0, "203.0.113.9", "", "203.0.113.9"),
    "a claim without a proxy": (0, "203.0.113.9", "10.0.0.1", "203.0.113.9"),
    "a claim to be this machine": (0, "203.0.113.9", "127.0.0.1", "203.0.113.9"),
    "one proxy": (1, "10.0.0.2", "203.0.113.9", "203.0.113.9"),
    "a claim before one proxy": (1, "10.0.0.2", "127.0.0.1, 203.0.113.9", "203.0.113.9"),
    "two proxies": (2, "10.0.0.2", "203.0.113.9, 10.0.0.3", "203.0.113.9"),
    "a claim before two": (2, "10.0.0.2", "8.8.8.8,203.0.113.9,10.0.0.3", "203.0.113.9"),
    "past the proxies": (2, "203.0.113.9", "127.0.0.1", "203.0.113.9"),
    "past the proxy, silently": (1, "203.0.113.9", "", "203.0.113.9"),
    "no address": (1, "10.0.0.2", "unknown", "10.0.0.2"),
    "an empty hop": (1, "10.0.0.2", "8.8.8.8,", "10.0.0.2"),
    "a script": (1, "10.0.0.2", "<script>", "10.0.0.2"),
    "with a port": (1, "10.0.0.2", "203.0.113.9:4711", "203.0.113.9"),
    "the sixth version": (1, "10.0.0.2", "2001:db8::1", "2001:db8::1"),
    "in brackets": (1, "10.0.0.2", "[2001:DB8:0::1]:4711", "2001:db8::1"),
    "the fourth in the sixth": (0, "::ffff:203.0.113.9", "", "203.0.113.9"),
    "a socket file": (0, "", "", ""),
    "no peer at all": (1, "unix:", "", ""),
}  # fmt: skip


def of_request(peer: str, forwarded: str) -> HttpRequest:
    request = HttpRequest()
    request.META = {"REMOTE_ADDR": peer}
    if forwarded:
        request.META["HTTP_X_FORWARDED_FOR"] = forwarded
    return request


def of_scope(peer: str, forwarded: str) -> dict[str, Any]:
    headers = [(b"host", b"testserver")]
    if forwarded:
        headers.append((b"x-forwarded-for", forwarded.encode()))
    return {"client": (peer, 4711) if peer else None, "headers": headers}


@pytest.mark.parametrize("door", [of_request, of_scope])
@pytest.mark.parametrize("case", CASES)
def test_the_address_of_who_asks(settings, door, case: str) -> None:
    settings.NETRA_PROXIES, peer, forwarded, expected = CASES[case]

    assert client_address(door(peer, forwarded)) == expected


def test_a_header_sent_twice_is_one_list(settings) -> None:
    settings.NETRA_PROXIES = 1
    scope = of_scope("10.0.0.2", "127.0.0.1")
    scope["headers"].append((b"X-Forwarded-For", b"203.0.113.9"))

    assert client_address(scope) == "203.0.113.9"
