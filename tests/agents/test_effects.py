"""Tools with effects over two attempts: `effect-turn` leaves a line for each time it really acted.

The first attempt is cut off by hand between its effect and the note of it; the second is a whole
turn by the runner of this process.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial

import pytest
from django.conf import settings
from django.utils import timezone

from apps.agents import calls, effects, scripted, turns
from apps.agents.calls import Effect, End, Unknown, call_key
from apps.agents.effects import StepLedger, Verdict, verdict
from apps.core.database import read, write
from apps.core.flags import Switch
from apps.executions import actions, approvals, endings, queries, steps
from apps.executions.approvals import Answer
from apps.executions.errors import LeaseLostError
from apps.executions.leased import LeasedExecution
from apps.executions.models import Approval, Event, Execution, Step
from apps.executions.runner import Runner
from apps.executions.standing import Standing
from apps.executions.steps import Known
from tests import factories
from tests.chat.questions import aside
from tests.factories import TESTS
from tests.invariants import violations
from tests.switches import off

pytestmark = [pytest.mark.mission_critical, pytest.mark.integration]
PATIENCE = 20.0
NOTES = settings.NETRA_VAR / "effects.log"


# -- what follows from what is known -------------------------------------------------------


def a(state: Step.State, approved: bool | None = None) -> Known:
    return Known(state=state, call_id="c", approved=approved, result=None)


X, V = Step.State, Verdict
RULES = [
    (None, False, (V.RUN, V.RUN, V.RUN)),
    (None, True, (V.DENY, V.DENY, V.DENY)),
    (a(X.PLANNED), False, (V.RUN, V.RUN, V.RUN)),
    (a(X.FAILED), False, (V.RUN, V.RUN, V.RUN)),
    (a(X.FAILED), True, (V.DENY, V.DENY, V.DENY)),
    (a(X.FINISHED), False, (V.KEEP, V.KEEP, V.KEEP)),
    (a(X.FINISHED), True, (V.KEEP, V.KEEP, V.KEEP)),
    (a(X.STARTED), False, (V.RUN, V.ASK, V.GIVE_UP)),
    (a(X.STARTED, approved=True), False, (V.RUN, V.RUN, V.RUN)),
    (a(X.STARTED, approved=True), True, (V.RUN, V.RUN, V.RUN)),
    (a(X.STARTED, approved=False), True, (V.DENY, V.DENY, V.DENY)),
]


@pytest.mark.parametrize(("known", "refused", "expected"), RULES, ids=str)
def test_what_is_known_and_declared_decides(known, refused, expected) -> None:
    policies = (Unknown.RETRY, Unknown.ASK, Unknown.FAIL)

    found = tuple(verdict(known, policy, refused=refused) for policy in policies)

    assert found == expected


# -- two attempts ----------------------------------------------------------------------------


@pytest.fixture
async def runner(committed, live_hub, monkeypatch) -> AsyncIterator[Runner]:
    """A runner of the test's own, not yet at work."""
    runner = Runner()
    monkeypatch.setattr("apps.executions.receivers.runner", runner)
    yield runner
    await runner.stop(drain=0.1)


def lines(standing: Standing) -> list[str]:
    """The idempotency keys under which this execution acted, once for each time."""
    if not NOTES.exists():
        return []
    own = f"{standing.id}:"
    return [line for line in NOTES.read_text().splitlines() if line.startswith(own)]


def effect_of(text: str) -> Effect:
    """The first call that effect-turn makes when it is asked `text`."""
    tool, arguments = scripted.note_tool(text), {"text": text}
    return Effect(
        key=f"{call_key(tool, arguments)}:1",
        tool=tool,
        arguments=arguments,
        after_unknown=Unknown(text),
    )


async def cut_off(who, text: str, *, noted: bool = False) -> Standing:
    """A first attempt that acted, and was lost before (or after) the ledger heard of it."""
    standing = await aside(
        factories.claimed, who, agent="effect-turn", input={"text": text}
    )
    lease, effect = LeasedExecution(standing), effect_of(text)
    listener = turns.TurnListener(lease)
    step = StepLedger(lease, listener).step(effect)
    assert await step.began() is None
    said = await scripted.note(
        NOTES, text=text, idempotency_key=f"{standing.id}:{effect.key}"
    )
    if noted:
        await step.ended(End.DONE, said, 1)
    lease.close()
    now = timezone.now()
    lost = partial(
        actions.lose_lease, lease.standing, now=now, reason="its runner died"
    )
    return await write(TESTS, lost)


