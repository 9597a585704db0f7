"""The demo as a whole: seeded once, true to every rule, and never mixed up."""

from __future__ import annotations

import io
import json
import stat
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from apps.accounts import access
from apps.accounts.access import principal_for
from apps.accounts.models import Identity, IdentityProvider, Organisation, User
from apps.accounts.signin import provider as bundled
from apps.agents.catalogue import AGENTS
from apps.agents.models import Agent
from apps.chat.models import Message, Thread
from apps.core.tenancy import system, tenant
from apps.executions.models import (
    Event,
    Execution,
    Stream,
)
from apps.ops.demo import exhibits, passwords
from apps.ops.demo.cast import PEOPLE
from apps.ops.demo.seed import seed
from apps.usage.models import Record

TESTS = system("tests")


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("demo", *arguments, stdout=out)
    return out.getvalue()


def counts() -> dict[str, int]:
    with TESTS:
        return {m._meta.label: m._base_manager.count() for m in apps.get_models()}


# -- the command -----------------------------------------------------------------------


def test_a_second_seeding_changes_no_table_and_no_password(db, var: Path, short):
    first = run()
    before, file = counts(), (var / passwords.NAME).read_text()
    hashes = dict(User.objects.values_list("email", "password"))
    with TESTS:
        used = list(
            Identity.objects.order_by("sub").values_list("last_used_at", flat=True)
        )

    second = run()

    assert "was seeded" in first
    assert "nothing was added" in second
    assert counts() == before
    assert (var / passwords.NAME).read_text() == file
    assert dict(User.objects.values_list("email", "password")) == hashes
    with TESTS:
        assert used == list(
            Identity.objects.order_by("sub").values_list("last_used_at", flat=True)
        )


def test_two_installations_tell_the_same_story(db, var, short):
    now = timezone.now()

    def told() -> list[object]:
        with TESTS:
            executions = Execution.objects.exclude(runner=exhibits.WORK).order_by(
                "created_at", "agent"
            )
            usage = Record.objects.order_by("at", "feature", "latency_ms", "cost_usd")
            return [
                list(
                    executions.values_list(
                        "created_at",
                        "finished_at",
                        "state",
                        "agent",
                        "version",
                        "error_code",
                    )
                ),
                list(
                    Message.objects.order_by("created_at", "text").values_list(
                        "created_at", "role", "text"
                    )
                ),
                list(
                    usage.values_list(
                        "at", "feature", "model", "input_tokens", "cost_usd", "status"
                    )
                ),
            ]

    seed(now)
    first = told()
    with TESTS:
        for model in (Message, Event, Execution, Thread, Stream, Record):
            model.objects.all().delete()
    seed(now)

    assert told() == first


def test_it_is_refused_where_the_installation_is_public(db, var, settings):
    settings.PRODUCTION = True

    with pytest.raises(CommandError, match="setup_admin"):
        run()

    assert not User.objects.exists()
    assert not (var / passwords.NAME).exists()


def test_a_failure_is_told_in_a_sentence(db, var, short):
    run()
    User.objects.filter(email="lead@netra.example").update(is_active=False)

    with pytest.raises(CommandError, match="You are not a member"):
        run()


def test_a_database_without_tables_is_told_in_a_sentence(var, monkeypatch):
    def no_tables(now: datetime) -> None:
        raise OperationalError("no such table: accounts_organisation")

    monkeypatch.setattr("apps.ops.demo.seed.seed", no_tables)

    with pytest.raises(CommandError, match=r"no such table.*manage\.py migrate"):
        run()


def test_show_prints_each_login_and_where_to_use_it(db, var, short, settings):
    shown = run("--show")

    known = json.loads((var / passwords.NAME).read_text())
    assert f"{settings.NETRA_PUBLIC_URL}/accounts/login/" in shown
    for person in PEOPLE:
        assert f"{person.email}" in shown
        assert known[person.email] in shown
    assert known[PEOPLE[0].email] not in run()
    assert run("--show").splitlines()[1:] == shown.splitlines()[2:]


def test_a_seeding_on_the_next_day_adds_that_days_usage_and_nothing_else(demo):
    before = counts()

    made = seed(timezone.now() + timedelta(days=1))

    assert made.records > 0
    assert made.executions == made.people == made.exhibits == 0
    after = counts()
    assert {name for name in after if after[name] != before[name]} == {"usage.Record"}


# -- people ----------------------------------------------------------------------------


def test_the_passwords_are_kept_for_their_owner_only(demo, var: Path):
    mode = (var / passwords.NAME).stat().st_mode
    known = json.loads((var / passwords.NAME).read_text())

    assert stat.S_IMODE(mode) == 0o600
    assert known.keys() == {person.email for person in PEOPLE}
    assert len(set(known.values())) == len(PEOPLE)
    assert min(len(password) for password in known.values()) >= 16


@pytest.mark.parametrize("person", PEOPLE, ids=lambda person: person.email)
def test_everybody_can_log_in_with_the_password_that_is_shown(demo, person):
    client = Client()

    answer = client.post(
        "/accounts/login/",
        {"login": person.email, "password": passwords.kept()[person.email]},
    )

    assert answer.status_code == 302, answer.content[:2000]
    user = User.objects.get(email=person.email)
    assert client.session["_auth_user_id"] == str(user.pk)
    assert (user.is_staff, user.is_superuser) == (person.is_staff, person.is_superuser)
    address = EmailAddress.objects.get(user=user)
    assert (address.email, address.verified, address.primary) == (
        person.email,
        True,
        True,
    )
    assert principal_for(user.pk).organisation_slug == person.company


def test_a_password_that_was_not_made_here_is_refused(demo):
    client = Client()

    client.post(
        "/accounts/login/",
        {"login": PEOPLE[0].email, "password": "wrong horse battery"},
    )

    assert "_auth_user_id" not in client.session


def test_every_member_is_linked_to_their_companys_provider_and_staff_to_none(
    demo, settings
):
    with TESTS:
        identities = {
            row.sub: row for row in Identity.objects.select_related("provider", "user")
        }
        providers = list(IdentityProvider.objects.all())

    assert identities.keys() == bundled.PEOPLE.keys()
    assert len({provider.client_id for provider in providers}) == len(providers) == 2
    assert len({provider.secret for provider in providers}) == 2
    for sub, identity in identities.items():
        account = SocialAccount.objects.get(
            provider=identity.provider.provider_id, uid=sub
        )
        assert account.user_id == identity.user_id
        assert identity.user.email == sub
        assert identity.user.name == bundled.PEOPLE[sub]
        assert sub.partition("@")[2] in access.proved_domains(identity.organisation_id)
        assert identity.provider.issuer == settings.NETRA_OIDC_URL
        assert identity.organisation_id == identity.provider.organisation_id


def test_every_organisation_has_every_agent(demo):
    for organisation in Organisation.objects.all():
        with tenant(organisation.pk):
            assert set(Agent.objects.values_list("name", flat=True)) == set(AGENTS)
