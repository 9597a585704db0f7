"""Conversations in the admin: how many messages, how long, and not a word of them."""

from __future__ import annotations

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from tests.staff import SECRET, staff, told

LIST = reverse("admin:chat_thread_changelist")


@pytest.fixture
def viewer(client, netra):
    client.force_login(staff("support_viewer", netra))
    return client


def test_a_conversation_is_counted_and_measured(viewer, alice_principal):
    standing = told(alice_principal, None)

    (row,) = viewer.get(LIST).context["cl"].result_list

    assert row.pk == standing.stream_id
    assert row.measure.messages == 2
    assert row.measure.characters == 2 * len(SECRET)
    assert row.measure.title == len(SECRET)


@pytest.mark.security
def test_titles_and_texts_do_not_even_leave_the_database(viewer, alice_principal):
    standing = told(alice_principal)

    for url in (LIST, reverse("admin:chat_thread_change", args=[standing.stream_id])):
        with CaptureQueriesContext(connection) as asked:
            assert viewer.get(url).status_code == 200
        for query in asked.captured_queries:
            assert not re.search(r'(?<!LENGTH\()"chat_message"."text"', query["sql"])
            assert not re.search(r'(?<!LENGTH\()"chat_thread"."title"', query["sql"])


def test_a_conversation_leads_to_its_executions(viewer, alice_principal):
    standing = told(alice_principal)

    url = reverse("admin:chat_thread_change", args=[standing.stream_id])
    html = viewer.get(url).content.decode()

    assert f"/admin/executions/execution/?q={standing.stream_id}" in html
    assert f"{len(SECRET)}</td>" in html
    assert 'name="_save"' not in html


@pytest.mark.security
def test_messages_have_no_pages_of_their_own(viewer, alice_principal):
    told(alice_principal)

    for path in ("chat/message/", "executions/content/", "executions/event/"):
        assert viewer.get(f"/admin/{path}").status_code == 404


@pytest.mark.performance
def test_counting_conversations_does_not_measure_their_messages(
    viewer, alice_principal
):
    told(alice_principal)

    with CaptureQueriesContext(connection) as asked:
        viewer.get(LIST)

    (counting,) = [
        q["sql"] for q in asked.captured_queries if "COUNT(*) FROM (" in q["sql"]
    ]
    assert "chat_message" not in counting
