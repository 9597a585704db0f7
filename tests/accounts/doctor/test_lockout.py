"""Who would be locked out: every reason, agreed with what sign-in itself then says, and nothing without a tick."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.accounts import actions, admission
from apps.accounts.access import proved_domains
from apps.accounts.admission import Claims
from apps.accounts.doctor import lockout
from apps.accounts.errors import LockoutNotConfirmedError, NoOwnerInsideError
from apps.accounts.models import (
    Domain,
    Identity,
    IdentityProvider,
    Membership,
    Organisation,
    User,
)
from apps.accounts.queries import USED_WITHIN, Reason
from apps.accounts.queries import lockout as locked_out
from apps.accounts.signin import entry
from apps.audits.models import Entry
from apps.core.tenancy import tenant
from tests import factories
from tests.accounts.signing import link, remove, suspend
from tests.factories import TESTER, TESTS, person
from tests.staff import staff

pytestmark = pytest.mark.security
A = "/admin/accounts/organisation/"


@pytest.fixture
def inside(acme_provider: IdentityProvider, alice: User) -> IdentityProvider:
    """Acme's provider, through which its owner has come in."""
    with TESTS:
        link(acme_provider, alice, sub="owner")
    return acme_provider


@pytest.fixture
def admin_client(client, netra):
    client.force_login(staff("platform_admin", netra))
    return client


def reasons(place: Organisation) -> dict[str, str]:
    with TESTS:
        picture = lockout.picture_of(place)
    return {row.person.email: row.person.reason.value for row in picture.rows}


def enforce(place: Organisation, confirmed: str = "") -> None:
    place.sso_required = True
    with TESTS:
        actions.change_organisation(
            actor=TESTER, organisation=place, confirmed=confirmed
        )


def fingerprint(place: Organisation) -> str:
    with TESTS:
        return lockout.picture_of(place).fingerprint


def is_enforced(place: Organisation) -> bool:
    return Organisation.objects.get(pk=place.pk).sso_required


# -- the reasons -----------------------------------------------------------------------


def test_whoever_came_in_through_a_provider_is_not_on_the_list(acme, inside, bob):
    assert reasons(acme) == {bob.email: "never_came"}

    with TESTS:
        link(inside, bob)

    assert reasons(acme) == {}


def test_an_owner_who_never_came_in_is_named_first(acme, acme_provider, alice, bob):
    assert list(reasons(acme).items()) == [
        (alice.email, "owner_never_came"),
        (bob.email, "never_came"),
    ]


def test_a_suspended_identity_counts_for_nothing(acme, inside, bob):
    with TESTS:
        link(inside, bob)
    suspend(bob)

    assert reasons(acme) == {bob.email: "suspended"}


def test_nor_does_one_that_ended_with_an_earlier_membership(acme, inside, bob):
    with TESTS:
        link(inside, bob)
    remove(bob)
    with TESTS:
        Membership.objects.create(organisation=acme, user=bob)

    assert reasons(acme) == {bob.email: "removed"}


def test_an_address_outside_the_proved_domains_is_told(acme, inside, bob):
    eve = person("eve@elsewhere.example", acme)
    with TESTS:
        link(inside, bob)
        Identity.objects.filter(user=bob).update(email="bob@elsewhere.example")

    assert reasons(acme) == {
        bob.email: "outside_domain",
        eve.email: "outside_domain",
    }


def test_a_domain_whose_proof_lapsed_is_no_proved_one(acme, inside, alice):
    with TESTS:
        Domain.objects.update(suspended_at=timezone.now())

    assert reasons(acme) == {alice.email: "outside_domain"}


def test_a_provider_that_nobody_used_lately_is_not_trusted_to_work(
    acme, inside, alice, bob
):
    with TESTS:
        link(inside, bob)
        long_ago = timezone.now() - USED_WITHIN - timedelta(minutes=1)
        Identity.objects.update(last_used_at=long_ago)
    assert set(reasons(acme).values()) == {"provider_unused"}

    with TESTS:
        Identity.objects.filter(user=bob).update(last_used_at=timezone.now())

    assert reasons(acme) == {}  # one who came shows that it works for both


