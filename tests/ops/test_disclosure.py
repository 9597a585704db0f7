"""Content under a grant: shown to one person, for a time, each look on record first. Masks elsewhere."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from apps.accounts.models import User
from apps.audits import grants, readings, receipts
from apps.audits.models import Entry
from apps.audits.receipts import Refusal
from apps.chat.models import Message, Thread
from apps.core import clock
from apps.core.actors import Actor
from apps.core.content import ContentClosedError
from apps.core.database import write_now
from apps.core.tenancy import staff as staff_scope
from apps.core.tenancy import tenant
from apps.ops import content as contents
from tests import factories
from tests.factories import TESTS
from tests.ops.support import ask, content, decide, newest, signed_in, trail
from tests.staff import SECRET, staff, told

pytestmark = [pytest.mark.django_db, pytest.mark.security]


@pytest.fixture
def operator(netra):
    return signed_in(staff("support_operator", netra))


@pytest.fixture
def lead(netra):
    return signed_in(staff("support_lead", netra))


@pytest.fixture
def standing(alice_principal):
    return told(alice_principal)


def opened(operator, lead, standing, kind: str = "execution", **values: str) -> None:
    ask(operator, standing, kind, **values)
    decide(lead, "approve")


def last_body() -> dict:
    with TESTS:
        rows = Entry.objects.filter(act="content_read").order_by("-at", "-seq")
        return json.loads(rows.values_list("body", flat=True)[0])


def test_an_open_grant_shows_every_part_of_an_execution(operator, lead, standing):
    opened(operator, lead, standing)

    html = content(operator, standing).content.decode()

    for name in ("Input", "Output", "Error detail", "Events"):
        assert name in html
    assert html.count(SECRET) >= 8
    assert "You read content of Acme under a grant" in html
    assert "no-store" in content(operator, standing)["Cache-Control"]


def test_one_look_at_a_conversation_is_one_entry_with_the_ids_of_its_messages(
    operator, lead, standing
):
    now = timezone.now()
    with TESTS:
        thread = Thread.objects.get(pk=standing.stream_id)
        Message.objects.bulk_create(
            Message(
                organisation_id=thread.organisation_id,
                thread=thread,
                role="user",
                text=f"question {number}",
                created_at=now + timedelta(seconds=number),
            )
            for number in range(38)
        )
        ids = {str(pk) for pk in Message.objects.values_list("pk", flat=True)}
    opened(operator, lead, standing, "thread")

    html = content(operator, standing, "thread").content.decode()

    assert "question 37" in html
    reads = trail("content_read")
    assert reads == [("content_read", "done", f"thread:{standing.stream_id}")]
    body = last_body()
    assert set(body["details"]["ids"]) == ids
    assert len(body["details"]["ids"]) == 40
    assert SECRET not in json.dumps(body)


def test_nothing_is_shown_when_it_cannot_be_put_on_record(
    operator, lead, standing, monkeypatch
):
    opened(operator, lead, standing)
    shown = []
    monkeypatch.setattr(contents, "of_execution", shown.append)

    def fail(*_: object, **__: object) -> int:
        raise RuntimeError("the trail cannot be written")

    monkeypatch.setattr("apps.audits.trail.record", fail)

    with pytest.raises(RuntimeError, match="trail"):
        content(operator, standing)

    assert shown == []


def test_the_grant_of_one_opens_nothing_for_another(operator, lead, standing):
    opened(operator, lead, standing)

    response = content(lead, standing)

    assert response.status_code == 403
    assert SECRET not in response.content.decode()
    assert trail("content_read") == [
        ("content_read", "refused", f"execution:{standing.id}")
    ]


def test_a_grant_for_one_execution_opens_no_other(
    operator, lead, standing, alice_principal, mallory_principal
):
    opened(operator, lead, standing)

    for other in (told(alice_principal), told(mallory_principal)):
        assert content(operator, other).status_code == 403
    assert content(operator, standing, "thread").status_code == 403


def test_a_grant_for_an_organisation_opens_all_of_it_and_no_other(
    operator, lead, standing, alice_principal, mallory_principal
):
    opened(operator, lead, standing, reach="organisation")

    assert SECRET in content(operator, told(alice_principal)).content.decode()
    assert SECRET in content(operator, standing, "thread").content.decode()
    assert content(operator, told(mallory_principal)).status_code == 403


def test_it_ends_by_itself_and_by_hand(operator, lead, standing, monkeypatch):
    opened(operator, lead, standing)
    assert content(operator, standing).status_code == 200
    moment = timezone.now() + timedelta(minutes=30)
    with monkeypatch.context() as patch:
        patch.setattr(clock, "now", lambda: moment)
        assert content(operator, standing).status_code == 403
    assert content(operator, standing).status_code == 200

    decide(lead, "end")

    assert content(operator, standing).status_code == 403


def test_who_lost_the_role_reads_no_more(operator, lead, standing):
    opened(operator, lead, standing)
    User.objects.get(email="support_operator@netra.example").groups.clear()

    assert content(operator, standing).status_code == 403


def test_the_inspector_masks_and_leads_to_the_content(operator, lead, standing):
    page = reverse("admin:executions_execution_change", args=[standing.id])
    fragment = reverse("admin:executions_execution_live", args=[standing.id])

    for address in (page, fragment):
        html = operator.get(address).content.decode()
        assert SECRET not in html
        assert f"•••• ({len(SECRET)} chars)" in html
        assert "Ask to read it" in html
    ask(operator, standing)
    assert "Your request" in operator.get(page).content.decode()
    decide(lead, "approve")
    html = operator.get(page).content.decode()
    assert "Read what was said" in html
    assert "data-until" in html
    assert SECRET not in html
    assert "data-until" not in lead.get(page).content.decode()


def test_a_viewer_is_not_offered_to_ask(netra, standing):
    viewer = signed_in(staff("support_viewer", netra))
    page = reverse("admin:executions_execution_change", args=[standing.id])

    thread = reverse("admin:chat_thread_change", args=[standing.stream_id])

    for address in (page, thread):
        html = viewer.get(address).content.decode()
        assert "Your role may not ask to read it" in html
        assert "Ask to read it" not in html


def test_the_page_of_a_conversation_tells_of_the_request_and_the_grant(
    operator, lead, standing
):
    page = reverse("admin:chat_thread_change", args=[standing.stream_id])
    ask(operator, standing, "thread")
    assert "Your request" in operator.get(page).content.decode()
    decide(lead, "approve")

    html = operator.get(page).content.decode()

    assert "Read what was said" in html
    assert SECRET not in html
    assert "Read what was said" not in lead.get(page).content.decode()


def test_the_page_of_a_conversation_masks_its_title(operator, standing):
    html = operator.get(
        reverse("admin:chat_thread_change", args=[standing.stream_id])
    ).content.decode()

    assert f"•••• ({len(SECRET)} chars)" in html
    assert SECRET not in html
    assert "Ask to read it" in html


def test_who_has_a_grant_is_led_from_the_form_to_the_content(operator, lead, standing):
    opened(operator, lead, standing)

    response = operator.get(
        reverse("admin:support_ask", args=["execution", standing.id])
    )

    assert response["Location"] == reverse(
        "admin:support_execution_content", args=[standing.id]
    )


def test_what_hides_in_words_is_made_visible_and_markup_stays_text(
    operator, lead, standing
):
    with TESTS:
        Message.objects.filter(role="user").update(
            text="<img src=x onerror=alert(1)>\u202egnp\u200b\U000e0041 fine"
        )
    opened(operator, lead, standing, "thread")

    html = content(operator, standing, "thread").content.decode()

    assert "<img src=x" not in html
    assert "⟨U+202E⟩gnp⟨U+200B⟩⟨U+E0041⟩ fine" in html


def test_the_grants_own_page_lists_the_looks(operator, lead, standing):
    opened(operator, lead, standing)
    content(operator, standing)
    content(operator, standing)

    page = lead.get(reverse("admin:audits_accessgrant_change", args=[newest().pk]))

    assert len(page.context["read"].rows) == 2
    assert str(standing.id)[:8] in page.content.decode()
    assert "not all of it is listed" not in page.content.decode()


def test_what_was_read_is_never_told_as_nothing(operator, lead, standing, monkeypatch):
    monkeypatch.setattr(readings, "SHOWN", 1)
    opened(operator, lead, standing)
    row = newest()
    opened(operator, lead, standing, "thread")
    content(operator, standing)
    content(operator, standing, "thread")
    content(operator, standing, "thread")

    html = lead.get(
        reverse("admin:audits_accessgrant_change", args=[row.pk])
    ).content.decode()

    assert "not all of it is listed" in html
    assert ">Nothing" not in html


def test_the_reader_itself_refuses_what_the_grant_does_not_reach(
    operator, lead, standing, alice_principal
):
    opened(operator, lead, standing)
    other = told(alice_principal)
    with TESTS:
        own, foreign = factories.row(standing), factories.row(other)
    subject = contents.subject_of(own)
    user = User.objects.get(email="support_operator@netra.example")
    actor = Actor.staff(user.pk, user.email)
    scope = write_now(
        tenant(own.organisation_id),
        lambda: grants.begin_reading(actor=actor, subject=subject, fields=["x"]),
    )

    with scope:
        assert SECRET in contents.of_execution(own).title
        with pytest.raises(ContentClosedError):
            contents.of_execution(foreign)
        with pytest.raises(ContentClosedError):
            contents.of_thread(contents.subject_of(foreign), [])
    with staff_scope(user.pk), pytest.raises(ContentClosedError):
        contents.of_execution(own)


def test_a_receipt_does_not_repeat_what_people_typed(operator, alice_principal):
    refusal = Refusal(
        organisation_id=alice_principal.organisation_id,
        user_id=alice_principal.user_id,
        code="not_found",
        explanation=f"There is no agent '{SECRET}'.",
    )
    receipt = write_now(alice_principal.scope, lambda: receipts.record(refusal))

    for address in (
        "/admin/audits/receipt/",
        f"/admin/audits/receipt/{receipt}/change/",
    ):
        html = operator.get(address).content.decode()
        assert SECRET not in html
        assert f"There is no agent •••• ({len(SECRET)} chars)." in html
