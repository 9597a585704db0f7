"""The list of breakers that staff see, and closing one by hand."""

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


@pytest.fixture
def platform_admin(client, netra):
    client.force_login(staff("platform_admin", netra))
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


def ill() -> tuple[Breaker, Breaker]:
    """One that is open and one that is half open."""
    now = timezone.now()
    times = {"opened_at": now, "open_until": now + timedelta(seconds=90)}
    return (
        breaker("openai:a", state="open", trips=2, **times),
        breaker("openai:b", state="half_open", trips=1, **times),
    )


def close(client, *rows: Breaker, **more: str):
    data = {
        "action": "close",
        "_selected_action": [str(row.pk) for row in rows],
        "confirmed": "1",
        "reason": "The provider says it is back.",
    }
    return client.post(LIST, data | more, follow=True)


def test_an_open_one_says_how_long_it_refuses(viewer):
    ill()

    assert "1 min 2" in viewer.get(LIST).content.decode()


def test_a_platform_admin_closes_them_with_a_reason(platform_admin):
    rows = ill()

    page = close(platform_admin, *rows).content.decode()

    assert "Closed: openai:a, openai:b." in page
    found = Breaker.objects.order_by("key").values_list("state", "trips", "last_error")
    said = "closed by platform_admin@netra.example: The provider says it is back."
    assert list(found) == [("closed", 2, said), ("closed", 1, said)]


def test_without_a_reason_they_are_asked_first(platform_admin):
    rows = ill()

    html = close(platform_admin, *rows, reason=" ").content.decode()

    assert "Close 2 breakers" in html
    assert "Say why: the reason is kept with the breaker." in html
    assert set(Breaker.objects.values_list("state", flat=True)) == {"open", "half_open"}


def test_those_that_are_closed_are_left_alone(platform_admin):
    row = breaker("openai:c")

    page = close(platform_admin, row).content.decode()

    assert "calls pass already" in page
    row.refresh_from_db()
    assert (row.version, row.last_error) == (1, "")


def test_one_that_closed_meanwhile_is_reported(platform_admin, monkeypatch):
    row, _ = ill()
    monkeypatch.setattr(
        "apps.executions.admin.breakers.close_now", lambda *_, **__: False
    )

    page = close(platform_admin, row).content.decode()

    assert "closed by themselves meanwhile" in page


@pytest.mark.security
@pytest.mark.parametrize(
    "role", ["support_viewer", "support_operator", "security_auditor"]
)
def test_other_staff_cannot_close_one(client, netra, role):
    client.force_login(staff(role, netra))
    row, _ = ill()

    close(client, row)

    row.refresh_from_db()
    assert row.state == "open"
    assert 'value="close"' not in client.get(LIST).content.decode()


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
