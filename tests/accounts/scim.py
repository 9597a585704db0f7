"""What tests of SCIM share: a directory that holds a token, and the requests that it sends."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from django.test import Client

from apps.accounts import actions
from apps.accounts.access import memberships_of
from apps.accounts.models import Organisation, ScimToken, User
from apps.audits.acts import Act
from apps.audits.models import Entry
from apps.core.database import write_now
from apps.core.tenancy import tenant
from tests import factories
from tests.factories import TESTER, TESTS

ROOT = "/scim/v2"
MEDIA = "application/scim+json"
USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"


def make_token(place: Organisation, **values: Any) -> tuple[ScimToken, str]:
    """A new token of that organisation's directory, with its secret."""
    return write_now(
        tenant(place.pk),
        lambda: actions.create_scim_token(actor=TESTER, organisation=place, **values),
    )


@dataclass(frozen=True)
class Directory:
    """An organisation's directory, as its own software would call us."""

    client: Client

    def send(self, method: str, path: str, body: object = None, **query: str) -> Any:
        sent = (
            body if isinstance(body, str | bytes) or body is None else json.dumps(body)
        )
        return self.client.generic(
            method,
            f"{ROOT}/{path}",
            sent or b"",
            content_type=MEDIA,
            query_params=query,
        )

    def get(self, path: str, **query: str) -> Any:
        return self.send("GET", path, **query)

    def add_user(self, user_name: str, **values: object) -> dict[str, Any]:
        answer = self.send("POST", "Users", user(user_name, **values))
        assert answer.status_code == 201, answer.content
        return answer.json()  # type: ignore[no-any-return]

    def add_group(self, name: str, *members: str) -> dict[str, Any]:
        told = {"displayName": name, "members": [{"value": m} for m in members]}
        answer = self.send("POST", "Groups", {"schemas": [GROUP], **told})
        assert answer.status_code == 201, answer.content
        return answer.json()  # type: ignore[no-any-return]

    def patch(self, path: str, *operations: dict[str, object]) -> Any:
        return self.send(
            "PATCH", path, {"schemas": [PATCH], "Operations": list(operations)}
        )


def user(user_name: str, **values: object) -> dict[str, object]:
    """A user as a directory describes it."""
    return {"schemas": [USER], "userName": user_name, "active": True, **values}


def directory_of(place: Organisation, *, proved: bool = True) -> Directory:
    """A directory of that organisation, whose domain is proved."""
    if proved:
        factories.domain(place)
    _, secret = make_token(place)
    return Directory(
        Client(
            headers={"Authorization": f"Bearer {secret}"}, raise_request_exception=False
        )
    )


def refusal(answer: Any, status: int, keyword: str = "") -> dict[str, Any]:
    """The error document, after checking its form."""
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == MEDIA
    document: dict[str, Any] = answer.json()
    assert document["schemas"] == [ERROR]
    assert document["status"] == str(status)
    assert document.get("scimType", "") == keyword
    assert document.keys() <= {"schemas", "status", "scimType", "detail"}
    assert document["detail"]
    return document


def reason(document: dict[str, Any]) -> str:
    """The name of what was refused."""
    return document["detail"].partition("Reason: ")[2].partition(".")[0]  # type: ignore[no-any-return]


def reference(document: dict[str, Any]) -> str:
    """The id of the receipt."""
    return document["detail"].partition("Reference: ")[2].partition(".")[0]  # type: ignore[no-any-return]


def sealed(act: Act = Act.DIRECTORY_CHANGED) -> list[dict[str, Any]]:
    """The details of all entries of that act, the oldest first."""
    with TESTS:
        rows = Entry.objects.filter(act=act).order_by("organisation_id", "seq")
        return [json.loads(row.body) for row in rows]


def places_of(email: str) -> dict[str, str]:
    """Where that person belongs, and as what."""
    found = User.objects.get(email=email)
    return {row.organisation.slug: row.role for row in memberships_of(found.pk)}