def test_a_provider_that_is_switched_off_vouches_for_nobody(acme, inside, alice):
    with TESTS:
        IdentityProvider.objects.update(enabled=False)

    assert reasons(acme) == {alice.email: "owner_never_came"}


def test_another_organisations_provider_vouches_for_nobody_here(
    acme, inside, globex_provider, bob
):
    with TESTS:
        link(globex_provider, bob)

    assert reasons(acme) == {bob.email: "never_came"}


def test_one_good_identity_is_enough(acme, inside, bob):
    with TESTS:
        link(inside, bob, sub="old")
        Identity.objects.filter(sub="old").update(status="suspended", reason="by hand")
        link(inside, bob, sub="new")

    assert reasons(acme) == {}


def test_closed_accounts_and_staff_are_left_out(acme, inside, bob):
    person("helper@acme.example", acme, is_staff=True)
    User.objects.filter(pk=bob.pk).update(is_active=False)

    assert reasons(acme) == {}


def test_every_reason_has_words_and_a_fix():
    assert set(lockout.WORDS) == set(Reason)
    assert all(title and fix for title, fix in lockout.WORDS.values())


# -- agreed with the sign-in itself ----------------------------------------------------


def test_the_list_says_what_sign_in_then_says(acme, inside, bob, rf, db):
    """For everybody whom a rule refuses, admission refuses by it; for who is not listed, it does not."""
    carol = person("carol@acme.example", acme)
    eve = person("eve@elsewhere.example", acme)
    helper = person("helper@acme.example", acme, is_staff=True)
    with TESTS:
        for user, sub in ((bob, "b"), (carol, "c"), (eve, "e")):
            link(inside, user, sub=sub)
        place = Organisation.objects.get(pk=acme.pk)
    suspend(bob)
    told = reasons(acme)

    for user, sub in ((bob, "b"), (carol, "c"), (eve, "e")):
        with tenant(acme.pk):
            said = Claims(sub=sub, emails=(user.email,))
            judged = admission.judge(inside, said)
        rule = judged.refusal.rule if judged.refusal else None
        assert (rule is None) == (user.email not in told), user.email
        assert {None: None, "identity_active": "suspended",
                "own_domain": "outside_domain"}[rule] == told.get(user.email)  # fmt: skip

    enforce(place, fingerprint(place))
    for user in (bob, carol, eve):
        with pytest.raises(entry.CompanySignInRequiredError):
            entry._check_password(user)
    entry._check_password(helper)


# -- the action ------------------------------------------------------------------------


def test_nobody_is_locked_out_without_somebody_who_agreed(acme, inside, bob):
    with pytest.raises(LockoutNotConfirmedError) as caught:
        enforce(acme)

    assert caught.value.values == {"left_outside": 1}
    assert not is_enforced(acme)

    enforce(acme, fingerprint(acme))

    assert is_enforced(acme)
    with TESTS:
        entry_ = Entry.objects.filter(act="organisation_changed").latest("seq")
    assert json.loads(entry_.body)["details"]["left_outside"] == 1


def test_whoever_agreed_to_one_list_did_not_agree_to_another(acme, inside, bob):
    seen = fingerprint(acme)
    person("carol@acme.example", acme)

    with pytest.raises(LockoutNotConfirmedError):
        enforce(acme, seen)

    assert not is_enforced(acme)


def test_an_empty_list_needs_no_agreement(acme, inside):
    enforce(acme)

    assert is_enforced(acme)


def test_it_is_not_enforced_where_no_owner_could_come_in(
    acme, acme_provider, alice, bob
):
    with TESTS:
        link(acme_provider, bob)

    with pytest.raises(NoOwnerInsideError) as caught:
        enforce(acme, fingerprint(acme))

    assert "sign in through the provider once" in caught.value.fix
    assert not is_enforced(acme)


