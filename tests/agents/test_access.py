"""Who may use which agent, and what an organisation set for it."""

from __future__ import annotations

import pytest

from apps.agents import access
from apps.agents.catalogue import AGENTS, DEFAULT
from apps.agents.models import Agent
from apps.core.errors import NotFoundError
from apps.core.tenancy import NoScopeError
from tests.factories import TESTS

DIAGNOSTIC = set(AGENTS) - {DEFAULT}


@pytest.fixture(autouse=True)
def nothing_remembered():
    access._remembered.clear()


def own(who, name: str, **values: object) -> None:
    with TESTS:
        Agent.objects.create(
            organisation_id=who.organisation_id, name=name, title=name, **values
        )


def test_without_a_name_it_is_the_default(alice_principal):
    with alice_principal.scope:
        assert access.agent_for(None, is_staff=False).name == DEFAULT


@pytest.mark.parametrize("name", ["nobody", "golden", "\ud800", "x" * 10_000])
def test_an_unknown_name_is_refused_in_a_sentence_that_can_be_sent(
    alice_principal, name: str
):
    with alice_principal.scope, pytest.raises(NotFoundError) as refusal:
        access.agent_for(name, is_staff=True)

    assert refusal.value.field == "agent"
    assert len(refusal.value.message.encode()) < 500


@pytest.mark.security
@pytest.mark.parametrize("name", sorted(DIAGNOSTIC))
def test_diagnostic_agents_are_hidden_from_people_outside_the_demo(
    alice_principal, settings, name: str
):
    settings.NETRA_DEMO = False

    with alice_principal.scope:
        with pytest.raises(NotFoundError) as refusal:
            access.agent_for(name, is_staff=False)
        shown = {p.name for p in access.agents_for(is_staff=False)}
        staff = {p.name for p in access.agents_for(is_staff=True)}
        assert access.agent_for(name, is_staff=True).name == name

    assert name not in refusal.value.fix
    assert shown == {DEFAULT}
    assert staff == set(AGENTS)


def test_the_analyst_is_listed_first(alice_principal):
    with alice_principal.scope:
        assert access.agents_for(is_staff=False)[0].name == DEFAULT


@pytest.mark.security
def test_what_one_organisation_set_is_not_anothers(alice_principal, mallory_principal):
    own(alice_principal, DEFAULT, model="openai:gpt-5", enabled=True)
    own(mallory_principal, "golden-turn", enabled=False)

    with alice_principal.scope:
        assert access.agent_for(None, is_staff=False).model == "openai:gpt-5"
        assert access.agent_for("golden-turn", is_staff=False)
    with mallory_principal.scope:
        assert access.agent_for(None, is_staff=False).model == ""
        with pytest.raises(NotFoundError):
            access.agent_for("golden-turn", is_staff=False)
        assert "golden-turn" not in {p.name for p in access.agents_for(is_staff=True)}


def test_a_change_is_seen_after_a_few_seconds(alice_principal, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(access.time, "monotonic", lambda: now[0])
    with alice_principal.scope:
        assert access.agent_for(None, is_staff=False).model == ""
        own(alice_principal, DEFAULT, model="m")
        assert access.agent_for(None, is_staff=False).model == ""
        now[0] += access.REMEMBER_SECONDS + 0.1
        assert access.agent_for(None, is_staff=False).model == "m"


def test_what_is_remembered_is_bounded(alice_principal, monkeypatch):
    monkeypatch.setattr(access, "REMEMBER_LIMIT", 2)
    with alice_principal.scope:
        for name in sorted(AGENTS):
            access.agent_for(name, is_staff=True)

    assert len(access._remembered) <= 2


@pytest.mark.security
def test_no_agent_is_found_outside_a_scope(db):
    with pytest.raises(NoScopeError):
        access.agent_for(None, is_staff=True)
