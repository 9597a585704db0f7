"""What a door knows of where somebody came from, for the trail: address, client, request, session.

Nothing that a client writes is believed: its address counts as far as our proxies wrote it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from django.http import HttpRequest

from apps.core.addresses import client_address
from apps.core.circumstances import Circumstances

AGENT_LENGTH = 200
DIGITS = (
    16  # of the session's digest: enough to tell sessions apart, useless to enter one
)
DOORS = {"/admin/": "admin", "/scim/": "scim"}
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}\Z")


def of_request(request: HttpRequest) -> Circumstances:
    """Of an HTTP request."""
    session = getattr(request, "session", None)
    return Circumstances(
        door=next((d for p, d in DOORS.items() if request.path.startswith(p)), "http"),
        address=client_address(request),
        agent=request.headers.get("User-Agent", "")[:AGENT_LENGTH],
        request_id=_request_id(request.headers.get("X-Request-ID", "")),
        session=_digest(getattr(session, "session_key", None)),
    )


def of_socket(scope: Mapping[str, Any], session_key: str | None) -> Circumstances:
    """Of a WebSocket; all of its frames share one id."""
    headers = {
        name.lower(): value.decode("latin-1") for name, value in scope["headers"]
    }
    return Circumstances(
        door="socket",
        address=client_address(scope),
        agent=headers.get(b"user-agent", "")[:AGENT_LENGTH],
        request_id=_request_id(headers.get(b"x-request-id", "")),
        session=_digest(session_key),
    )


def _digest(session_key: str | None) -> str:
    if not session_key:
        return ""
    return hashlib.sha256(session_key.encode()).hexdigest()[:DIGITS]


def _request_id(told: str) -> str:
    """The id that a proxy gave, where it is one; else a new one."""
    return told if _REQUEST_ID.match(told) else uuid4().hex