async def row_of(
    standing: Standing, there: Callable[[Execution], bool] = lambda row: row.finished_at
) -> Execution:
    """The execution once it has ended, or is as the test waits for it."""
    async with asyncio.timeout(PATIENCE):
        while not there(  # noqa: ASYNC110 - rows do not ring
            row := await read(TESTS, lambda: Execution.objects.get(id=standing.id))
        ):
            await asyncio.sleep(0.01)
    return row


async def called(standing: Standing) -> list[tuple[str, dict]]:
    """What the newest attempt told about calls and questions."""

    def look() -> list[tuple[str, dict]]:
        log = Event.objects.filter(execution_id=standing.id).order_by("seq")
        told = [(one.type, one.payload, one.attempt) for one in log]
        newest = max(attempt for _, _, attempt in told)
        return [
            (kind, payload)
            for kind, payload, attempt in told
            if attempt == newest and kind.startswith(("tool_", "approval_", "agent_e"))
        ]

    return await read(TESTS, look)


async def approve(who, standing: Standing, *, yes: bool) -> None:
    def unit() -> None:
        asked = Approval.objects.get(execution_id=standing.id, decided_at=None)
        approvals.decide(
            queries.standing_of(standing.id),
            Answer(call_id=asked.call_id, approve=yes),
            actor=who.actor,
            now=timezone.now(),
        )

    await write(who.scope, unit)


async def test_a_turn_with_an_effect_acts_once_and_the_ledger_says_so(
    runner, alice_principal
):
    standing = await aside(
        factories.execution,
        alice_principal,
        agent="effect-turn",
        input={"text": "fail"},
    )
    await runner.start()

    row = await row_of(standing)

    key = effect_of("fail").key
    step = await read(TESTS, lambda: Step.objects.get(execution_id=standing.id))
    assert row.state == "completed"
    assert lines(standing) == [f"{standing.id}:{key}"]
    assert (step.key, step.state, step.result) == (
        key,
        "finished",
        "noted 4 characters",
    )
    assert [payload["call_id"] for _, payload in await called(standing)] == [key, key]
    assert await aside(violations) == []


@pytest.mark.parametrize("policy", Unknown)
async def test_what_is_finished_is_not_done_again(policy, runner, alice_principal):
    standing = await cut_off(alice_principal, policy.value, noted=True)
    await runner.start()

    row = await row_of(standing)

    told = await called(standing)
    assert (row.state, row.attempt) == ("completed", 2)
    assert len(lines(standing)) == 1
    assert [kind for kind, _ in told] == ["tool_executing", "tool_completed"]
    assert told[1][1]["result"] == f"noted {len(policy.value)} characters"
    assert told[1][1]["kept"] is True
    assert await aside(violations) == []


async def test_retry_acts_again_under_the_same_key(runner, alice_principal):
    standing = await cut_off(alice_principal, "retry")
    await runner.start()

    row = await row_of(standing)

    step = await read(TESTS, lambda: Step.objects.get(execution_id=standing.id))
    assert row.state == "completed"
    assert len(lines(standing)) == 2
    assert len(set(lines(standing))) == 1
    assert (step.state, step.attempt) == ("finished", 2)


async def test_fail_ends_and_says_that_nobody_knows(runner, alice_principal):
    standing = await cut_off(alice_principal, "fail")
    await runner.start()

    row = await row_of(standing)

    told = await called(standing)
    assert (row.state, row.error_code) == ("failed", "step_unknown")
    assert len(lines(standing)) == 1
    assert [kind for kind, _ in told] == [
        "tool_executing",
        "tool_completed",
        "agent_error",
    ]
    assert "may or may not have happened" in told[-1][1]["message"]
    assert told[-1][1]["fix"]
    assert row.receipt_id is not None
    assert await aside(violations) == []


@pytest.mark.parametrize("yes", [True, False])
async def test_ask_waits_for_a_person_and_does_as_they_say(
    yes: bool, runner, alice_principal
):
    standing = await cut_off(alice_principal, "ask")
    await runner.start()
    paused = await row_of(standing, lambda row: row.waiting_for == "approval")
    assert (paused.state, paused.lease_token) == ("pending", None)
    async with asyncio.timeout(10):
        while standing.id in runner.running:  # noqa: ASYNC110 - its task ends after its row
            await asyncio.sleep(0.01)
    (asked,) = await called(standing)
    assert asked[0] == "approval_requested"
    assert asked[1]["arguments"] == {"text": "ask"}

    await approve(alice_principal, standing, yes=yes)
    row = await row_of(standing)

    told = await called(standing)
    assert (row.state, row.attempt, row.fence) == ("completed", 3, 3)
    assert len(set(lines(standing))) == 1
    assert len(lines(standing)) == (2 if yes else 1)
    assert told[0][1]["call_id"] == asked[1]["call_id"]
    assert told[-1][1]["status"] == ("ok" if yes else "denied")
    assert await aside(violations) == []


