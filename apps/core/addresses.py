"""From which address somebody asks. Headers count only as far as the installation's own proxies wrote them.

Used by rate limits, sign-ins and the trail. What an address may do is not decided here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv6Address, ip_address
from typing import Any

from django.conf import settings
from django.http import HttpRequest

Headers = Iterable[tuple[bytes, bytes]]


def client_address(asked: HttpRequest | Mapping[str, Any]) -> str:
    """The address behind a request or an ASGI scope; empty where it is not known.

    Each of our NETRA_PROXIES proxies adds the address that it was asked from at the end of
    X-Forwarded-For. What stands before those was written by the visitor and is not read.
    """
    forwarded, peer = (
        _of_request(asked) if isinstance(asked, HttpRequest) else _of_scope(asked)
    )
    proxies: int = settings.NETRA_PROXIES
    hops = [hop.strip() for hop in forwarded.split(",")] if forwarded else []
    if 0 < proxies <= len(hops) and (told := _plain(hops[-proxies])):
        return told
    return _plain(peer)


def _of_request(request: HttpRequest) -> tuple[str, str]:
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "")
    return str(forwarded), str(request.META.get("REMOTE_ADDR") or "")


def _of_scope(scope: Mapping[str, Any]) -> tuple[str, str]:
    headers: Headers = scope.get("headers") or ()
    lines = [
        value.decode("latin-1")
        for name, value in headers
        if name.lower() == b"x-forwarded-for"
    ]
    peer = scope.get("client") or ("", 0)
    return ",".join(lines), str(peer[0] or "")


def _plain(told: str) -> str:
    """An address in its one form, without port and brackets; empty when it is none."""
    name = told.strip()
    if name.startswith("["):
        name = name[1:].partition("]")[0]
    elif name.count(":") == 1:
        name = name.partition(":")[0]
    try:
        address = ip_address(name)
    except ValueError:
        return ""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)
