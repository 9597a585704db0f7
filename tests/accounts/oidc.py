"""What every refused sign-in must leave behind, and must not."""

from __future__ import annotations

import json

from django.http import HttpResponse

from apps.accounts.models import Identity, User
from apps.audits.models import Entry, Receipt
from tests.accounts.lying_provider import Visitor
from tests.factories import TESTS


def assert_signed_in(visitor: Visitor, response: HttpResponse) -> None:
    assert (response.status_code, visitor.is_signed_in) == (302, True), refusal(
        response
    )


def assert_refused(response: HttpResponse, rule: str, visitor: Visitor) -> Receipt:
    """A page with the reference of a receipt, an entry in the trail, and nothing else."""
    page = response.content.decode()
    assert response.status_code in {401, 403, 503}, response.status_code
    assert not visitor.is_signed_in
    with TESTS:
        assert not Identity.objects.exists()
        receipt = Receipt.objects.get()
        entry = Entry.objects.get(act="sign_in_refused")
    assert not User.objects.exclude(email="alice@acme.example").exists()
    assert receipt.rule == rule
    assert str(receipt.id) in page
    assert receipt.explanation.split("'")[0] in page
    assert "What to do" in page
    body = json.loads(entry.body)
    assert (body["details"]["rule"], body["outcome"]) == (rule, "refused")
    assert entry.organisation_id == receipt.organisation_id
    return receipt


def refusal(response: HttpResponse) -> str:
    """Why, for a test that did not expect it."""
    with TESTS:
        rules = [receipt.rule for receipt in Receipt.objects.all()]
    return f"{response.status_code} {rules} {response.content.decode()[-1500:]}"
