"""The customer's page of support access: who sees it, who decides, and what it tells."""

from __future__ import annotations

import pytest
from django.urls import reverse

from apps.accounts.models import Organisation
from apps.accounts.sessions import stepup
from apps.audits.models import Entry
from apps.ops import trust
from tests import factories
from tests.factories import TESTS
from tests.ops.support import WHY, ask, content, decide, newest, signed_in, trail
from tests.staff import SECRET, staff, told

pytestmark = [pytest.mark.django_db, pytest.mark.security]


@pytest.fixture
def operator(netra):
    return signed_in(staff("support_operator", netra))


@pytest.fixture
def lead(netra):
    return signed_in(staff("support_lead", netra))


@pytest.fixture
def owner(alice):
    return signed_in(alice)


@pytest.fixture
def standing(alice_principal):
    return told(alice_principal)


@pytest.fixture
def consenting(acme):
    acme.grants_need_consent = True
    acme.save()


def answer(client, verb: str):
    return client.post(reverse("trust_decide", args=[newest().pk, verb]), follow=True)


@pytest.mark.parametrize(
    ("role", "status"),
    [("owner", 200), ("admin", 200), ("member", 404), ("viewer", 404)],
)
def test_who_sees_the_page_and_its_link(acme, role, status):
    client = signed_in(factories.person("carol@acme.example", acme, role=role))

    assert client.get("/trust/").status_code == status
    linked = 'href="/trust/"' in client.get("/chat/").content.decode()
    assert linked is (status == 200)


def test_a_stranger_is_led_to_sign_in(client, db):
    assert client.get("/trust/")["Location"] == "/accounts/login/?next=/trust/"


def test_it_works_with_nothing_to_tell(owner):
    html = owner.get("/trust/").content.decode()

    assert "Nobody asks to read anything." in html
    assert "Nothing is open" in html
    assert "Support has never asked" in html


def test_an_owner_consents_and_sees_each_look(owner, operator, standing, consenting):
    ask(operator, standing)
    asked = owner.get("/trust/").content.decode()
    assert WHY in asked
    assert "support_operator@netra.example" in asked
    assert "Approve" in asked

    answer(owner, "approve")
    content(operator, standing)
    html = owner.get("/trust/").content.decode()

    assert "Read 1 time" in html
    assert str(standing.id)[:8] in html
    assert SECRET not in html
    answer(owner, "end")
    assert content(operator, standing).status_code == 403
    assert [entry[:2] for entry in trail()] == [
        ("grant_requested", "done"),
        ("grant_approved", "done"),
        ("content_read", "done"),
        ("grant_ended", "done"),
        ("content_read", "refused"),
    ]


def test_an_owner_refuses_what_a_second_person_would_answer(owner, operator, standing):
    ask(operator, standing)
    html = owner.get("/trust/").content.decode()
    assert "It waits for a second person of support." in html
    assert ">Approve" not in html

    answer(owner, "refuse")

    assert newest().refused_at is not None


def test_an_admin_sees_and_does_not_decide(acme, operator, standing, consenting):
    admin = signed_in(factories.person("carol@acme.example", acme, role="admin"))
    ask(operator, standing)
    assert ">Approve" not in admin.get("/trust/").content.decode()

    html = answer(admin, "approve").content.decode()

    assert "Owners decide about support access." in html
    assert newest().approved_at is None
    assert trail("grant_approved")[0][1] == "refused"


def test_another_organisations_grants_are_not_there(
    operator, standing, mallory, consenting
):
    stranger = signed_in(mallory)
    ask(operator, standing)

    html = stranger.get("/trust/").content.decode()
    answered = answer(stranger, "approve").content.decode()

    assert WHY not in html
    assert "There is no such grant." in answered
    assert newest().approved_at is None


def test_whoever_works_for_support_does_not_speak_for_a_customer(
    netra, acme, operator, standing, consenting
):
    both = staff("support_lead", netra, "both@netra.example")
    with TESTS:
        both.memberships.all().delete()
        both.memberships.create(organisation=acme, user=both, role="owner")
    ask(operator, standing)

    html = answer(signed_in(both), "approve").content.decode()

    assert "You belong to support yourself." in html
    assert newest().approved_at is None


