"""The admin of agents: platform admins set what becomes of a message meanwhile, and nothing else."""

from __future__ import annotations

import pytest
from django.urls import reverse

from apps.agents import actions
from apps.agents.models import Agent
from apps.core.errors import InvalidInputError
from tests.factories import TESTER, TESTS
from tests.staff import staff

pytestmark = pytest.mark.security


@pytest.fixture
def agent(acme) -> Agent:
    with TESTS:
        made: Agent = Agent.objects.create(
            organisation=acme, name="analyst", title="Analyst"
        )
    return made


def present(agent: Agent) -> Agent:
    with TESTS:
        found: Agent = Agent.objects.get(pk=agent.pk)
    return found


def page_of(agent: Agent) -> str:
    return reverse("admin:agents_agent_change", args=[agent.pk])


def test_a_platform_admin_changes_the_policy_and_nothing_else(client, netra, agent):
    client.force_login(staff("platform_admin", netra))
    given = {"while_busy": "interrupt", "title": "Hacked", "model": "x:y"}

    response = client.post(page_of(agent), given)

    row = present(agent)
    assert response.status_code == 302
    assert (row.while_busy, row.title, row.model) == ("interrupt", "Analyst", "")


@pytest.mark.parametrize("role", ["support_viewer", "support_operator"])
def test_other_staff_read_it(client, netra, agent, role):
    client.force_login(staff(role, netra))

    page = client.get(page_of(agent))
    refused = client.post(page_of(agent), {"while_busy": "reject"})

    assert (page.status_code, refused.status_code) == (200, 403)
    assert "queue" in page.content.decode()
    assert present(agent).while_busy == "queue"


def test_an_unknown_policy_is_refused_by_name(agent):
    with TESTS, pytest.raises(InvalidInputError, match="'shout'") as refusal:
        actions.set_while_busy(actor=TESTER, agent=agent, policy="shout")

    assert refusal.value.field == "while_busy"
    assert present(agent).while_busy == "queue"
