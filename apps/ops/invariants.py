"""What must hold of all rows at any moment: I1 to I10, and I12 as far as rows can tell.

Each check is one statement for each stretch, so that it sees one moment even while work goes on.
What only clients and processes can tell is for the fault suite.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from datetime import datetime
from typing import Any

from django.apps import apps
from django.db.models import (
    Count,
    Exists,
    F,
    ForeignKey,
    Max,
    Min,
    Model,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
)
from django.db.models.functions import Coalesce

from apps.chat.models import Delivery, IdempotencyKey, Message, Thread
from apps.core.clock import clock
from apps.core.tenancy import TenantModel, system
from apps.executions.models import Event, Execution, Stream
from apps.ops.histories import EXECUTIONS
from apps.ops.spans import (
    CHECKS,
    Check,
    Found,
    Look,
    Part,
    Span,
    Subject,
    Violation,
    check,
)

SCOPE = system("invariants: what must hold in every organisation")


def _of_young_executions(since: datetime) -> Q:
    young = Execution.objects.filter(created_at__gte=since)
    return Q(pk__in=young.order_by().values("stream_id"))


STREAMS = Subject(Stream, since=_of_young_executions)
EVENTS = Subject(Event, "event_uid", since=lambda since: Q(at__gte=since))
THREADS = Subject(Thread, since=lambda since: Q(updated_at__gte=since))
KEYS = Subject(IdempotencyKey, since=lambda since: Q(created_at__gte=since))
DELIVERIES = Subject(Delivery, since=lambda since: Q(opened_at__gte=since))
_subjects = {each.model: each for each in (STREAMS, EXECUTIONS, THREADS)}


def violations(
    *,
    part: Part | None = None,
    now: datetime | None = None,
    codes: Collection[str] = (),
    watch: Callable[[str], None] = lambda _: None,
) -> Iterator[Violation]:
    """Everything that does not hold; `watch` is told after each stretch of which table it was."""
    part, now = part or Part(), now or clock.now()
    checks = [*CHECKS, *_foreign_rows()]
    wanted = [c for c in checks if not codes or c.codes & set(codes)]
    for subject in dict.fromkeys(each.subject for each in wanted):
        looks = [each.look for each in wanted if each.subject is subject]
        rest: Span | None = Span(subject=subject, part=part, now=now)
        while rest is not None:
            with SCOPE:  # never open while the caller has the turn
                span = rest.bounded()
                found = [violation for look in looks for violation in look(span)]
            yield from (each for each in found if not codes or each.code in codes)
            watch(str(subject.model._meta.verbose_name_plural))
            rest = span.following()


# -- the log of a stream -----------------------------------------------------------------


@check(STREAMS, "I1")
def _gapless_logs(span: Span) -> Found:
    rows = (
        span.rows.values("pk", "first_kept", "last")
        .annotate(n=Count("events"), low=Min("events__seq"), high=Max("events__seq"))
        .filter(
            ~Q(n=F("last") - F("first_kept") + 1)
            | ~Q(n=0) & (~Q(low=F("first_kept")) | ~Q(high=F("last")))
        )
    )
    for row in rows:
        says = f"has {row['n']} events from {row['low']} to {row['high']}"
        wanted = f"{row['first_kept']} to {row['last']}"
        yield Violation("I1", "stream", row["pk"], f"{says}, not {wanted}")


@check(EVENTS, "I2")
def _unique_events(span: Span) -> Found:
    uids = span.rows.values("event_uid").annotate(n=Count("pk")).filter(n__gt=1)
    for row in uids:
        yield Violation("I2", "event", row["event_uid"], f"is there {row['n']} times")


@check(DELIVERIES, "I3")
def _deliveries_within_the_log(span: Span) -> Found:
    last = Stream.objects.filter(pk=OuterRef("thread_id")).values("last")
    beyond = Q(sent_to__gt=F("last")) | Q(began_after__gt=F("last"))
    rows = span.rows.annotate(last=Subquery(last[:1]))
    for row in rows.filter(beyond | Q(acknowledged_to__gt=F("sent_to"))):
        says = f"began after {row.began_after}, was sent up to {row.sent_to}"
        end = f"and acknowledged {row.acknowledged_to} of {row.last} events"
        yield Violation("I3", "delivery", row.pk, f"{says} {end}")


# -- questions ---------------------------------------------------------------------------


@check(THREADS, "I9")
def _each_question_has_its_execution(span: Span) -> Found:
    asked = span.of(Message, "thread_id").filter(role=Message.Role.USER)
    own = Execution.objects.filter(
        pk=OuterRef("execution_id"),
        stream_id=OuterRef("thread_id"),
        organisation_id=OuterRef("organisation_id"),
    )
    for pk in asked.filter(~Exists(own)).values_list("pk", flat=True):
        yield Violation("I9", "message", pk, "has no execution in its thread")
    runs = (
        Execution.objects.filter(stream_id=OuterRef("pk"), retry_of=None)
        .order_by()
        .values("stream_id")
        .annotate(n=Count("pk"))
        .values("n")
    )
    rows = (
        span.rows.values("pk")
        .annotate(
            asked=Count("messages", filter=Q(messages__role=Message.Role.USER)),
            answered_for=Count(
                "messages__execution_id",
                filter=Q(messages__role=Message.Role.USER),
                distinct=True,
            ),
            ran=Coalesce(Subquery(runs), 0),
        )
        .filter(~Q(asked=F("ran")) | ~Q(asked=F("answered_for")))
    )
    for row in rows:
        says = f"has {row['asked']} questions for {row['answered_for']} executions of {row['ran']}"
        yield Violation("I9", "thread", row["pk"], says)


@check(KEYS, "I9")
def _kept_answers_are_true(span: Span) -> Found:
    """Keys first, then what they name: rows come before their key, and only threads go."""
    kept = list(span.rows.values_list("pk", "organisation_id", "answer"))
    ran = _present(Execution.objects, [answer["execution_id"] for _, _, answer in kept])
    said = _present(Message.objects, [answer["message_id"] for _, _, answer in kept])
    there = _present(Thread.objects, [answer["thread_id"] for _, _, answer in kept])
    for pk, organisation_id, answer in kept:
        lost = ran.get(answer["execution_id"]) != organisation_id
        if answer["thread_id"] in there:
            lost |= said.get(answer["message_id"]) != organisation_id
        if lost:
            says = f"names execution {answer['execution_id']}, which is not so"
            yield Violation("I9", "idempotency key", pk, says)


def _present(rows: Any, ids: list[str]) -> dict[str, object]:
    """Of `ids` those that are there, each with its organisation."""
    found: dict[str, object] = {}
    for n in range(0, len(ids), 500):
        some = rows.filter(pk__in=ids[n : n + 500]).order_by()
        found |= {str(pk): org for pk, org in some.values_list("pk", "organisation_id")}
    return found


# -- organisations -----------------------------------------------------------------------


def _foreign_rows() -> Iterator[Check]:
    """For every reference between tenants' tables, those that will be made included."""
    for model in apps.get_models():
        if not issubclass(model, TenantModel):
            continue
        for field in model._meta.concrete_fields:
            above = field.related_model
            if (
                isinstance(field, ForeignKey)
                and isinstance(above, type)
                and issubclass(above, TenantModel)
            ):
                subject = _subjects.setdefault(above, Subject(above))
                yield Check(
                    subject, frozenset({"I12"}), _same_organisation(model, field.name)
                )


def _same_organisation(model: type[Model], name: str) -> Look:
    kind = str(model._meta.verbose_name)

    def look(span: Span) -> Found:
        rows: QuerySet[Any] = span.of(model, f"{name}_id")
        foreign = rows.exclude(organisation_id=F(f"{name}__organisation_id"))
        for pk in foreign.values_list("pk", flat=True):
            yield Violation(
                "I12", kind, pk, f"is another organisation's than its {name}"
            )

    return look
