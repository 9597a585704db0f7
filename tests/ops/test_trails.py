"""The trail for people: an owner's download, and the pages of the admin."""

from __future__ import annotations

import json

import pytest
from asgiref.sync import sync_to_async
from django.test import AsyncClient
from django.urls import reverse

from apps.accounts.sessions import stepup
from apps.audits import trail
from apps.audits.acts import Act, Outcome
from apps.audits.models import Checkpoint, Entry
from apps.core.actors import Actor
from apps.core.database import write_now
from apps.core.tenancy import tenant
from tests import factories
from tests.audits import chains
from tests.factories import TESTER, TESTS
from tests.ops.support import signed_in
from tests.staff import staff

pytestmark = [pytest.mark.django_db, pytest.mark.security]
ADDRESS = "/trust/trail.ndjson"
LIST = reverse("admin:audits_entry_changelist")


@pytest.fixture(autouse=True)
def place(settings, tmp_path, monkeypatch):
    settings.NETRA_VAR = tmp_path
    monkeypatch.setattr(stepup, "stepped_up", lambda *_: True)


@pytest.mark.parametrize("role", ["admin", "member", "viewer"])
def test_only_owners_download_the_trail(acme, role) -> None:
    client = signed_in(factories.person("carol@acme.example", acme, role=role))

    assert client.get(ADDRESS).status_code == 404
    with TESTS:
        assert not Entry.objects.filter(act=Act.EXPORTED).exists()


@pytest.mark.parametrize(("role", "offered"), [("owner", True), ("admin", False)])
def test_the_page_offers_the_download_to_whoever_may_take_it(
    acme, role, offered
) -> None:
    client = signed_in(factories.person("carol@acme.example", acme, role=role))

    assert (ADDRESS in client.get("/trust/").content.decode()) is offered


def test_asking_for_the_head_alone_is_no_export(alice, acme) -> None:
    assert signed_in(alice).head(ADDRESS).status_code == 405

    with TESTS:
        assert not Entry.objects.filter(act="exported").exists()


def test_a_stranger_signs_in_first(client, db) -> None:
    assert client.get(ADDRESS)["Location"].startswith("/accounts/login/")


def test_an_owner_proves_who_they_are_first(alice, monkeypatch) -> None:
    monkeypatch.setattr(stepup, "stepped_up", lambda *_: False)

    answer = signed_in(alice).get(ADDRESS)

    assert answer.status_code == 302
    with TESTS:
        assert not Entry.objects.filter(act=Act.EXPORTED).exists()


@pytest.mark.parametrize("query", ["?since=yesterday", "?until=1", "?since=2999-01-01"])
def test_a_period_that_is_none_is_refused_in_words(alice, query) -> None:
    answer = signed_in(alice).get(ADDRESS + query)

    assert answer.status_code in {404, 422}


@pytest.mark.live
async def test_an_owner_gets_the_own_trail_and_nothing_else(
    committed, acme, globex, alice
) -> None:
    await sync_to_async(chains.grow)(acme.pk, 3)
    await sync_to_async(chains.grow)(globex.pk, 3, said="globex only")
    client = AsyncClient()
    await client.aforce_login(alice)

    answer = await client.get(ADDRESS)

    text = b"".join([chunk async for chunk in answer.streaming_content]).decode()
    lines = [json.loads(line) for line in text.splitlines()]
    assert answer["Content-Type"] == "application/x-ndjson"
    assert "attachment" in answer["Content-Disposition"]
    assert (lines[0]["chain"], lines[-1]["kind"]) == (str(acme.pk), "end")
    last = json.loads([line for line in lines if line["kind"] == "entry"][-1]["body"])
    assert (last["act"], last["actor"]) == ("exported", alice.email)
    assert last["door"] == "http"
    assert "globex only" not in text


# -- the admin -------------------------------------------------------------------------


@pytest.fixture
def auditor(netra):
    return signed_in(staff("security_auditor", netra))


def told(act: Act, place, **values):
    write_now(
        tenant(place),
        lambda: trail.record(act, actor=TESTER, organisation_id=place, **values),
    )