async def test_a_stop_while_a_person_is_asked_ends_it(runner, alice_principal):
    standing = await cut_off(alice_principal, "ask")
    await runner.start()
    await row_of(standing, lambda row: row.waiting_for == "approval")

    def stop() -> None:
        now = queries.standing_of(standing.id)
        endings.cancel(actor=alice_principal.actor, standing=now, reason="enough")

    await write(alice_principal.scope, stop)

    row = await row_of(standing)
    asked = await read(TESTS, lambda: Approval.objects.get(execution_id=standing.id))
    assert (row.state, asked.approved, asked.decided_by) == ("cancelled", False, None)
    assert len(lines(standing)) == 1


async def test_the_late_end_of_a_lost_attempt_is_not_written(
    committed, live_hub, alice_principal
):
    standing = await aside(factories.claimed, alice_principal, agent="effect-turn")
    lease = LeasedExecution(standing)
    step = StepLedger(lease, turns.TurnListener(lease)).step(effect_of("fail"))
    await step.began()
    now = timezone.now()
    gone = partial(actions.lose_lease, lease.standing, now=now, reason="stalled")
    await write(TESTS, gone)

    with pytest.raises(LeaseLostError):
        await step.ended(End.DONE, "too late", 1)

    lease.close()
    left = await read(TESTS, lambda: Step.objects.get(execution_id=standing.id))
    assert (left.state, left.result) == ("started", None)
    assert lease.lost


# -- the rules taken away, one at a time -----------------------------------------------------


async def test_without_the_note_that_it_began_the_effect_happens_twice(
    runner, alice_principal, monkeypatch
):
    """What `test_fail_ends_and_says_that_nobody_knows` would see."""
    monkeypatch.setattr(steps, "start", lambda *_, **__: None)
    monkeypatch.setattr(steps, "finish", lambda *_, **__: None)
    standing = await cut_off(alice_principal, "fail")
    await runner.start()

    row = await row_of(standing)

    assert (row.state, len(lines(standing))) == ("completed", 2)


async def test_without_looking_into_the_ledger_a_finished_step_breaks_the_table(
    runner, alice_principal, monkeypatch
):
    monkeypatch.setattr(effects.steps, "known", lambda *_: None)
    standing = await cut_off(alice_principal, "retry", noted=True)
    await runner.start()

    row = await row_of(standing)

    assert row.state == "failed"
    assert len(lines(standing)) == 1, "the database itself refuses a second beginning"


async def test_switched_off_the_tool_runs_and_nothing_is_kept(runner, alice_principal):
    with off(Switch.STEP_LEDGER):
        standing = await aside(
            factories.execution,
            alice_principal,
            agent="effect-turn",
            input={"text": "ask"},
        )
        await runner.start()
        row = await row_of(standing)

    there = await read(
        TESTS, lambda: Step.objects.filter(execution_id=standing.id).exists()
    )
    assert row.state == "completed"
    assert len(lines(standing)) == 1
    assert not there


async def test_a_call_with_an_effect_takes_no_more_units_than_one_without(
    runner, alice_principal, monkeypatch
):
    units: list[str] = []
    announce = LeasedExecution._write

    async def counted(self, drafts, phases, also=None):
        units.extend(draft.type.value for draft in drafts if "tool" in draft.type)
        await announce(self, drafts, phases, also)

    monkeypatch.setattr(LeasedExecution, "_write", counted)
    standing = await aside(
        factories.execution, alice_principal, agent="effect-turn", input={"text": "ask"}
    )
    await runner.start()
    await row_of(standing)

    assert units == ["tool_executing", "tool_completed"]


# -- the tool of effect-turn -----------------------------------------------------------------


async def test_the_file_of_notes_does_not_grow_without_end(tmp_path, monkeypatch):
    path = tmp_path / "effects.log"
    monkeypatch.setattr(scripted, "NOTES_BYTES", 10)
    await scripted.note(path, text="x", idempotency_key="12345678")

    with pytest.raises(calls.InvalidInputError):
        await scripted.note(path, text="x", idempotency_key="12345678")

    assert path.read_text() == "12345678\n"
    assert path.stat().st_mode & 0o077 == 0


async def test_the_words_of_the_question_choose_what_follows_an_unknown_note():
    async def tool(question: str) -> str:
        (step,) = [one async for one in scripted.effect(False, question)]
        return step.name

    assert await tool("please ASK me") == "note_ask"
    assert await tool("just retry") == "note_retry"
    assert await tool("fail") == "note_fail"
    assert await tool("anything else, asking nothing") == "note_fail"
    assert [one async for one in scripted.effect(True, "ask")] != []
