"""Support access by its doors: people of support, and what they send."""

from __future__ import annotations

from django.test import Client
from django.urls import reverse

from apps.accounts.models import User
from apps.audits.models import AccessGrant, Entry
from tests.factories import TESTS

WHY = "She asks why the answer names another month."
ASKED = {
    "reach": "execution",
    "reason": "customer_asked",
    "ticket": "#12",
    "explanation": WHY,
    "minutes": "30",
}


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def ask(client: Client, standing, kind: str = "execution", **values: str):
    record = standing.id if kind == "execution" else standing.stream_id
    address = reverse("admin:support_ask", args=[kind, record])
    return client.post(address, ASKED | {"reach": kind} | values)


def decide(client: Client, verb: str, row: AccessGrant | None = None, **values: str):
    row = row or newest()
    address = reverse("admin:support_decide", args=[row.pk, verb])
    return client.post(address, values, follow=True)


def content(client: Client, standing, kind: str = "execution"):
    record = standing.id if kind == "execution" else standing.stream_id
    return client.get(reverse(f"admin:support_{kind}_content", args=[record]))


def newest() -> AccessGrant:
    with TESTS:
        row: AccessGrant = AccessGrant.objects.order_by("-requested_at")[0]
    return row


def trail(act: str = "") -> list[tuple[str, str, str]]:
    """(act, outcome, target) of all entries about support access, in their order."""
    with TESTS:
        rows = Entry.objects.filter(act__startswith="grant_") | Entry.objects.filter(
            act="content_read"
        )
        found = rows.order_by("at", "seq").values_list("act", "outcome", "target")
        return [entry for entry in found if not act or entry[0] == act]
