"""The test login: the ordinary way there and back, a report at its end, and nothing changed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone

from apps.accounts.doctor import rehearsal
from apps.accounts.models import IdentityProvider, SignIn, User
from apps.audits.models import Receipt
from tests.accounts.conftest import make_provider
from tests.accounts.doctor.examiner import (
    TRAIL,
    Examiner,
    changed,
    entries,
    rules,
    tables,
)
from tests.accounts.lying_provider import Visitor
from tests.factories import TESTS
from tests.staff import staff

pytestmark = pytest.mark.security


def own_session(tester: Examiner) -> dict[str, object]:
    """What a session says about who one is, and by which key."""
    kept = tester.client.session
    names = ("_auth_user_id", "_auth_user_hash", "account_authentication_methods")
    return {"key": kept.session_key, **{name: kept.get(name) for name in names}}


def sign_ins() -> tuple[int, int]:
    return SignIn.objects.count(), Session.objects.count()


def change(row: IdentityProvider, **values: object) -> None:
    with TESTS:
        IdentityProvider.objects.filter(pk=row.pk).update(**values)


# -- nothing is changed --------------------------------------------------------------------


def test_a_member_would_be_linked_and_is_not(tester, alice):
    before, session, counts = tables(), own_session(tester), sign_ins()

    answer = tester.test()

    assert answer["Location"] == f"{tester.admin}rehearsal/"
    assert changed(before) == TRAIL
    assert (own_session(tester), sign_ins()) == (session, counts)
    assert tester.report["lead"] == "linked"
    assert set(rules(tester.report).values()) == {"ok"}
    page = tester.page
    assert "link this subject to the existing account a…@acme.example" in page
    assert "alice@acme.example" not in page


def test_a_newcomer_would_be_created_and_is_not(tester, liar):
    liar.claims = {"email": "new.person@acme.example"}
    before, session, counts = tables(), own_session(tester), sign_ins()

    tester.test()

    assert changed(before) == TRAIL
    assert (own_session(tester), sign_ins()) == (session, counts)
    assert tester.report["lead"] == "created"
    assert "It would make a membership as member." in tester.page


def test_a_known_person_stays_as_they_were_with_what_was_told_of_them(
    tester, alice, liar
):
    assert Visitor(liar).sign_in().status_code == 302
    liar.claims = {"name": "Another Name", "email": "alice2@acme.example"}
    before, session, counts = tables(), own_session(tester), sign_ins()

    tester.test()

    assert changed(before) == TRAIL
    assert (own_session(tester), sign_ins()) == (session, counts)
    assert tester.report["lead"] == "existing"
    assert "would become a…@acme.example" in tester.page


def test_a_refused_person_leaves_nothing_but_the_entry(tester, liar):
    liar.claims = {"email": "mallory@globex.example"}
    before, session, counts = tables(), own_session(tester), sign_ins()

    tester.test()

    assert changed(before) == TRAIL
    assert (own_session(tester), sign_ins()) == (session, counts)
    assert tester.report["lead"] == "refused"


def test_the_trail_of_the_organisation_tells_who_tested_and_no_claim(
    tester, alice, operator, acme
):
    tester.test()

    (body,) = entries()
    assert (body["actor"], body["actor_kind"]) == (operator.email, "staff")
    assert body["organisation"] == str(acme.pk)
    assert body["details"] == {
        "provider_id": "acme",
        "leads_to": "linked",
        "rule": "",
    }
    assert body["outcome"] == "done"
    assert entries("signed_in")[1:] == []
    assert entries("identity_linked") == []


def test_the_proof_key_nonce_and_scope_are_those_of_a_sign_in(tester, liar, alice):
    tester.begin_test()
    asked = dict(tester.asked)
    tester.start()

    assert set(asked) == set(tester.asked)
    assert (asked["scope"], asked["code_challenge_method"]) == (
        tester.asked["scope"],
        "S256",
    )
    assert asked["redirect_uri"] == tester.asked["redirect_uri"]
    assert liar.sent == []


# -- it belongs to one person, one session, one use ----------------------------------------


def test_an_answer_is_used_once(tester, alice):
    tester.test()
    kept = tester.report

    again = tester.come_back()

    assert again.status_code == 401
    assert tester.report == kept
    assert len(entries()) == 1
    assert tester.client.get("/admin/").status_code == 200


def test_the_answer_signs_nobody_in_elsewhere(tester, alice, liar):
    tester.begin_test()
    stranger = Visitor(liar)
    stranger.asked = tester.asked

    assert stranger.come_back().status_code == 401
    assert not stranger.is_signed_in
    assert entries() == []


def test_another_person_cannot_end_what_somebody_began(tester, alice, netra, liar, row):
    """Not even with the state itself, as from a copy of the session."""
    tester.begin_test()
    other = Examiner(liar, row)
    other.client.force_login(staff("platform_admin", netra, "other@netra.example"))
    copy_states(tester, other)

    answer = other.come_back()

    assert answer.status_code == 401
    assert "netra_rehearsal" not in other.client.session
    assert entries() == []
    assert (
        other.client.session["_auth_user_id"] != tester.client.session["_auth_user_id"]
    )


def test_nor_can_they_end_it_in_another_session_of_theirs(tester, operator, liar, row):
    tester.begin_test()
    other = Examiner(liar, row)
    other.client.force_login(operator)
    copy_states(tester, other)

    assert other.come_back().status_code == 401
    assert entries() == []


def test_a_test_is_too_old_after_ten_minutes(tester, alice):
    tester.begin_test()
    session = tester.client.session
    states = session["socialaccount_states"]
    session["socialaccount_states"] = {
        name: (state, began - 601, provider)
        for name, (state, began, provider) in states.items()
    }
    session.save()

    tester.come_back()

    assert tester.report["rule"] == "state_known"
    assert tester.report["claims"] == []


def test_a_sign_in_that_the_same_browser_began_is_no_test(tester, alice):
    tester.begin_test()
    tester.start()

    tester.come_back()

    assert tester.client.session["_auth_user_id"] == str(alice.pk)
    assert entries() == []


def test_the_door_of_sign_ins_takes_no_test(tester, alice, monkeypatch):
    """Were the answer to come to the wrong door, that door would not take it either."""
    tester.begin_test()
    before, session = tables(), own_session(tester)
    monkeypatch.setattr(rehearsal, "_began_here", lambda *_: False)

    answer = tester.come_back()

    assert answer.status_code == 401
    assert own_session(tester) == session
    assert changed(before) == {*TRAIL, "audits_receipt"}
    with TESTS:
        assert Receipt.objects.get().rule == "state_known"


def test_the_door_of_tests_takes_no_sign_in(tester, alice, monkeypatch):
    tester.start()
    session = own_session(tester)
    monkeypatch.setattr(rehearsal, "_began_here", lambda *_: True)

    tester.come_back()

    assert tester.report["rule"] == "state_known"
    assert own_session(tester) == session


def test_an_answer_for_one_provider_is_none_for_another(tester, liar, globex, alice):
    other = Examiner(liar, make_provider(globex, issuer=liar.url))
    other.client, other.asked = tester.client, tester.asked
    tester.begin_test()
    other.asked = tester.asked

    assert other.come_back().status_code == 401
    assert entries() == []


def copy_states(tester: Examiner, other: Examiner) -> None:
    session = other.client.session
    session["socialaccount_states"] = tester.client.session["socialaccount_states"]
    session.save()
    other.asked = tester.asked


# -- who may -------------------------------------------------------------------------------

PAGES = ("check/", "rehearse/", "rehearsal/")


@pytest.mark.parametrize("who", ["alice", "mallory"])
def test_owners_reach_none_of_it_their_own_or_others(request, row, liar, who):
    client = Client()
    client.force_login(request.getfixturevalue(who))
    base = f"/admin/accounts/identityprovider/{row.pk}/"

    for name in PAGES:
        assert client.get(base + name, follow=True).status_code == 403
        assert client.post(base + name, follow=True).status_code == 403
    assert liar.asked == []


def test_strangers_are_led_to_sign_in(row, liar):
    for name in PAGES:
        url = f"/admin/accounts/identityprovider/{row.pk}/{name}"
        answer = Client().post(url, follow=True)
        assert answer.request["PATH_INFO"] == "/accounts/login/"
    assert liar.asked == []


@pytest.mark.parametrize("role", ["security_auditor", "support_lead"])
def test_staff_who_may_not_change_providers_may_not_test_them(row, liar, netra, role):
    client = Client()
    client.force_login(staff(role, netra))
    base = f"/admin/accounts/identityprovider/{row.pk}/"

    for name in PAGES:
        assert client.post(base + name).status_code == 403
    assert liar.asked == []


def test_whoever_tests_proved_who_they_are_just_before(tester, liar):
    SignIn.objects.update(authenticated_at=timezone.now() - timedelta(minutes=6))

    for method in (tester.client.get, tester.client.post):
        answer = method(f"{tester.admin}rehearse/")
        assert answer["Location"].startswith("/accounts/confirm/?next=")
    assert liar.asked == []


@pytest.mark.parametrize("values", [{"is_staff": False}, {"groups": ()}])
def test_who_lost_the_right_in_between_gets_no_report(tester, operator, values):
    tester.begin_test()
    operator.groups.clear() if "groups" in values else User.objects.update(**values)

    answer = tester.come_back()

    assert answer.status_code == 401
    assert "netra_rehearsal" not in tester.client.session
    assert entries() == []


def test_a_provider_that_is_not_there_is_not_found(tester):
    tester.admin = (
        "/admin/accounts/identityprovider/00000000-0000-4000-8000-0000000000aa/"
    )

    for name in PAGES:
        assert tester.client.post(tester.admin + name).status_code == 404


def test_one_that_is_switched_off_is_not_tested(tester, row, liar):
    change(row, enabled=False)

    answer = tester.client.post(f"{tester.admin}rehearse/", follow=True)

    assert "Switch it on, then test it." in answer.content.decode()
    assert liar.asked == []


def test_one_that_is_switched_off_in_between_is_not_there(tester, row):
    tester.begin_test()
    change(row, enabled=False)

    assert tester.come_back().status_code == 404
    assert entries() == []


# -- the pages -----------------------------------------------------------------------------


def test_looking_begins_nothing(tester, liar):
    page = tester.client.get(f"{tester.admin}rehearse/").content.decode()
    tester.client.get(f"{tester.admin}check/")

    assert "Continue to Acme" in page
    assert "http://testserver/accounts/oidc/acme/login/callback/" in page
    assert liar.asked == []
    assert "socialaccount_states" not in tester.client.session


def test_the_form_may_lead_to_the_provider_and_other_pages_stay_strict(tester, liar):
    page = tester.client.get(f"{tester.admin}rehearse/")
    report = tester.client.get(f"{tester.admin}rehearsal/")

    assert liar.url in page["Content-Security-Policy"]
    assert liar.url not in report["Content-Security-Policy"]


def test_a_provider_offers_both_to_those_who_may(tester, netra, row):
    change_page = f"{tester.admin}change/"
    page = tester.client.get(change_page).content.decode()
    auditor = Client()
    auditor.force_login(staff("security_auditor", netra))

    assert "Check set-up" in page
    assert "Test login" in page
    assert "Check set-up" not in auditor.get(change_page).content.decode()


def test_the_report_is_gone_after_ten_minutes(tester, alice):
    tester.test()
    session = tester.client.session
    old = (timezone.now() - timedelta(minutes=11)).isoformat()
    session["netra_rehearsal"] = {**session["netra_rehearsal"], "at": old}
    session.save()

    assert "There is no report" in tester.page
    assert "netra_rehearsal" not in tester.client.session


def test_the_report_is_of_this_session_and_this_provider(
    tester, alice, operator, globex, row, liar
):
    tester.test()
    elsewhere = Examiner(liar, row)
    elsewhere.client.force_login(operator)
    other = Examiner(liar, make_provider(globex))
    other.client = tester.client

    assert "There is no report" in elsewhere.page
    assert "There is no report" in other.page
    assert "There is no report" not in tester.page
