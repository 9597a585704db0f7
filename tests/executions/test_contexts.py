"""UserExecutionContext: real ids, proved owners, immutable, nothing of anybody else's."""

from __future__ import annotations

import copy
import dataclasses
import uuid
from dataclasses import dataclass, field
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.executions.contexts import (
    ALLOWED,
    DEEP_STATE_FIELDS,
    MAX_DEPTH,
    PLACEHOLDER_PREFIXES,
    PLACEHOLDERS,
    RESERVED,
    UserExecutionContext,
    checked_context,
    is_placeholder,
    real_id,
    refuse_deep_state,
)
from apps.executions.errors import ContextIsolationError, InvalidContextError

pytestmark = [pytest.mark.mission_critical, pytest.mark.security]


@dataclass(frozen=True)
class Somebody:
    user_id: object = field(default_factory=uuid.uuid4)
    organisation_id: object = field(default_factory=uuid.uuid4)
    tier: str = "mid"


def made(who: Somebody | None = None, **options: object) -> UserExecutionContext:
    given = {"thread_id": uuid.uuid4(), "run_id": uuid.uuid4()} | options
    return UserExecutionContext.for_principal(who or Somebody(), **given)


def test_the_factory_takes_its_ids_from_the_principal() -> None:
    who, thread, run = Somebody(), uuid.uuid4(), uuid.uuid4()

    context = made(who, thread_id=str(thread), run_id=run)

    assert (context.user_id, context.organisation_id) == (
        who.user_id,
        who.organisation_id,
    )
    assert (context.thread_id, context.run_id, context.depth) == (thread, run, 0)


def test_a_context_cannot_be_made_by_hand() -> None:
    with pytest.raises(InvalidContextError, match="for_principal"):
        UserExecutionContext(
            user_id=uuid.uuid4(), organisation_id=uuid.uuid4(), thread_id=uuid.uuid4(),
            run_id=uuid.uuid4(), tier="mid",
        )  # fmt: skip


@pytest.mark.parametrize("placeholder", sorted(PLACEHOLDERS))
@pytest.mark.parametrize("name", ["thread_id", "run_id"])
def test_placeholders_are_refused_by_name(name: str, placeholder: str) -> None:
    with pytest.raises(InvalidContextError, match=name) as caught:
        made(**{name: placeholder.upper()})

    assert "placeholder" in str(caught.value)


@pytest.mark.parametrize("prefix", PLACEHOLDER_PREFIXES)
def test_ids_that_begin_like_placeholders_are_refused(prefix: str) -> None:
    with pytest.raises(InvalidContextError, match="placeholder"):
        real_id(f"{prefix}1", "run_id")


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "   ",
        0,
        1,
        1.5,
        b"",
        [],
        {},
        "user1",
        "not-a-uuid",
        UUID(int=0),
        str(UUID(int=0)),
    ],
    ids=repr,
)
def test_what_is_no_uuid_is_refused(value: object) -> None:
    with pytest.raises(InvalidContextError, match="run_id"):
        real_id(value, "run_id")


@pytest.mark.parametrize("name", ["user_id", "organisation_id"])
def test_a_principal_without_real_ids_is_refused(name: str) -> None:
    with pytest.raises(InvalidContextError, match=name):
        made(Somebody(**{name: "test"}))


def test_there_are_nineteen_placeholders_and_eleven_prefixes() -> None:
    assert (len(PLACEHOLDERS), len(PLACEHOLDER_PREFIXES), len(ALLOWED)) == (19, 11, 7)


@pytest.mark.parametrize("prefix", PLACEHOLDER_PREFIXES)
def test_a_long_id_may_begin_like_a_placeholder(prefix: str) -> None:
    text = prefix.ljust(20, "x")

    assert is_placeholder(text[:19].upper())
    assert not is_placeholder(text)


@pytest.mark.parametrize("name", sorted(ALLOWED))
def test_names_of_technical_accounts_are_no_placeholders(name: str) -> None:
    assert not is_placeholder(name)
    with pytest.raises(InvalidContextError, match="must be a UUID"):
        real_id(name, "user_id")


@given(st.text())
def test_any_text_is_either_a_real_uuid_or_refused(text: str) -> None:
    try:
        found = real_id(text, "run_id")
    except InvalidContextError:
        return
    assert found.int != 0


@pytest.mark.parametrize(
    "name", [f.name for f in dataclasses.fields(UserExecutionContext)]
)
def test_no_field_can_be_changed(name: str) -> None:
    context = made()

    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(context, name, uuid.uuid4())
    with pytest.raises(dataclasses.FrozenInstanceError):
        delattr(context, name)


@pytest.mark.parametrize(
    "name",
    [
        "user_id",
        "organisation_id",
        "thread_id",
        "run_id",
        "request_id",
        "parent_request_id",
    ],
)
@pytest.mark.parametrize("other", [UUID(int=7), "alice"], ids=["id", "text"])
def test_a_field_changed_by_force_is_found_out(name: str, other: object) -> None:
    context = made()
    context.verify()

    object.__setattr__(context, name, other)

    with pytest.raises(ContextIsolationError):
        context.verify()


@pytest.mark.parametrize(
    ("name", "other"),
    [("tier", "platform"), ("depth", 3), ("fingerprint", "0" * 16)],
)
def test_nobody_lifts_a_context_to_another_tier_or_depth(
    name: str, other: object
) -> None:
    context = made()

    object.__setattr__(context, name, other)

    with pytest.raises(ContextIsolationError):
        context.verify()


