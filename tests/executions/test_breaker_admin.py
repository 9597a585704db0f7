"""The list of breakers that staff see."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from apps.executions.models import Breaker
from tests.staff import staff

LIST = reverse("admin:executions_breaker_changelist")


@pytest.fixture
def viewer(client, netra):
    client.force_login(staff("support_viewer", netra))
    return client


def breaker(key: str, **values: object) -> Breaker:
    return Breaker.objects.create(key=key, updated_at=timezone.now(), **values)


def test_staff_see_what_is_open_since_when_and_why(viewer):
    now = timezone.now()
    until = now + timedelta(seconds=30)
    times = {"opened_at": now, "open_until": until}
    breaker(
        "openai:a", state="open", trips=2, last_error="<b>ModelServerError", **times
    )
    breaker("openai:b", state="half_open", **times)
    breaker("openai:c")

    page = viewer.get(LIST).content.decode()

    for words in ("openai:a", "Open</span>", "Half open</span>", "Closed</span>"):
        assert words in page
    assert "&lt;b&gt;ModelServerError" in page
    assert "<b>ModelServerError" not in page


def test_nobody_changes_a_breaker_by_hand(viewer):
    row = breaker("openai:a")

    assert viewer.get(reverse("admin:executions_breaker_add")).status_code == 403
    url = reverse("admin:executions_breaker_delete", args=[row.pk])
    assert viewer.post(url, {"post": "yes"}).status_code == 403
    assert Breaker.objects.count() == 1


@pytest.mark.security
def test_strangers_do_not_see_it(client, mallory):
    client.force_login(mallory)

    assert client.get(LIST).status_code in {302, 403}


@pytest.mark.performance
def test_many_breakers_cost_as_many_queries_as_few(viewer):
    breaker("openai:0")
    viewer.get(LIST)
    with CaptureQueriesContext(connection) as few:
        viewer.get(LIST)
    for n in range(1, 9):
        breaker(f"openai:{n}")

    with CaptureQueriesContext(connection) as many:
        viewer.get(LIST)

    assert len(many) == len(few)
