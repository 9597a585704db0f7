"""Asking, answering, ending, reviewing and reading: who may, until when, and what goes on record."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from apps.audits import grants
from apps.audits.acts import Act
from apps.audits.grants import GrantStandsError, SamePersonError, Wish
from apps.audits.models import LAPSES, AccessGrant, Entry
from apps.audits.readings import Subject, check_subject
from apps.core import clock
from apps.core.actors import Actor
from apps.core.content import ContentClosedError
from apps.core.database import write_now
from apps.core.errors import ConflictError, InvalidInputError, NotAllowedError
from apps.core.tenancy import ScopeKind, tenant
from tests.factories import TESTS

pytestmark = [pytest.mark.django_db, pytest.mark.security]

C, R = AccessGrant.Consent, AccessGrant.Reach
ASKER = Actor.staff(uuid.uuid4(), "sam@netra.example")
LEAD = Actor.staff(uuid.uuid4(), "lee@netra.example")
WHY = "She asks why the answer is wrong."
THREAD, EXECUTION = uuid.uuid4(), uuid.uuid4()


@pytest.fixture
def owner(alice) -> Actor:
    return Actor.user(alice.pk, alice.email)


def wish(organisation, **values) -> Wish:
    given = {
        "organisation_id": organisation.pk,
        "reach": R.THREAD,
        "reach_id": THREAD,
        "reason": AccessGrant.Reason.CUSTOMER_ASKED,
        "explanation": WHY,
        "ticket": "#12",
        "minutes": 30,
    }
    return Wish(**(given | values))


def unit(organisation, work):
    return write_now(tenant(organisation.pk), work)


def asked(organisation, *, consent=C.SECOND_PERSON, actor=ASKER, **values):
    wanted = wish(organisation, **values)
    return unit(
        organisation, lambda: grants.ask(actor=actor, wish=wanted, consent=consent)
    )


def answered(organisation, row, verb="approve", *, actor=LEAD, **values):
    if verb == "approve":
        values.setdefault("consent", C.SECOND_PERSON)
    act = getattr(grants, verb)
    return unit(organisation, lambda: act(actor=actor, grant_id=row.pk, **values))


def opened(organisation, **values):
    return answered(organisation, asked(organisation, **values))


def subject(organisation, **values) -> Subject:
    given = {"organisation_id": organisation.pk, "thread_id": THREAD}
    return Subject(**(given | values))


def read(organisation, what=None, *, actor=ASKER, ids=()):
    what = what or subject(organisation)
    return unit(
        organisation,
        lambda: grants.begin_reading(
            actor=actor, subject=what, fields=["messages.text"], ids=ids
        ),
    )


def trail(organisation) -> list[tuple[str, str]]:
    with TESTS:
        rows = Entry.objects.filter(organisation_id=organisation.pk).order_by("seq")
        return list(rows.values_list("act", "outcome"))


def details(organisation) -> dict:
    with TESTS:
        rows = Entry.objects.filter(organisation_id=organisation.pk).order_by("-seq")
        return json.loads(rows.values_list("body", flat=True)[0])


def later(monkeypatch, **by) -> None:
    moment = timezone.now() + timedelta(**by)
    monkeypatch.setattr(clock, "now", lambda: moment)


# -- asking ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("explanation", "too short"),
        ("explanation", " " * 40),
        ("explanation", "\u200b" * 40),
        ("explanation", "\x00" * 40),
        ("explanation", "x" * 2001),
        ("ticket", "  "),
        ("ticket", "\u2060"),
        ("minutes", 0),
        ("minutes", 241),
    ],
)
def test_a_wish_needs_a_reason_a_ticket_and_an_end(acme, field, value):
    with pytest.raises(InvalidInputError) as refused:
        asked(acme, **{field: value})

    assert refused.value.field == field
    assert trail(acme) == []


def test_what_nobody_sees_is_not_part_of_a_reason(acme):
    row = asked(
        acme, explanation=f"\u202e{WHY}\x00\r\n\tIt is urgent.", ticket="#1\u200b2"
    )

    assert row.explanation == f"{WHY}\n\tIt is urgent."
    assert row.ticket == "#12"


def test_nobody_asks_without_end(acme):
    for _ in range(grants.WAITING):
        asked(acme)

    with pytest.raises(ConflictError):
        asked(acme)


def test_nothing_is_open_before_an_answer(acme):
    asked(acme)

    with pytest.raises(ContentClosedError):
        read(acme)


# -- answering -------------------------------------------------------------------------


def test_a_second_person_opens_it_for_the_time_that_was_asked_for(acme):
    row = opened(acme)

    assert row.expires_at - row.approved_at == timedelta(minutes=30)
    assert row.stand(timezone.now()) is AccessGrant.Stand.OPEN
    assert trail(acme) == [("grant_requested", "done"), ("grant_approved", "done")]


@pytest.mark.parametrize("verb", ["approve", "refuse"])
def test_who_asked_does_not_answer(acme, verb):
    row = asked(acme)

    with pytest.raises(SamePersonError):
        answered(acme, row, verb, actor=ASKER)
    with pytest.raises(SamePersonError):  # nor through a place in the organisation
        answered(acme, row, verb, actor=Actor.user(ASKER.id, "sam@acme.example"))


@pytest.mark.parametrize(
    ("then", "now"),
    [(C.CUSTOMER, C.SECOND_PERSON), (C.SECOND_PERSON, C.CUSTOMER)],
)
def test_where_the_customer_consents_support_does_not(acme, owner, then, now):
    row = asked(acme, consent=then)

    with pytest.raises(NotAllowedError):
        answered(acme, row, consent=now)

    assert answered(acme, row, actor=owner, consent=now).approved_at is not None


def test_an_owner_does_not_stand_in_for_the_second_person(acme, owner):
    row = asked(acme)

    with pytest.raises(NotAllowedError):
        answered(acme, row, actor=owner)

    assert answered(acme, row, "refuse", actor=owner).refused_at is not None


@pytest.mark.parametrize("first", ["approve", "refuse"])
def test_it_is_answered_once(acme, first):
    row = asked(acme)
    answered(acme, row, first)

    for verb in ("approve", "refuse"):
        with pytest.raises(GrantStandsError):
            answered(acme, row, verb)


def test_a_request_lapses_in_a_day(acme, monkeypatch):
    row = asked(acme)
    later(monkeypatch, seconds=LAPSES.total_seconds())

    with pytest.raises(GrantStandsError, match="Not answered in a day"):
        answered(acme, row)


def test_another_organisation_has_no_such_grant(acme, globex):
    row = asked(acme)

    with pytest.raises(Exception, match="no such grant"):
        answered(globex, row)


# -- reading ---------------------------------------------------------------------------


def test_each_look_is_on_record_before_the_scope_exists(acme):
    row = opened(acme)
    message = uuid.uuid4()

    scope = read(acme, ids=[message])

    assert scope.kind is ScopeKind.STAFF
    assert scope.grant.grant_id == row.pk
    assert trail(acme)[-1] == ("content_read", "done")
    told = details(acme)
    assert told["target"] == f"thread:{THREAD}"
    assert told["actor_id"] == str(ASKER.id)
    assert told["details"] == {
        "grant": str(row.pk),
        "fields": ["messages.text"],
        "ids": [str(message)],
    }


@pytest.mark.parametrize(
    ("reach", "reach_id", "what", "reaches"),
    [
        (R.THREAD, THREAD, {}, True),
        (R.THREAD, THREAD, {"execution_id": EXECUTION}, True),
        (R.THREAD, uuid.uuid4(), {}, False),
        (R.EXECUTION, EXECUTION, {"execution_id": EXECUTION}, True),
        (R.EXECUTION, EXECUTION, {"execution_id": uuid.uuid4()}, False),
        (R.EXECUTION, EXECUTION, {}, False),
        (R.ORGANISATION, None, {}, True),
        (R.ORGANISATION, None, {"execution_id": uuid.uuid4()}, True),
    ],
)
def test_a_grant_reaches_what_it_names(acme, reach, reach_id, what, reaches):
    opened(acme, reach=reach, reach_id=reach_id)
    wanted = subject(acme, **what)

    if not reaches:
        with pytest.raises(ContentClosedError):
            read(acme, wanted)
        return
    with read(acme, wanted):
        check_subject(wanted)
        if reach != R.ORGANISATION:
            with pytest.raises(ContentClosedError):
                check_subject(Subject(organisation_id=acme.pk, thread_id=uuid.uuid4()))


def test_the_scope_of_one_organisation_reads_nothing_of_another(acme, globex):
    opened(acme, reach=R.ORGANISATION, reach_id=None)

    with pytest.raises(ContentClosedError):
        read(globex)
    with read(acme), pytest.raises(ContentClosedError):
        check_subject(subject(globex))


def test_a_grant_is_one_persons(acme):
    opened(acme)

    with pytest.raises(ContentClosedError):
        read(acme, actor=LEAD)


def test_it_ends_by_the_clock(acme, monkeypatch):
    opened(acme)
    scope = read(acme)
    later(monkeypatch, minutes=30)

    with pytest.raises(ContentClosedError):
        read(acme)
    with scope, pytest.raises(ContentClosedError):
        check_subject(subject(acme))


# -- ending and reviewing ----------------------------------------------------------------


@pytest.mark.parametrize("who", ["asker", "lead", "owner"])
def test_asker_approver_and_owner_end_it_early(acme, owner, who):
    row = opened(acme)

    answered(
        acme, row, "end", actor={"asker": ASKER, "lead": LEAD, "owner": owner}[who]
    )

    assert trail(acme)[-1] == ("grant_ended", "done")
    with pytest.raises(ContentClosedError):
        read(acme)
    with pytest.raises(GrantStandsError):
        answered(acme, row, "end", actor=LEAD)


def test_only_who_asked_withdraws_a_request(acme):
    row = asked(acme)

    with pytest.raises(NotAllowedError):
        answered(acme, row, "end")

    done = answered(acme, row, "end", actor=ASKER)
    assert done.stand(timezone.now()) is AccessGrant.Stand.WITHDRAWN


def test_another_person_reviews_what_is_over_once_and_says_what_they_saw(acme):
    row = opened(acme)
    with pytest.raises(GrantStandsError):
        answered(acme, row, "review", note="All is well.")
    answered(acme, row, "end", actor=ASKER)

    with pytest.raises(SamePersonError):
        answered(acme, row, "review", actor=ASKER, note="All is well.")
    with pytest.raises(InvalidInputError):
        answered(acme, row, "review", note=" ok  ")
    with pytest.raises(InvalidInputError):
        answered(acme, row, "review", note="\u200b" * 10)
    reviewed = answered(acme, row, "review", note="It fits \x00the ticket.")

    assert reviewed.review == "It fits the ticket."
    assert trail(acme)[-1] == ("grant_reviewed", "done")
    with pytest.raises(GrantStandsError):
        answered(acme, row, "review", note="It fits the ticket.")


def test_a_refusal_goes_on_record_by_itself(acme):
    error = ContentClosedError()
    unit(
        acme,
        lambda: grants.record_refusal(
            Act.CONTENT_READ,
            error,
            actor=ASKER,
            organisation_id=acme.pk,
            target=f"thread:{THREAD}",
        ),
    )

    assert trail(acme) == [("content_read", "refused")]
    assert details(acme)["details"] == {"code": "content_closed"}
