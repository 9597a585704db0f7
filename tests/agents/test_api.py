"""The agents that the API offers."""

from __future__ import annotations

from apps.agents.models import Agent
from apps.core.flags import Switch
from tests.doors import API, api_client
from tests.factories import TESTS
from tests.switches import off


def names(client) -> list[str]:
    return [agent["name"] for agent in client.get(f"{API}agents/").json()["results"]]


def test_the_analyst_comes_first_and_is_the_one_who_answers_by_default(alice_principal):
    page = api_client(alice_principal).get(f"{API}agents/").json()

    assert (page["next"], page["previous"]) == (None, None)
    assert [a["name"] for a in page["results"] if a["default"]] == ["analyst"]
    assert page["results"][0]["kind"] == "analyst"


def test_a_disabled_agent_is_not_offered_in_that_organisation(
    alice_principal, mallory_principal, acme
):
    with TESTS:
        Agent.objects.create(
            organisation=acme, name="analyst", title="A", enabled=False
        )

    assert "analyst" not in names(api_client(alice_principal))
    assert "analyst" in names(api_client(mallory_principal))


def test_outside_the_demo_diagnostic_agents_are_for_staff(
    alice_principal, support_principal, settings
):
    settings.NETRA_DEMO = False

    assert names(api_client(alice_principal)) == ["analyst"]
    assert "golden-turn" in names(api_client(support_principal))


def test_each_agent_says_what_becomes_of_a_message_while_it_answers(
    alice_principal, mallory_principal, acme
):
    with TESTS:
        Agent.objects.create(
            organisation=acme, name="analyst", title="A", while_busy="interrupt"
        )

    def policies(who) -> dict[str, str]:
        page = api_client(who).get(f"{API}agents/").json()
        return {agent["name"]: agent["while_busy"] for agent in page["results"]}

    assert policies(alice_principal)["analyst"] == "interrupt"
    assert policies(alice_principal)["golden-turn"] == "queue"
    assert policies(mallory_principal)["analyst"] == "queue"
    with off(Switch.INTERRUPT):
        assert policies(alice_principal)["analyst"] == "queue"
