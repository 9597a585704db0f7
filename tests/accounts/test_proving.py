"""Domains from claim to release: proved, checked again, suspended, restored; one owner for each."""

from __future__ import annotations

import json
import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from apps.accounts import access, actions, proving
from apps.accounts.actions import domains as rules
from apps.accounts.domains.proofs import Finding
from apps.accounts.errors import (
    BadDomainError,
    DomainTakenError,
    PublicDomainError,
    TooManyDomainsError,
)
from apps.accounts.models import Domain, Organisation
from apps.audits.models import Entry
from apps.core import sweeps
from apps.core.database import write_now
from apps.core.errors import NotFoundError
from apps.core.tenancy import tenant
from tests.factories import TESTER, TESTS
from tests.factories import domain as proved

pytestmark = pytest.mark.security
NOW = timezone.now()
WEEK = timedelta(days=7)


@pytest.fixture
def zone(settings) -> dict[str, list[str]]:
    """What DNS says in this test."""
    settings.NETRA_DNS_ZONE = {}
    return settings.NETRA_DNS_ZONE


def claim(place: Organisation, name: str = "acme.example") -> Domain:
    with tenant(place.pk):
        return actions.claim_domain(actor=TESTER, organisation_id=place.pk, name=name)


def publish(zone, row: Domain) -> Domain:
    zone.setdefault(row.record_name, []).append(row.challenge)
    return row


def check(row: Domain, now=NOW) -> Domain:
    return proving.prove(actor=TESTER, domain=reread(row), now=now)


def reread(row: Domain) -> Domain:
    with TESTS:
        found: Domain = Domain.objects.get(pk=row.pk)
    return found


def acts(place: Organisation) -> list[str]:
    with TESTS:
        rows = Entry.objects.filter(organisation_id=place.pk).order_by("seq")
        return [f"{row.act} {row.outcome}" for row in rows]


# -- claiming --------------------------------------------------------------------------


def test_a_claim_gives_nothing(acme, zone):
    row = claim(acme)

    assert row.proved_at is None
    assert access.proved_domains(acme.pk) == frozenset()
    assert acts(acme) == ["domain_claimed done"]


def test_claiming_twice_keeps_the_first_challenge(acme):
    assert claim(acme, "ACME.example.").challenge == claim(acme).challenge
    assert acts(acme) == ["domain_claimed done"]


def test_two_companies_that_claim_one_domain_have_challenges_of_their_own(acme, globex):
    assert claim(acme).challenge != claim(globex).challenge


@pytest.mark.parametrize("name", ["gmail.com", "GMAIL.com", "@outlook.com"])
def test_public_domains_are_refused(acme, name):
    with pytest.raises(PublicDomainError):
        claim(acme, name)


def test_what_is_no_domain_is_refused(acme):
    with pytest.raises(BadDomainError):
        claim(acme, "not a domain")


def test_claims_have_a_bound(acme, monkeypatch):
    monkeypatch.setattr(rules, "CLAIMS_MOST", 1)
    claim(acme)

    with pytest.raises(TooManyDomainsError):
        claim(acme, "other.example")


# -- proving ---------------------------------------------------------------------------


def test_the_record_proves_the_domain(acme, zone):
    row = check(publish(zone, claim(acme)))

    assert (row.proved_at, row.checked_at, row.look_again_at) == (NOW, NOW, NOW + WEEK)
    assert access.proved_domains(acme.pk) == {"acme.example"}
    assert acts(acme) == ["domain_claimed done", "domain_proved done"]


def test_another_companys_challenge_proves_nothing(acme, globex, zone):
    publish(zone, claim(acme))

    assert check(claim(globex)).finding == Finding.OTHER
    assert access.proved_domains(globex.pk) == frozenset()


def test_the_record_of_a_parent_proves_no_sub_domain(acme, zone):
    row = publish(zone, claim(acme))
    check(row)

    assert check(claim(acme, "sub.acme.example")).proved_at is None


def test_a_domain_that_another_company_proved_is_refused_and_told(acme, globex, zone):
    check(publish(zone, claim(acme)))
    late = publish(zone, claim(globex))

    with pytest.raises(DomainTakenError) as error:
        check(late)

    assert "Acme" not in str(error.value)
    assert access.proved_domains(globex.pk) == frozenset()
    assert acts(globex) == ["domain_claimed done", "domain_proved refused"]


def test_a_released_domain_may_be_proved_by_another(acme, globex, zone):
    mine, late = publish(zone, claim(acme)), publish(zone, claim(globex))
    check(mine)
    with tenant(acme.pk):
        actions.release_domain(actor=TESTER, domain=mine)

    assert check(late).proved_at == NOW
    assert acts(acme)[-1] == "domain_released done"
    with pytest.raises(NotFoundError), TESTS:
        actions.release_domain(actor=TESTER, domain=mine)


@pytest.mark.parametrize(("source", "tier"), [("github", "mid"), ("", "early")])
def test_a_first_proof_may_lift_the_tier_once(zone, db, source, tier):
    place = Organisation.objects.create(
        slug="new", name="New", tier="early", signed_up_with=source
    )
    check(publish(zone, claim(place)))
    check(publish(zone, claim(place, "other.example")))

    place.refresh_from_db()
    assert place.tier == tier