def test_what_is_read_from_metadata_changes_nobody_elses_view() -> None:
    given = {"list": [1, 2], "nested": {"a": 1}}
    context = made(metadata=given)
    given["list"].append(3)

    context.metadata["nested"]["a"] = 666

    assert context.metadata == {"list": [1, 2], "nested": {"a": 1}}


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_metadata_may_not_pretend_to_be_a_field(name: str) -> None:
    with pytest.raises(InvalidContextError, match=name):
        made(metadata={name: "anything"})


@pytest.mark.parametrize(
    "hidden",
    [
        {"a": {"user_id": "someone else"}},
        {"a": [{"b": ({"user_id": str(uuid.UUID(int=7))},)}]},
        {"a": [[[{"user_id": 0}]]]},
    ],
    ids=["dict", "list", "deep"],
)
def test_metadata_may_not_carry_another_user(hidden: dict) -> None:
    with pytest.raises(ContextIsolationError):
        made(metadata=hidden)


def test_metadata_may_name_its_own_user() -> None:
    who = Somebody()

    assert made(who, metadata={"a": {"user_id": str(who.user_id)}}).metadata


def test_a_child_is_one_deeper_and_remembers_its_parent() -> None:
    parent = made(metadata={"k": [1]})

    child = parent.child("triage")

    assert (child.depth, child.parent_request_id) == (1, parent.request_id)
    assert (child.user_id, child.thread_id, child.run_id) == (
        parent.user_id, parent.thread_id, parent.run_id,
    )  # fmt: skip
    assert child.request_id != parent.request_id
    assert child.fingerprint != parent.fingerprint
    child.verify()


def test_children_nest_ten_deep_and_no_deeper() -> None:
    context = made()
    for n in range(MAX_DEPTH):
        context = context.child(f"step {n}")

    assert context.depth == MAX_DEPTH == 10
    with pytest.raises(InvalidContextError, match="10 deep"):
        context.child("one too many")


@pytest.mark.parametrize("operation", ["", "  "])
def test_a_child_says_what_it_is_for(operation: str) -> None:
    with pytest.raises(InvalidContextError, match="operation"):
        made().child(operation)


@pytest.mark.regression
@pytest.mark.parametrize("name", ["user_id", "organisation_id", "run_id", "tier"])
def test_a_context_cannot_be_turned_into_another_by_replacing_a_field(
    name: str,
) -> None:
    with pytest.raises(InvalidContextError, match="for_principal"):
        dataclasses.replace(made(), **{name: uuid.uuid4()}, fingerprint="")


def test_two_contexts_of_one_request_have_fingerprints_of_their_own() -> None:
    who, thread, run = Somebody(), uuid.uuid4(), uuid.uuid4()

    prints = {made(who, thread_id=thread, run_id=run).fingerprint for _ in range(50)}

    assert len(prints) == 50


def test_what_metadata_say_is_not_shown() -> None:
    context = made(metadata={"k": "private words"})

    assert "private words" not in repr(context)
    assert "private words" not in str(context.audit_trail())


def test_a_copy_is_as_good_and_as_closed() -> None:
    copied = copy.copy(made())

    copied.verify()
    with pytest.raises(dataclasses.FrozenInstanceError):
        copied.tier = "platform"


def test_a_log_line_names_the_request_and_nothing_private() -> None:
    context = made(metadata={"plan": "secret"}).child("triage")

    told = context.audit_trail()

    assert context.correlation_id == ":".join(
        str(each)[:8]
        for each in (
            context.user_id, context.thread_id, context.run_id, context.request_id,
        )
    )  # fmt: skip
    assert told["correlation_id"] == context.correlation_id
    assert told["parent_request_id"] == str(context.parent_request_id)
    assert (told["depth"], told["operation"]) == (1, "triage")
    assert told["metadata_keys"] == ["plan"]


class DeepAgentState:
    """As its users had it, whatever module it came from."""

    user_id, organisation_id, tier = uuid.uuid4(), uuid.uuid4(), "mid"


class Derived(DeepAgentState):
    """A class made from it is no better."""


DUMP = {"user_request": "hello", "triage_result": None, "step_count": 0}


@pytest.mark.parametrize(
    "state",
    [DeepAgentState(), Derived(), DUMP, dict.fromkeys(DEEP_STATE_FIELDS)],
    ids=["itself", "derived", "dump", "whole dump"],
)
def test_a_deep_agent_state_is_refused_and_the_reason_told(state: object) -> None:
    attempts = [
        lambda: refuse_deep_state(state),
        lambda: checked_context(state),
        lambda: made(metadata={"state": state}),
        lambda: made(metadata={"states": [{"deep": (state,)}]}),
    ]
    if isinstance(state, DeepAgentState):
        attempts.append(lambda: made(state))

    for attempt in attempts:
        with pytest.raises(InvalidContextError, match="shared and mutable"):
            attempt()


@pytest.mark.parametrize("field", sorted(DEEP_STATE_FIELDS))
def test_one_field_of_that_name_is_nobodys_state(field: str) -> None:
    assert made(metadata={field: 1}).metadata == {field: 1}


@pytest.mark.parametrize("nothing", [None, "alice", {}, UUID(int=7)], ids=repr)
def test_a_door_takes_a_context_and_nothing_else(nothing: object) -> None:
    with pytest.raises(TypeError, match="UserExecutionContext"):
        checked_context(nothing)


def test_a_door_takes_no_altered_context() -> None:
    context = made()
    assert checked_context(context) is context

    object.__setattr__(context, "user_id", uuid.uuid4())

    with pytest.raises(ContextIsolationError):
        checked_context(context)
