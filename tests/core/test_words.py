"""Errors, actors, log lines and surfaces: the small words that all apps share."""

from __future__ import annotations

import json
import logging
import uuid

import pytest

from apps.core import errors, surfaces
from apps.core.actors import Actor, ActorKind
from apps.core.logs import JsonFormatter, QuietSyncIterators
from apps.core.tenancy import topic

KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.NetraError)
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_explains_itself(kind: type[errors.NetraError]) -> None:
    error = kind()

    assert error.message == str(error) != ""
    assert error.fix.endswith(".")
    assert 400 <= error.status < 600
    assert error.problems == []


def test_no_two_errors_share_a_code() -> None:
    codes = [kind.code for kind in KINDS]

    assert len(codes) == len(set(codes))


def test_an_error_about_a_field_names_field_problem_and_fix() -> None:
    error = errors.InvalidInputError(
        "It is blank.", field="text", fix="Write something."
    )

    assert error.problems == [
        errors.FieldProblem("text", "It is blank.", "Write something.")
    ]


def test_an_errors_values_are_its_own() -> None:
    values = {"limit": 1}
    error = errors.RateLimitedError(values=values, retry_after=3)
    values["limit"] = 2

    assert error.values == {"limit": 1}
    assert error.retry_after == 3


def test_actors_say_in_which_capacity_they_act() -> None:
    someone = uuid.uuid4()

    assert Actor.user(someone, "a@b.example").kind is ActorKind.USER
    assert Actor.staff(someone, "a@b.example").kind is ActorKind.STAFF
    assert Actor.system("sweeper") == Actor(ActorKind.SYSTEM, None, "sweeper")


def line(**extra: object) -> dict[str, object]:
    record = logging.LogRecord(
        "apps.x", logging.WARNING, __file__, 1, "said %s", ("it",), None
    )
    vars(record).update(extra)
    return json.loads(JsonFormatter().format(record))


def test_a_log_line_is_one_json_object_with_the_callers_extras() -> None:
    written = line(action="execution.moved", execution=uuid.UUID(int=1))

    assert written["message"] == "said it"
    assert (written["level"], written["logger"]) == ("WARNING", "apps.x")
    assert written["action"] == "execution.moved"
    assert written["execution"] == str(uuid.UUID(int=1))
    assert "args" not in written


def test_a_log_line_carries_its_trace() -> None:
    error = ValueError("on purpose")

    written = line(exc_info=(ValueError, error, None))

    assert "ValueError: on purpose" in str(written["trace"])


def test_only_the_remark_about_iterators_is_dropped() -> None:
    quiet = QuietSyncIterators()

    def passes(message: str) -> bool:
        return quiet.filter(logging.LogRecord("x", 30, "", 1, message, (), None))

    assert not passes(
        "StreamingHttpResponse must consume synchronous iterators in order"
    )
    assert passes("anything else")


def test_a_topic_begins_with_its_organisation() -> None:
    acme, globex = uuid.uuid4(), uuid.uuid4()

    assert topic(acme, "stream", "x").startswith(acme.hex)
    assert topic(acme, "stream", "x") != topic(globex, "stream", "x")


def test_surfaces_are_registered_by_name(monkeypatch) -> None:
    monkeypatch.setattr(surfaces, "_surfaces", {})
    for name in ("b", "a"):
        surfaces.register(surfaces.Rows(label=name))

    with pytest.raises(surfaces.SurfaceError):
        surfaces.register(surfaces.Rows(label="a"))

    assert [surface.name for surface in surfaces.registered()] == ["a", "b"]
