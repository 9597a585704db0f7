"""The pages of issues."""

from __future__ import annotations

import pytest
from django.urls import reverse

from apps.issues import sweeper
from apps.issues.models import Issue
from tests import factories
from tests.staff import staff, told

LIST = reverse("admin:issues_issue_changelist")


@pytest.fixture
def viewer(client, netra):
    client.force_login(staff("support_viewer", netra))
    return client


@pytest.fixture
def two_issues(alice_principal, mallory_principal):
    standings = [told(alice_principal), told(mallory_principal)]
    sweeper.sweep()
    return standings


def numbers(client, **query: str) -> list[int]:
    return [row.number for row in client.get(LIST, query).context["cl"].result_list]


def test_an_issue_leads_to_the_executions_that_show_it(viewer, two_issues):
    with factories.TESTS:
        issue = Issue.objects.get(evidence__execution_id=two_issues[0].id)

    page = viewer.get(reverse("admin:issues_issue_change", args=[issue.pk]))

    html = page.content.decode()
    assert page.status_code == 200
    assert reverse("admin:executions_execution_change", args=[two_issues[0].id]) in html
    assert str(two_issues[1].id) not in html
    assert issue.fingerprint in html
    assert 'name="_save"' not in html


@pytest.mark.parametrize(
    ("words", "found"), [("1", [1]), ("#2", [2]), ("3", []), ("zebra", []), ("٣", [])]
)
def test_an_issue_is_found_by_its_number(viewer, two_issues, words, found):
    assert numbers(viewer, q=words) == found


def test_issues_are_filtered_by_status(viewer, two_issues):
    with factories.TESTS:
        Issue.objects.filter(number=1).update(status=Issue.Status.CLOSED)

    assert numbers(viewer, status__exact="open") == [2]


def test_an_unknown_issue_is_no_error(viewer, two_issues):
    response = viewer.get(reverse("admin:issues_issue_change", args=["nonsense"]))

    assert response.status_code in {302, 404}


@pytest.mark.security
def test_posting_to_an_issue_changes_nothing(viewer, two_issues):
    with factories.TESTS:
        issue = Issue.objects.get(number=1)

    url = reverse("admin:issues_issue_change", args=[issue.pk])
    response = viewer.post(url, {"status": "closed", "title": "Mine"})

    assert response.status_code == 403
    with factories.TESTS:
        assert Issue.objects.get(number=1).title == issue.title