def test_of_two_companies_at_once_one_proves(acme, globex, zone, committed):
    rows = [publish(zone, claim(place)) for place in (acme, globex)]
    together, ends = threading.Barrier(2), []

    def run(row: Domain) -> None:
        try:
            together.wait(timeout=20)
            ends.append(proving.prove(actor=TESTER, domain=row).proved_at is not None)
        except DomainTakenError:
            ends.append(False)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(row,)) for row in rows]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)

    assert sorted(ends) == [False, True]
    with TESTS:
        assert Domain.objects.filter(proved_at__isnull=False).count() == 1


# -- checking again --------------------------------------------------------------------


def test_two_failures_in_a_row_suspend(acme, zone):
    row = publish(zone, claim(acme))
    check(row)
    zone[row.record_name] = []

    once = check(row, NOW + WEEK)
    assert (once.failures, once.suspended_at) == (1, None)
    assert access.proved_domains(acme.pk) == {"acme.example"}

    assert once.look_again_at is not None
    twice = check(row, once.look_again_at)
    assert (twice.failures, twice.suspended_at) == (2, once.look_again_at)
    assert access.proved_domains(acme.pk) == frozenset()
    assert acts(acme)[-1] == "domain_suspended done"


def test_looking_twice_by_hand_is_one_failure(acme, zone):
    row = publish(zone, claim(acme))
    check(row)
    zone[row.record_name] = []

    for minute in range(5):
        after = check(row, NOW + WEEK + timedelta(minutes=minute))

    assert (after.failures, after.suspended_at, after.finding) == (1, None, "absent")


def test_a_success_between_starts_the_count_anew(acme, zone):
    row = publish(zone, claim(acme))
    check(row)
    zone[row.record_name] = []
    check(row, NOW + WEEK)
    publish(zone, row)

    assert check(row, NOW + 2 * WEEK).failures == 0


def test_a_later_success_restores(acme, zone):
    row = proved(acme, failures=2, suspended_at=NOW, look_again_at=NOW)
    publish(zone, row)

    assert check(row).suspended_at is None
    assert access.proved_domains(acme.pk) == {"acme.example"}
    assert acts(acme) == ["domain_proved done"]


def test_no_answer_is_never_held_against_a_domain(acme, zone):
    row = proved(acme)
    for hour in range(10):
        after = check(row, NOW + WEEK + timedelta(hours=hour))

    assert (after.failures, after.suspended_at) == (0, None)
    assert after.finding == "no answer"


def test_of_two_processes_that_look_at_once_one_counts(acme, zone):
    row = proved(acme, look_again_at=NOW - WEEK)
    before = reread(row)
    for _ in range(2):
        write_now(
            tenant(acme.pk),
            lambda: actions.note_look_up(
                actor=TESTER, domain=before, finding=Finding.ABSENT, now=NOW
            ),
        )

    assert reread(row).failures == 1


def test_a_domain_released_meanwhile_is_told(acme, zone):
    row = publish(zone, claim(acme))
    with TESTS:
        Domain.objects.all().delete()

    with pytest.raises(NotFoundError):
        proving.prove(actor=TESTER, domain=row)


# -- the sweep -------------------------------------------------------------------------


def test_the_sweep_looks_at_what_is_due_one_at_a_time(acme, globex, zone):
    due = publish(zone, proved(acme, look_again_at=NOW - WEEK))
    proved(globex, look_again_at=NOW + WEEK)
    claim(acme, "claimed.example")

    found = proving.sweep(NOW)

    assert found is not None
    assert (found.pk, found.look_again_at) == (due.pk, NOW + WEEK)
    assert proving.sweep(NOW) is None


def test_a_domain_without_a_time_is_due(acme, zone):
    row = publish(zone, proved(acme))

    found = proving.sweep(NOW)

    assert found is not None
    assert found.pk == row.pk


def test_the_sweep_suspends_and_says_so(acme, zone, caplog):
    row = proved(acme, failures=1, look_again_at=NOW)
    zone[row.record_name] = []

    proving.sweep(NOW)

    assert reread(row).suspended_at == NOW
    assert "acme.example is suspended" in caplog.text


def test_the_sweep_survives_a_domain_that_went_away(acme, zone, monkeypatch, caplog):
    proved(acme, look_again_at=NOW)

    def gone(*_):
        with TESTS:
            Domain.objects.all().delete()
        return Finding.ABSENT

    monkeypatch.setattr(proving.proofs, "look_up", gone)

    assert proving.sweep(NOW) is None
    assert "released meanwhile" in caplog.text


def test_the_sweep_is_registered():
    assert sweeps.registered()["accounts.check_domains"] == proving.SWEEP_SECONDS


def test_the_trail_names_who_checked(acme, zone):
    check(publish(zone, claim(acme)))

    with TESTS:
        bodies = [json.loads(row.body) for row in Entry.objects.order_by("seq")]
    assert [body["details"]["domain"] for body in bodies] == ["acme.example"] * 2
    assert {body["actor"] for body in bodies} == {TESTER.label}