def test_what_is_enforced_already_is_not_asked_again(acme, inside, bob):
    enforce(acme, fingerprint(acme))
    acme.name = "Acme Limited"

    with TESTS:
        actions.change_organisation(actor=TESTER, organisation=acme)

    acme.refresh_from_db()
    assert acme.name == "Acme Limited"


# -- the pages -------------------------------------------------------------------------


def form_of(place: Organisation, **more: str) -> dict[str, str]:
    return {
        "name": place.name,
        "tier": place.tier,
        "status": "active",
        "sso_required": "on",
        **more,
    }


def test_the_admin_shows_the_list_and_changes_nothing_before_the_tick(
    admin_client, acme, inside, bob
):
    url = f"{A}{acme.pk}/change/"

    asked = admin_client.post(url, form_of(acme, name="Acme & Co"))

    page = asked.content.decode()
    assert asked.status_code == 200
    assert "1 person can’t sign in to Acme after this" in page
    assert bob.email in page
    assert 'name="name" value="Acme &amp; Co"' in page
    assert not is_enforced(acme)

    without = admin_client.post(url, form_of(acme, asked="1"))
    assert "tick the box first" in without.content.decode()
    assert not is_enforced(acme)

    admin_client.post(
        url,
        form_of(
            acme,
            name="Acme & Co",
            locked_out_confirmed=asked.context["lockout"].fingerprint,
        ),
    )
    acme.refresh_from_db()
    assert (acme.sso_required, acme.name) == (True, "Acme & Co")


def test_a_made_up_tick_is_refused(admin_client, acme, inside, bob):
    answer = admin_client.post(
        f"{A}{acme.pk}/change/", form_of(acme, locked_out_confirmed="on"), follow=True
    )

    assert "nobody has agreed to this very list" in answer.content.decode()
    assert not is_enforced(acme)


def test_without_an_owner_inside_there_is_no_button(admin_client, acme, bob):
    page = admin_client.post(f"{A}{acme.pk}/change/", form_of(acme)).content.decode()

    assert "cannot be enforced at Acme yet" in page
    assert "Enforce company sign-in" not in page
    assert not is_enforced(acme)


def test_who_may_not_see_people_reads_numbers_only(client, netra, acme, inside, bob):
    client.force_login(staff("support_viewer", netra))

    page = client.get(f"{A}{acme.pk}/change/").content.decode()

    assert "Has never come in through a provider" in page
    assert bob.email not in page


def test_who_may_only_look_enforces_nothing(client, netra, acme, inside, bob):
    client.force_login(staff("support_viewer", netra))

    answer = client.post(
        f"{A}{acme.pk}/change/",
        form_of(acme, locked_out_confirmed=fingerprint(acme)),
    )

    assert answer.status_code == 403
    assert not is_enforced(acme)
    assert client.post(f"{A}{acme.pk}/change/", form_of(acme)).status_code == 403


def test_a_long_list_is_cut_and_counted(acme, inside, bob, monkeypatch):
    monkeypatch.setattr(lockout, "SHOWN", 2)
    for number in range(4):
        person(f"p{number}@acme.example", acme)

    with TESTS:
        picture = lockout.picture_of(acme)

    assert (picture.number, len(picture.rows), picture.more) == (5, 2, 3)
    assert [(group.reason.value, group.number) for group in picture.groups] == [
        ("never_came", 5)
    ]


@pytest.mark.performance
def test_it_asks_as_often_for_many_as_for_one(acme, inside, bob):
    proved = proved_domains(acme.pk)
    for number in range(5):
        user = person(f"p{number}@acme.example", acme)
        with TESTS:
            link(inside, user, sub=f"p{number}")

    with TESTS, CaptureQueriesContext(connection) as asked:
        found = locked_out(acme, proved=proved, now=timezone.now())

    assert len([q for q in asked if "SELECT" in q["sql"] and "FROM" in q["sql"]]) == 2
    assert len(found.outside) == 1


def test_globex_is_not_looked_at(acme, globex, inside, mallory):
    assert mallory.email not in reasons(acme)
    assert factories.principal(mallory, globex)
