"""How far a sign-in came: moments only, kept over a second factor, and none for what is no sign-in."""

from __future__ import annotations

import json

import pytest
from django.utils.dateparse import parse_datetime

from apps.accounts import waymarks
from apps.accounts.models import IdentityProvider
from apps.accounts.oidc.errors import NonceError
from apps.accounts.refusals import sign_in_receipt
from apps.accounts.waymarks import Step
from apps.audits.models import Entry
from tests.factories import TESTS

pytestmark = pytest.mark.security


def test_a_mark_is_a_moment(rf):
    request = rf.get("/")
    waymarks.mark(request, Step.SENT, at=1.5)
    waymarks.mark(request, Step.RETURNED)

    sent, returned = map(parse_datetime, waymarks.passed(request).values())

    assert sent is not None
    assert returned is not None
    assert sent.timestamp() == 1.5
    assert sent < returned


def test_what_comes_out_of_a_session_is_marks_or_nothing():
    moment = "2026-01-01T00:00:00.000000Z"

    assert waymarks.kept({"sent": moment, "token": 7, "code": "secret"}) == {
        "sent": moment
    }
    assert waymarks.kept(None) == waymarks.kept("sent") == {}


def test_a_role_is_told_only_where_one_was_given(rf):
    request = rf.get("/")
    assert waymarks.role(request) == ""

    waymarks.give_role(request, "member")

    assert waymarks.role(request) == "member"
    assert Step.ROLE in waymarks.passed(request)


@pytest.mark.parametrize("begun", [False, True])
def test_only_a_sign_in_has_steps_in_the_trail(
    rf, acme_provider: IdentityProvider, *, begun: bool
):
    request = rf.post("/")
    if begun:
        waymarks.passed(request)
    error = NonceError(acme_provider)

    sign_in_receipt(request, acme_provider, error, rule=error.rule)

    with TESTS:
        details = json.loads(Entry.objects.get().body)["details"]
    assert ("steps" in details) is begun