def test_an_owner_proves_who_they_are_before_they_approve(
    owner, operator, standing, consenting, monkeypatch
):
    ask(operator, standing)
    monkeypatch.setattr(stepup, "stepped_up", lambda *_: False)

    response = owner.post(reverse("trust_decide", args=[newest().pk, "approve"]))

    assert "/accounts/" in response["Location"]
    assert newest().approved_at is None


def test_nothing_else_can_be_done_here(owner, operator, standing):
    ask(operator, standing)

    assert answer(owner, "review").status_code == 404
    assert (
        owner.get(reverse("trust_decide", args=[newest().pk, "end"])).status_code == 405
    )


def test_past_ones_stay_and_tell_who_approved(owner, operator, lead, standing):
    ask(operator, standing)
    decide(lead, "approve")
    decide(operator, "end")

    html = owner.get("/trust/").content.decode()

    assert "support_lead@netra.example" in html
    assert "Ended early" in html
    assert "Nothing was read under it" in html


def test_every_open_grant_can_be_ended_here_however_many_there_are(
    owner, operator, lead, standing, alice_principal, monkeypatch
):
    monkeypatch.setattr(trust, "PAST", 1)
    for record in (standing, told(alice_principal)):
        ask(operator, record)
        decide(lead, "approve")

    html = owner.get("/trust/").content.decode()

    assert html.count("End it now") == 2


# -- whose consent support needs -------------------------------------------------------------


def choose(client, consent: str = "customer"):
    return client.post("/trust/", {"consent": consent}, follow=True)


def chosen() -> list[tuple[str, str | None]]:
    with TESTS:
        rows = Entry.objects.filter(act="organisation_changed").order_by("seq")
        return list(rows.values_list("outcome", "actor_kind"))


def asks_an_owner(place) -> bool:
    return Organisation.objects.get(pk=place.pk).grants_need_consent


def test_an_owner_chooses_that_support_asks_and_it_is_on_record(
    owner, acme, operator, lead, standing
):
    ask(operator, standing)

    html = choose(owner).content.decode()

    assert asks_an_owner(acme)
    assert "an owner of Acme agrees here" in html
    assert chosen() == [("done", "user")]
    assert (
        "An owner of the organisation decides"
        in decide(lead, "approve").content.decode()
    )
    assert newest().approved_at is None
    assert ">Approve" in owner.get("/trust/").content.decode()
    choose(owner, "second_person")
    assert not asks_an_owner(acme)
    assert chosen() == [("done", "user")] * 2


def test_what_was_asked_of_the_owner_stays_theirs_to_answer(
    owner, operator, lead, standing, consenting
):
    ask(operator, standing)

    html = choose(owner, "second_person").content.decode()
    decide(lead, "approve")

    assert newest().approved_at is None
    assert ">Approve" in html


@pytest.mark.parametrize(("role", "status"), [("admin", 200), ("member", 404)])
def test_only_an_owner_chooses(acme, consenting, role, status):
    client = signed_in(factories.person("carol@acme.example", acme, role=role))

    response = choose(client, "second_person")

    assert response.status_code == status
    assert asks_an_owner(acme)
    assert "Let a second person" not in client.get("/trust/").content.decode()
    assert chosen() == [("refused", "user")] * (status == 200)


def test_whoever_works_for_support_does_not_choose_for_a_customer(
    netra, acme, consenting
):
    both = staff("support_lead", netra, "both@netra.example")
    with TESTS:
        both.memberships.all().delete()
        both.memberships.create(organisation=acme, user=both, role="owner")

    html = choose(signed_in(both), "second_person").content.decode()

    assert "You belong to support yourself." in html
    assert asks_an_owner(acme)


def test_an_owner_proves_who_they_are_before_they_choose(
    owner, acme, consenting, monkeypatch
):
    monkeypatch.setattr(stepup, "stepped_up", lambda *_: False)

    response = owner.post("/trust/", {"consent": "second_person"})

    assert "/accounts/" in response["Location"]
    assert asks_an_owner(acme)


def test_one_organisations_choice_is_not_anothers(mallory, acme, globex, consenting):
    choose(signed_in(mallory))

    assert choose(signed_in(mallory), "second_person").status_code == 200
    assert asks_an_owner(acme)
    assert not asks_an_owner(globex)


@pytest.mark.parametrize("consent", ["", "nobody", "\x00"])
def test_there_is_no_third_choice(owner, acme, consenting, consent):
    assert choose(owner, consent).status_code == 404
    assert asks_an_owner(acme)
