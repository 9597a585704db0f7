"""Every list and page of the admin: opens, stays cheap, and shows no content."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.audits.models import Receipt
from apps.chat.models import Thread
from apps.executions.models import Execution
from apps.executions.states import ExecutionState
from apps.issues import sweeper
from apps.issues.models import Issue
from tests.factories import TESTS, organisation, person, principal
from tests.staff import SECRET, staff, told

LISTS = {
    "executions_execution",
    "chat_thread",
    "agents_agent",
    "usage_record",
    "issues_issue",
    "audits_receipt",
}
# Session, user, two for permissions, the count, the rows, and what the filters offer.
BOUND = 12


@pytest.fixture
def viewer(client, netra):
    client.force_login(staff("support_viewer", netra))
    return client


@pytest.fixture
def two_conversations(alice_principal, mallory_principal):
    made = [told(alice_principal), told(mallory_principal, ExecutionState.TIMEOUT)]
    sweeper.sweep()
    return made


def test_these_lists_exist():
    names = {
        f"{model._meta.app_label}_{model._meta.model_name}"
        for model in admin.site._registry
    }

    assert names >= LISTS


@pytest.mark.parametrize("name", sorted(LISTS))
def test_no_list_offers_to_add_or_delete(client, netra, name):
    client.force_login(staff("platform_admin", netra))

    assert client.get(reverse(f"admin:{name}_add")).status_code == 403
    response = client.get(reverse(f"admin:{name}_changelist"))
    assert b"delete_selected" not in response.content


@pytest.mark.performance
@pytest.mark.parametrize("name", sorted(LISTS))
def test_a_list_asks_the_database_as_often_for_many_rows_as_for_few(
    viewer, two_conversations, alice_principal, mallory_principal, name
):
    url = reverse(f"admin:{name}_changelist")
    viewer.get(url)
    with CaptureQueriesContext(
        connection,
    ) as few:
        assert viewer.get(url).status_code == 200
    for who in (alice_principal, mallory_principal) * 3:
        told(who)
    sweeper.sweep()

    with CaptureQueriesContext(connection) as many:
        response = viewer.get(url)

    assert response.status_code == 200
    assert len(many) == len(few) <= BOUND


@pytest.mark.security
def test_lists_show_rows_of_both_organisations(viewer, two_conversations):
    for name in (
        "executions_execution",
        "chat_thread",
        "issues_issue",
        "audits_receipt",
    ):
        page = viewer.get(reverse(f"admin:{name}_changelist")).content.decode()
        assert "Acme" in page, name
        assert "Globex" in page, name


@pytest.mark.security
def test_no_page_shows_what_was_said(client, netra, two_conversations, alice_principal):
    alive = told(alice_principal, None)
    client.force_login(staff("platform_admin", netra))

    seen = {url: client.get(url) for url in _pages(alive)}

    assert {
        url for url, response in seen.items() if response.status_code != 200
    } == set()
    leaking = {url for url, response in seen.items() if _leaks(response)}
    assert leaking == set()
    assert len(seen) > 20


@pytest.mark.security
def test_the_search_for_leaks_would_find_one(client, alice_principal, alice):
    standing = told(alice_principal)
    client.force_login(alice)

    response = client.get(f"/chat/{standing.stream_id}/")

    assert _leaks(response)


@pytest.mark.security
def test_searching_for_words_finds_no_conversation(viewer, two_conversations):
    for name in ("executions_execution", "chat_thread", "audits_receipt"):
        response = viewer.get(reverse(f"admin:{name}_changelist"), {"q": "zebra"})
        assert response.context["cl"].result_count == 0, name


def test_a_whole_id_finds_its_row(viewer, two_conversations):
    standing = two_conversations[0]
    url = reverse("admin:executions_execution_changelist")

    for wanted in (standing.id, standing.stream_id):
        found = viewer.get(url, {"q": f" {wanted} "}).context["cl"].result_list
        assert [row.pk for row in found] == [standing.id]


@pytest.mark.security
def test_organisations_for_audits_are_in_no_list(viewer, two_conversations):
    canary = organisation("canary-a", kind="canary")
    ghost = person("ghost@canary.example", canary)
    canary.kind = "customer"
    canary.save(update_fields=["kind"])
    told(principal(ghost, canary))
    canary.kind = "canary"
    canary.save(update_fields=["kind"])

    for name in ("executions_execution", "chat_thread", "audits_receipt"):
        page = viewer.get(reverse(f"admin:{name}_changelist")).content.decode()
        assert "Canary-a" not in page, name
        assert "ghost@" not in page, name


def test_the_filter_by_organisation_shows_its_rows_only(viewer, two_conversations):
    for name in (
        "executions_execution",
        "chat_thread",
        "issues_issue",
        "audits_receipt",
    ):
        url = reverse(f"admin:{name}_changelist")
        rows = viewer.get(url, {"organisation": "acme"}).context["cl"].result_list
        with TESTS:
            assert {str(row.organisation_id) for row in rows} == {
                str(two_conversations[0].organisation_id)
            }, name


def _leaks(response) -> bool:
    page = response.content.decode()
    return any(word in page for word in (SECRET, "zebra", "mandolin", "xylophone"))


def _pages(alive) -> list[str]:
    names = [
        f"{model._meta.app_label}_{model._meta.model_name}"
        for model in admin.site._registry
    ]
    pages = [reverse("admin:index"), *(reverse(f"admin:{n}_changelist") for n in names)]
    with TESTS:
        rows = [
            *(
                (model, pk)
                for model in (Execution, Thread, Issue, Receipt)
                for pk in model.objects.values_list("pk", flat=True)
            ),
        ]
    for model, pk in rows:
        label = f"{model._meta.app_label}_{model._meta.model_name}"
        pages += [
            reverse(f"admin:{label}_{page}", args=[pk])
            for page in ("change", "history")
        ]
        if model is Execution:
            pages.append(reverse("admin:executions_execution_live", args=[pk]))
    return pages
