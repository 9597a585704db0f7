"""The staff's pages of support access: who may ask, answer, end and review, and what they see."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from apps.accounts.sessions import stepup
from apps.audits.models import AccessGrant
from apps.core import clock
from tests.factories import TESTS
from tests.ops.support import ASKED, WHY, ask, content, decide, newest, signed_in, trail
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


def grants() -> int:
    with TESTS:
        return AccessGrant.objects.count()


@pytest.mark.parametrize(
    ("role", "may"),
    [
        ("support_viewer", False),
        ("security_auditor", False),
        ("support_operator", True),
        ("support_lead", True),
        ("platform_admin", True),
    ],
)
def test_who_may_ask(netra, standing, role, may):
    client = signed_in(staff(role, netra))

    response = ask(client, standing)

    assert response.status_code == (302 if may else 403)
    assert grants() == int(may)


@pytest.mark.parametrize(
    ("role", "may"),
    [
        ("support_viewer", False),
        ("security_auditor", False),
        ("support_operator", False),
        ("support_lead", True),
        ("platform_admin", True),
    ],
)
def test_who_may_approve(operator, netra, standing, role, may):
    ask(operator, standing)
    second = signed_in(staff(role, netra, "second@netra.example"))

    decide(second, "approve")

    assert (newest().approved_at is not None) is may


def test_a_superuser_reads_nothing_without_a_grant_and_approves_none_of_their_own(
    netra, standing
):
    root = staff("platform_admin", netra)
    root.is_superuser = True
    root.save()
    client = signed_in(root)

    refused = content(client, standing)
    ask(client, standing)
    decide(client, "approve")

    assert refused.status_code == 403
    assert SECRET not in refused.content.decode()
    assert newest().approved_at is None
    assert trail() == [
        ("content_read", "refused", f"execution:{standing.id}"),
        ("grant_requested", "done", f"grant:{newest().pk}"),
        ("grant_approved", "refused", f"grant:{newest().pk}"),
    ]


def test_the_form_offers_what_the_record_is_part_of(operator, standing):
    for kind, record, reaches in (
        ("execution", standing.id, 3),
        ("thread", standing.stream_id, 2),
    ):
        address = reverse("admin:support_ask", args=[kind, record])
        html = operator.get(address).content.decode()
        assert html.count('type="radio"') == reaches
        assert "A second person of support has to agree" in html


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("explanation", "because"),
        ("ticket", ""),
        ("minutes", "241"),
        ("reach", "planet"),
        ("reason", "curiosity"),
    ],
)
def test_a_wish_that_is_not_explained_is_not_stored(operator, standing, field, value):
    response = ask(operator, standing, **{field: value})

    assert response.status_code == 200
    assert field in response.context["form"].errors
    assert grants() == 0


def test_the_reach_is_that_of_the_record_asked_from(operator, standing):
    for reach, record in (
        ("execution", standing.id),
        ("thread", standing.stream_id),
        ("organisation", None),
    ):
        address = reverse("admin:support_ask", args=["execution", standing.id])
        operator.post(address, ASKED | {"reach": reach})
        assert (newest().reach, newest().reach_id) == (reach, record)
        assert newest().organisation_id == standing.organisation_id


def test_where_the_customer_consents_the_lead_cannot(operator, lead, standing, acme):
    acme.grants_need_consent = True
    acme.save()
    ask(operator, standing)

    html = decide(lead, "approve").content.decode()

    assert "An owner of the organisation decides" in html
    assert newest().consent == "customer"
    assert newest().approved_at is None


def test_an_answer_that_became_an_owners_is_not_offered_to_the_lead(
    operator, lead, standing, acme
):
    ask(operator, standing)
    address = reverse("admin:audits_accessgrant_change", args=[newest().pk])
    assert b"Approve for" in lead.get(address).content
    acme.grants_need_consent = True
    acme.save()

    html = lead.get(address).content.decode()

    assert "Approve for" not in html
    assert "It waits for an owner of the organisation" in html


def test_a_review_may_hold_any_sign(operator, lead, standing):
    ask(operator, standing)
    decide(lead, "approve")
    decide(operator, "end")

    response = decide(lead, "review", note="It fits\x00 the ticket.\u202e")

    assert response.status_code == 200
    assert newest().review == "It fits the ticket."


def test_the_page_of_a_grant_offers_what_each_may_do(operator, lead, standing):
    ask(operator, standing)
    address = reverse("admin:audits_accessgrant_change", args=[newest().pk])

    assert b">Withdraw<" in operator.get(address).content
    assert b"Approve for" not in operator.get(address).content
    assert b"Approve for 30 minutes" in lead.get(address).content
    decide(lead, "approve")
    assert b"Read what was said" in operator.get(address).content
    assert b"Read what was said" not in lead.get(address).content
    assert b"End it now" in lead.get(address).content


def test_what_is_over_waits_for_another_persons_review(operator, lead, standing):
    ask(operator, standing)
    decide(lead, "approve")
    decide(operator, "end")

    decide(lead, "review", note="It fits the ticket.")

    assert newest().review == "It fits the ticket."
    assert [act for act, _, _ in trail()] == [
        "grant_requested",
        "grant_approved",
        "grant_ended",
        "grant_reviewed",
    ]


def test_an_operator_reviews_nothing(operator, lead, standing, netra):
    ask(operator, standing)
    decide(lead, "approve")
    decide(lead, "end")
    other = signed_in(staff("support_operator", netra, "other@netra.example"))

    assert decide(other, "review", note="All is well.").status_code == 403
    assert newest().reviewed_at is None


def test_the_overview_tells_what_waits_and_alarms_after_a_week(
    operator, lead, standing, monkeypatch
):
    ask(operator, standing)
    assert b"Grants to answer" in lead.get("/admin/").content
    assert b"Grants to answer" not in operator.get("/admin/").content
    decide(lead, "approve")
    decide(operator, "end")

    figures = {f.label: f.number for f in lead.get("/admin/").context["figures"]}
    assert figures["Grants to review"] == 1
    assert lead.get("/admin/").context["overdue"] == 0
    moment = timezone.now() + timedelta(days=7, seconds=1)
    monkeypatch.setattr(clock, "now", lambda: moment)

    page = operator.get("/admin/")
    assert page.context["overdue"] == 1
    assert b"nobody has reviewed it" in page.content


@pytest.mark.parametrize("stand", ["asked", "open", "review", "overdue", "", "other"])
def test_the_list_is_filtered_by_what_is_to_be_done(operator, lead, standing, stand):
    ask(operator, standing)
    wanted = {"asked": 1, "": 1, "other": 1}

    response = lead.get(f"/admin/audits/accessgrant/?stand={stand}")

    assert response.status_code == 200
    shown = len(response.context["cl"].result_list)
    assert shown == wanted.get(stand, 0)


def test_who_did_not_prove_who_they_are_is_asked_first(
    operator, lead, standing, monkeypatch
):
    ask(operator, standing)
    row = newest()
    monkeypatch.setattr(stepup, "stepped_up", lambda *_: False)

    answers = [
        operator.get(reverse("admin:support_ask", args=["execution", standing.id])),
        ask(operator, standing),
        content(operator, standing),
        lead.post(reverse("admin:support_decide", args=[row.pk, "approve"])),
    ]

    assert [answer.status_code for answer in answers] == [302] * 4
    assert all("/accounts/" in answer["Location"] for answer in answers)
    assert newest().approved_at is None
    assert grants() == 1


def test_words_of_support_are_shown_as_words(operator, lead, standing):
    evil = f"<script>alert(1)</script> {WHY}"
    ask(operator, standing, explanation=evil, ticket="<b>1</b>")

    html = lead.get(
        reverse("admin:audits_accessgrant_change", args=[newest().pk])
    ).content.decode()

    assert "<script>alert" not in html
    assert "<b>1</b>" not in html
    assert "&lt;script&gt;" in html


@pytest.mark.parametrize("verb", ["open", "delete"])
def test_there_are_no_other_acts(lead, operator, standing, verb):
    ask(operator, standing)

    assert decide(lead, verb).status_code == 404


@pytest.mark.parametrize("kind", ["execution", "thread", "user"])
def test_what_is_not_there_cannot_be_asked_for(operator, kind):
    address = f"/admin/support/ask/{kind}/00000000-0000-4000-8000-000000000001/"

    assert operator.get(address).status_code == 404
