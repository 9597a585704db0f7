"""Asks managers and access functions directly, below every door: in a stranger's scope and in none."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.db import Error, models
from django.db.models import QuerySet

from apps.audits.isolation.judging import (
    Answer,
    Check,
    Judged,
    Outcome,
    outcome_of_absence,
    outcome_of_control,
    outcome_of_stranger,
)
from apps.core.errors import NetraError
from apps.core.surfaces import Call, Canary, Kind, Rows, Somebody
from apps.core.tenancy import UnscopedError, tenant

FOUND = 200


def try_rows(surface: Rows, mine: Canary, other: Canary) -> Iterator[Judged]:
    """A model: none of the other's rows in my scope, and no rows at all without a scope."""
    model = apps.get_model(surface.label)
    if surface.shared:
        return
    with tenant(mine.organisation_id):
        foreign = _count_of(model, other)
        listed = rows_of(model).exclude(**_owner(model, mine)).count()
    seen = foreign + listed
    with tenant(other.organisation_id):
        theirs = _count_of(model, other)
    if theirs:  # where the other planted nothing, nothing foreign could be seen
        yield _told(
            surface,
            Check.CONTROL,
            Outcome.HELD,
            f"{surface.label} as {other.slug}",
            "its own rows",
            f"{theirs} rows",
        )
        yield _told(
            surface,
            Check.FOREIGN,
            Outcome.BREACHED if seen else Outcome.HELD,
            f"{surface.label} as {mine.slug}",
            "0 rows",
            f"{seen} rows",
        )
    yield _filtered(surface, model, mine)
    yield _unscoped(surface, model)


def _count_of(model: type[models.Model], canary: Canary) -> int:
    return int(rows_of(model).filter(**_owner(model, canary)).count())


def _owner(model: type[models.Model], canary: Canary) -> dict[str, Any]:
    return {organisation_column(model): canary.organisation_id}


def rows_of(model: type[models.Model]) -> models.Manager[Any]:
    """The manager that Django itself would use."""
    manager = model._meta.default_manager
    if manager is None:
        raise LookupError(f"{model._meta.label} has no manager")
    return manager


def organisation_column(model: type[models.Model]) -> str:
    """The column that says whose a row is. Raises FieldDoesNotExist where there is none."""
    for name in ("organisation", "organisation_id"):
        try:
            field = model._meta.get_field(name)
        except FieldDoesNotExist:
            continue
        return str(getattr(field, "attname", name))
    raise FieldDoesNotExist(f"{model._meta.label} names no organisation")


def _filtered(surface: Rows, model: type[models.Model], mine: Canary) -> Judged:
    """Every manager of the model names the organisation in what it asks."""
    with tenant(mine.organisation_id):
        open_managers = [
            manager.name
            for manager in [*model._meta.managers, model._meta.base_manager]
            if mine.organisation_id.hex not in _asked(manager.all())
        ]
    return _told(
        surface,
        Check.FILTERED,
        Outcome.BREACHED if open_managers else Outcome.HELD,
        f"the managers of {surface.label}",
        "each filters by the organisation",
        f"without a filter: {', '.join(open_managers)}"
        if open_managers
        else "each does",
    )


def _asked(rows: QuerySet[Any]) -> str:
    statement, values = rows.query.sql_with_params()
    return (statement + " ".join(map(str, values))).replace("-", "")


def _unscoped(surface: Rows, model: type[models.Model]) -> Judged:
    """Called outside any scope."""
    try:
        found = rows_of(model).exists()
    except UnscopedError:
        outcome, got = Outcome.HELD, "refused"
    except Error as error:
        outcome, got = Outcome.INCONCLUSIVE, f"{type(error).__name__}"
    else:
        outcome, got = Outcome.BREACHED, f"answered: {found}"
    return _told(
        surface,
        Check.UNSCOPED,
        outcome,
        f"{surface.label} without a scope",
        "refused",
        got,
    )


def _told(
    surface: Rows, check: Check, outcome: Outcome, request: str, expected: str, got: str
) -> Judged:
    return Judged(
        kind=Kind.MODEL,
        surface=surface.name,
        check=check,
        outcome=outcome,
        request=request,
        expected=expected,
        got=got,
    )


def answer_of(call: Call, who: Somebody, ids: Mapping[str, str]) -> Answer:
    """What a function gives to somebody, in the scope that its door would have opened."""
    try:
        with tenant(who.organisation_id, who.user_id):
            return Answer(FOUND, str(call.run(who, ids)))
    except NetraError as error:
        return Answer(error.status, f"{error.code}: {error.message}")
    except Exception as error:  # noqa: BLE001 - whatever it was, nothing is proved by it
        return Answer(0, "", f"{type(error).__name__}: {error}")


def try_call(
    call: Call, mine: Canary, other: Canary, absent: Mapping[str, str]
) -> Iterator[Judged]:
    """A function that takes an id: mine finds it, a stranger and a colleague find nothing."""

    def told(
        check: Check,
        request: str,
        expected: str,
        answer: Answer,
        judged: tuple[Outcome, str],
    ) -> Judged:
        return Judged(
            kind=call.kind, surface=call.name, check=check, outcome=judged[0],
            request=request, expected=expected, got=judged[1], digest=answer.digest,
        )  # fmt: skip

    control = answer_of(call, other.owner, other.ids)
    blind = call.shows and other.marker not in control.text
    judged = outcome_of_control(control, FOUND)
    if blind and judged[0] is Outcome.HELD:
        judged = Outcome.INCONCLUSIVE, "its own marker was not in it"
    yield told(Check.CONTROL, f"{call.name} by its owner", "its own", control, judged)
    foreign = answer_of(call, mine.owner, other.ids)
    yield told(
        Check.FOREIGN, f"{call.name} by {mine.slug}", "nothing of another's", foreign,
        outcome_of_stranger(foreign, [other.marker]),
    )  # fmt: skip
    if call.needs:
        nothing = answer_of(call, mine.owner, absent)
        ids = [*other.ids.values(), *absent.values()]
        yield told(
            Check.ABSENT, f"{call.name} of nothing", "the same answer", nothing,
            outcome_of_absence(foreign, nothing, ids),
        )  # fmt: skip
    if call.personal:
        colleague = answer_of(call, other.member, other.ids)
        yield told(
            Check.COLLEAGUE, f"{call.name} by a colleague", "nothing of the owner's", colleague,
            outcome_of_stranger(colleague, [other.marker]),
        )  # fmt: skip


def fingerprint(canary: Canary, models_asked: list[type[models.Model]]) -> str:
    """One digest of all that a canary holds: a stranger's attempt must leave it as it was."""
    digest = hashlib.sha256()
    with tenant(canary.organisation_id):
        for model in models_asked:
            rows = rows_of(model).filter(**_owner(model, canary)).order_by("pk")
            for row in rows.values_list():
                digest.update(repr(row).encode())
    return digest.hexdigest()


Watch = Callable[[int, int], None]
