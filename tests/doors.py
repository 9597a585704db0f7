"""What tests of the HTTP API share: clients that carry a token, and what a refusal looks like."""

from __future__ import annotations

import uuid
from typing import Any
from uuid import UUID

from django.test import AsyncClient, Client

from apps.accounts import actions
from apps.accounts.access import Principal
from apps.accounts.models import User
from apps.chat import actions as chat
from apps.chat.models import Message, Thread
from apps.core.database import write_now
from apps.executions.models import Event, Execution
from apps.usage.models import Record
from tests.factories import TESTER, TESTS

API = "/api/v1/"
JSON = "application/json"


def secret_of(who: Principal) -> str:
    """A new token of that person's."""
    user = User.objects.get(pk=who.user_id)
    return write_now(
        who.scope,
        lambda: actions.create_token(
            actor=TESTER, user=user, organisation_id=who.organisation_id
        ),
    )


def api_client(who: Principal) -> Client:
    return Client(
        headers={"Authorization": f"Bearer {secret_of(who)}"},
        raise_request_exception=False,
    )


def async_client(secret: str) -> AsyncClient:
    # Its `headers` would be lost between WSGI's and ASGI's way of naming them.
    return AsyncClient(authorization=f"Bearer {secret}")


def open_thread(who: Principal, title: str = "") -> UUID:
    return write_now(who.scope, lambda: chat.open_thread(principal=who, title=title))


def ask(client: Client, thread_id: UUID | str, body: object, **headers: str) -> Any:
    """POST a message; `body` goes out as it is when it is text or bytes."""
    return client.post(
        f"{API}threads/{thread_id}/messages/",
        body,
        content_type=JSON,
        headers=headers,
    )


def written() -> dict[str, int]:
    """How many rows there are of everything that a refusal must not write."""
    with TESTS:
        return {
            model.__name__: model.objects.count()
            for model in (Thread, Message, Execution, Event, Record)
        }


def problem_of(response: Any) -> dict[str, Any]:
    """The refusal's document, after checking its form."""
    assert response["Content-Type"] == "application/problem+json", response.content
    document: dict[str, Any] = response.json()
    assert document["status"] == response.status_code
    assert {"type", "title", "detail", "code", "fix", "receipt_id"} <= document.keys()
    return document


def shape_of(response: Any) -> dict[str, object]:
    """A refusal without what differs from one to the next."""
    document = problem_of(response)
    assert uuid.UUID(document.pop("receipt_id"))
    return document
