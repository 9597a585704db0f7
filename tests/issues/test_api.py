"""Issues over HTTP: structure of every organisation, for staff whose role sees it."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group

from apps.accounts.models import User
from apps.core.database import write_now
from apps.executions.states import ExecutionState
from apps.issues import actions
from apps.issues.actions import Failure
from apps.ops.actions import ensure_groups
from tests import factories
from tests.doors import API, api_client, problem_of, shape_of
from tests.factories import TESTS

pytestmark = pytest.mark.integration
ISSUES = f"{API}issues/"


@pytest.fixture
def staff_api(support: User, support_principal):
    ensure_groups()
    support.groups.add(Group.objects.get(name="support_viewer"))
    return api_client(support_principal)


@pytest.fixture
def issue(alice_principal):
    failed = factories.ended(alice_principal, ExecutionState.FAILED, text="a secret")
    return write_now(TESTS, lambda: actions.record(Failure.of(factories.row(failed))))


def test_staff_see_issues_of_all_organisations(staff_api, issue):
    page = staff_api.get(ISSUES).json()

    assert [row["number"] for row in page["results"]] == [issue.number]
    assert page["results"][0]["organisation"] == "acme"
    assert staff_api.get(f"{ISSUES}?status=closed").json()["results"] == []


def test_an_issue_names_its_executions_and_says_nothing_of_what_was_said(
    staff_api, issue
):
    response = staff_api.get(f"{ISSUES}{issue.number}/")

    assert len(response.json()["evidence"]) == 1
    assert "secret" not in response.content.decode()


@pytest.mark.parametrize("number", ["999999", "9" * 30])
def test_an_absent_issue_is_not_found(staff_api, issue, number):
    assert problem_of(staff_api.get(f"{ISSUES}{number}/"))["code"] == "not_found"


def test_a_status_that_is_none_is_refused(staff_api):
    problem = problem_of(staff_api.get(f"{ISSUES}?status=x"))

    assert (problem["status"], problem["errors"][0]["field"]) == (422, "status")


@pytest.mark.security
@pytest.mark.parametrize("who", ["alice", "mallory", "support"])
def test_everybody_else_is_refused_alike(request, issue, who):
    """Support has no role here: being staff alone opens nothing."""
    client = api_client(request.getfixturevalue(f"{who}_principal"))

    known, absent = client.get(f"{ISSUES}{issue.number}/"), client.get(f"{ISSUES}999/")

    assert client.get(ISSUES).status_code == 403
    assert known.status_code == 403
    assert shape_of(known) == shape_of(absent)
