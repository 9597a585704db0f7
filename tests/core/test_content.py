"""Content leaves the database for members, and for staff under a live grant only: by the ORM and compiled."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.db.models import F, TextField
from django.db.models.functions import Cast, Left, Length
from django.utils import timezone

from apps.accounts.models import Organisation, User
from apps.audits.models import AccessGrant
from apps.chat.models import Message, Thread
from apps.core import sql
from apps.core.content import (
    ContentClosedError,
    Size,
    describing,
    masked,
    quotes_masked,
)
from apps.core.tenancy import NoScopeError, Opening, staff, tenant
from apps.executions.models import Approval, Content, Event, Step
from tests.factories import TESTS
from tests.sources import product
from tests.staff import SECRET, told

pytestmark = pytest.mark.security

CONTENT = [
    (Content, "input"),
    (Content, "output"),
    (Content, "partial"),
    (Content, "error_detail"),
    (Event, "payload"),
    (Step, "result"),
    (Approval, "reason"),
    (Approval, "arguments"),
    (Approval, "comment"),
    (Message, "text"),
    (Thread, "title"),
]


def opening(organisation_id: uuid.UUID, **values: object) -> Opening:
    given: dict[str, object] = {
        "grant_id": uuid.uuid4(),
        "organisation_id": organisation_id,
        "reach": "organisation",
        "reach_id": None,
        "until": timezone.now() + timedelta(minutes=5),
    }
    return Opening(**(given | values))  # type: ignore[arg-type]


def granted(place: Organisation, person: User) -> uuid.UUID:
    """A grant that is open: PostgreSQL looks at the row itself."""
    now = timezone.now()
    with TESTS:
        row = AccessGrant.objects.create(
            organisation_id=place.pk,
            staff_id=person.pk,
            staff_label=person.email,
            reach="organisation",
            reason="incident",
            explanation="It has to be looked at.",
            ticket="#1",
            consent="second_person",
            requested_at=now,
            decided_by=uuid.uuid4(),
            approved_at=now,
            expires_at=now + timedelta(minutes=5),
        )
    return row.pk


@pytest.mark.parametrize(("model", "name"), CONTENT)
def test_every_column_that_holds_words_is_guarded(model, name):
    assert hasattr(model._meta.get_field(name), "check_open")


@pytest.mark.parametrize("column", ["input", "output"])
def test_staff_cannot_read_a_column_of_content(alice_principal, support, column):
    told(alice_principal)

    with staff(support.pk):
        rows = Content.objects.all()
        with pytest.raises(ContentClosedError):
            list(rows.values_list(column))
        with pytest.raises(ContentClosedError):
            list(rows)


@pytest.mark.parametrize(
    "work",
    [
        lambda rows: rows.values_list(Left("output", 5)),
        lambda rows: rows.values_list(Cast("output", TextField())),
        lambda rows: rows.values_list(Length("output")),
        lambda rows: rows.values_list("input__text"),
        lambda rows: rows.filter(output__startswith="z").values_list("pk"),
        lambda rows: rows.order_by(F("output").asc()).values_list("pk"),
    ],
    ids=["function", "cast", "length", "key", "search", "order"],
)
def test_no_statement_asks_about_it_in_a_roundabout_way(alice_principal, support, work):
    told(alice_principal)

    with staff(support.pk), pytest.raises(ContentClosedError):
        list(work(Content.objects.all()))


def test_a_superuser_is_staff_like_all_others(alice_principal, support):
    told(alice_principal)
    support.is_superuser = True
    support.save()

    with staff(support.pk), pytest.raises(ContentClosedError):
        list(Message.objects.values_list("text"))


def test_compiled_statements_are_guarded_too(alice_principal, support):
    standing = told(alice_principal)
    where = {"organisation_id": standing.organisation_id}

    with staff(support.pk), pytest.raises(ContentClosedError):
        sql.select(Message, ("text",), where=where)
    with tenant(standing.organisation_id):
        assert (SECRET,) in sql.select(Message, ("text",), where=where)


def test_sizes_and_ids_are_structure(alice_principal, support):
    standing = told(alice_principal)

    with staff(support.pk):
        rows = Thread.objects.filter(pk=standing.stream_id)
        assert list(rows.values_list("pk")) == [(standing.stream_id,)]
        assert list(rows.values_list(Size("title"))) == [(len(SECRET),)]
        assert rows.count() == 1
        assert rows.exists()


def test_a_deferred_column_does_not_come_later(alice_principal, support):
    standing = told(alice_principal)

    with staff(support.pk):
        row = Thread.objects.defer("title").get(pk=standing.stream_id)
        with pytest.raises(ContentClosedError):
            row.title  # noqa: B018 - it is read here


def test_a_grant_opens_one_organisation_until_its_end(
    alice_principal, mallory_principal, support, acme
):
    told(alice_principal)
    told(mallory_principal)
    past = timezone.now() - timedelta(seconds=1)
    given = granted(acme, support)

    with staff(support.pk, grant=opening(acme.pk, grant_id=given)):
        rows = list(Message.objects.values_list("organisation_id", "text"))
    assert set(rows) == {(acme.pk, SECRET)}
    late = staff(support.pk, grant=opening(acme.pk, until=past))
    with late, pytest.raises(ContentClosedError, match="ended"):
        list(Message.objects.values_list("text"))


def test_rows_that_were_asked_for_in_a_scope_cannot_be_read_outside_any(
    alice_principal, acme
):
    told(alice_principal)
    with tenant(acme.pk):
        rows = Message.objects.values_list("text")

    with pytest.raises(NoScopeError):
        list(rows)


def test_a_mask_tells_the_size_only():
    assert masked(142) == "•••• (142 chars)"
    assert masked(1) == "•••• (1 char)"
    assert masked(12345) == "•••• (12,345 chars)"


@pytest.mark.parametrize(
    ("sentence", "shown"),
    [
        ("There is no agent 'analyst'.", "There is no agent 'analyst'."),
        ("There is no agent 'my secret plan'.", "There is no agent •••• (14 chars)."),
        (
            "There is no agent 'say \"no\\' and keep my secret'.",
            "There is no agent •••• (28 chars).",
        ),
        ("The path 'my secret\\' is unknown.", "The path •••• (10 chars) is unknown."),
        ('"a b" and “c d”', "•••• (3 chars) and •••• (3 chars)"),
        ("It's not the company's.", "It's not the company's."),
    ],
)
def test_what_a_sentence_quotes_of_people_is_masked(sentence, shown):
    assert quotes_masked(sentence) == shown


def test_describing_ends_with_its_block(alice_principal, support):
    told(alice_principal)

    with staff(support.pk):
        with describing():
            assert list(Thread.objects.values_list("title", flat=True)) == [SECRET]
        with pytest.raises(ContentClosedError):
            list(Thread.objects.values_list("title", flat=True))


def _callers(name: str) -> set[str]:
    return {
        source.module
        for source in product()
        for call in source.calls()
        if name in {getattr(call.func, "id", ""), getattr(call.func, "attr", "")}
    }


def test_few_modules_describe_content_and_one_opens_it():
    assert _callers("describing") - {"apps.core.content"} == {
        "apps.executions.redaction",
        "apps.ops.ledgers",
    }
    assert _callers("Opening") == {"apps.audits.grants"}


# Doors of staff that enter an organisation as a member would; `staff` scopes see no content there.
ENTERING = {
    "apps.executions.admin",  # stops an execution
    "apps.ops.content",  # sizes and ids of messages
    "apps.ops.desk",  # writes grants and their trail
}


def test_few_pages_of_staff_enter_an_organisation():
    found = {
        module
        for module in _callers("tenant")
        if ".admin" in module
        or (module.startswith("apps.ops.") and ".demo" not in module)
    }

    assert found - {"apps.ops.smoke"} <= ENTERING | _others(found)


def _others(found: set[str]) -> set[str]:
    """Account pages write what they show; none of their tables holds content."""
    return {module for module in found if module.startswith("apps.accounts.")}