def entry(act: Act = Act.TOKEN_CREATED) -> Entry:
    with TESTS:
        return Entry.objects.get(act=act)


def test_auditors_see_every_chain_and_support_none(auditor, netra, acme) -> None:
    told(Act.TOKEN_CREATED, acme.pk)
    told(Act.KEYS_ROTATED, trail.PLATFORM)

    page = auditor.get(LIST).content.decode()
    assert "Token created" in page
    assert "The platform" in page
    assert signed_in(staff("support_viewer", netra)).get(LIST).status_code == 403


def test_sensitive_reads_and_refusals_are_marked(auditor, acme) -> None:
    told(Act.CONTENT_READ, acme.pk)
    told(Act.ROLE_CHANGED, acme.pk, outcome=Outcome.REFUSED)

    page = auditor.get(LIST).content.decode()
    assert "sensitive read" in page
    assert "refused" in page


def test_the_list_is_narrowed_to_a_place_and_an_act(auditor, acme, globex) -> None:
    told(Act.TOKEN_CREATED, acme.pk)
    told(Act.TOKEN_REVOKED, globex.pk)
    told(Act.KEYS_ROTATED, trail.PLATFORM)

    def rows(query: str) -> list[str]:
        found = auditor.get(f"{LIST}?{query}").context["cl"].result_list
        return [row.act for row in found]

    assert rows("organisation=acme") == ["token_created"]
    assert rows("organisation=-") == ["keys_rotated"]
    assert rows("act=token_revoked") == ["token_revoked"]


def test_the_list_costs_the_same_however_long_it_is(
    auditor, acme, django_assert_max_num_queries
) -> None:
    chains.grow(acme.pk, 60)

    with django_assert_max_num_queries(20):
        assert auditor.get(LIST).status_code == 200


def test_an_entry_is_told_in_words_with_a_link_to_its_target(
    auditor, acme, alice_principal
) -> None:
    ended = factories.ended(alice_principal)
    row = entry(Act.EXECUTION_ENDED)

    page = auditor.get(
        reverse("admin:audits_entry_change", args=[row.pk])
    ).content.decode()

    assert reverse("admin:executions_execution_change", args=[ended.id]) in page
    assert "events_digest" in page
    assert "runner" in page
    assert row.digest in page


def test_what_somebody_wrote_is_never_markup(auditor, acme) -> None:
    write_now(
        tenant(acme.pk),
        lambda: trail.record(
            Act.TOKEN_CREATED,
            actor=Actor.system("<script>alert(1)</script>"),
            organisation_id=acme.pk,
            target="<b>:<i>x",
            name="<script>alert(2)</script>",
        ),
    )

    for address in (LIST, reverse("admin:audits_entry_change", args=[entry().pk])):
        page = auditor.get(address).content.decode()
        assert "<script>alert" not in page
        assert "<i>x" not in page


def test_an_altered_body_still_has_a_page(auditor, acme) -> None:
    told(Act.TOKEN_CREATED, acme.pk)
    chains.tamper(acme.pk, entry().seq, body="rubbish")

    address = reverse("admin:audits_entry_change", args=[entry().pk])
    assert auditor.get(address).status_code == 200


def test_nobody_changes_an_entry_in_the_admin(auditor, acme) -> None:
    told(Act.TOKEN_CREATED, acme.pk)
    address = reverse("admin:audits_entry_change", args=[entry().pk])

    assert auditor.post(address, {"body": "{}"}).status_code == 403
    assert auditor.get(LIST + "add/").status_code == 403


def test_checkpoints_have_pages(auditor, acme) -> None:
    told(Act.TOKEN_CREATED, acme.pk)
    chains.sign(acme.pk)
    with TESTS:
        signed = Checkpoint.objects.get()

    assert auditor.get(reverse("admin:audits_checkpoint_changelist")).status_code == 200
    page = auditor.get(reverse("admin:audits_checkpoint_change", args=[signed.pk]))
    assert signed.signature in page.content.decode()
