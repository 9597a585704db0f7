"""The pure part of the chat page: order, gaps, attempts and text offsets, run in node where there is one."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

EVENTS = Path(__file__).resolve().parents[2] / "static" / "netra" / "chat" / "events.js"
NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(
    NODE is None, reason="node is not installed; the chat's pure part is not run"
)

START = {"type": "agent_started", "seq": 1, "data": {"agent": "analyst", "attempt": 1}}
SCRIPT = """
import { readFileSync } from "node:fs";
const source = "data:text/javascript;base64," + readFileSync(process.argv[1]).toString("base64");
const { newThread, fold, hasGap, settle, countPoints } = await import(source);
const thread = newThread({ id: "t" });
const outcomes = JSON.parse(readFileSync(0, "utf8")).map((frame) => {
  const whole = { thread_id: "t", execution_id: "x", ...frame };
  if (whole.type === "replayed") return settle(thread, whole.data).length;
  return fold(thread, whole).outcome;
});
const replies = thread.entries.filter((entry) => entry.kind === "reply").map((reply) => ({
  text: reply.draft.text, points: reply.draft.points, gap: hasGap(reply.draft), state: reply.state,
  attempt: reply.draft.attempt, steps: reply.steps, partial: reply.partial, counted: countPoints(reply.draft.text),
}));
console.log(JSON.stringify({ outcomes, replies, seq: thread.seq, entries: thread.entries.length,
  order: thread.entries.map((entry) => entry.text ?? entry.draft.text) }));
"""


def play(*frames: dict[str, Any]) -> dict[str, Any]:
    """Feed frames to a new thread and say what came out of it."""
    assert NODE is not None
    command = [NODE, "--input-type=module", "--eval", SCRIPT, str(EVENTS)]
    run = subprocess.run(
        command,
        input=json.dumps(frames),
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert run.returncode == 0, run.stderr
    result: dict[str, Any] = json.loads(run.stdout)
    return result


def delta(offset: int, text: str, attempt: int = 1) -> dict[str, Any]:
    data = {"message_id": "m", "attempt": attempt, "offset": offset, "text": text}
    return {"type": "message_delta", "data": data}


def snapshot(text: str, attempt: int = 1) -> dict[str, Any]:
    return {
        "type": "message_snapshot",
        "data": {"message_id": "m", "attempt": attempt, "text": text},
    }


def event(kind: str, seq: int, **data: Any) -> dict[str, Any]:
    return {"type": kind, "seq": seq, "data": data}


def only_reply(result: dict[str, Any]) -> dict[str, Any]:
    (reply,) = result["replies"]
    return dict(reply)


def test_deltas_that_follow_each_other_join() -> None:
    result = play(START, delta(0, "Hello "), delta(6, "world"))

    assert only_reply(result)["text"] == "Hello world"


def test_a_delta_that_overlaps_is_trimmed() -> None:
    result = play(START, delta(0, "Hello "), delta(3, "lo world"), delta(0, "Hello"))

    assert only_reply(result)["text"] == "Hello world"
    assert result["outcomes"] == ["applied", "applied", "applied", "ignored"]


def test_a_gap_waits_for_the_snapshot_that_reaches_it() -> None:
    result = play(
        START,
        delta(0, "abc"),
        delta(6, "ghi"),
        delta(9, "j"),
        snapshot("abcde"),
        snapshot("abcdefg"),
    )

    assert result["outcomes"] == [
        "applied",
        "applied",
        "hole",
        "hole",
        "applied",
        "applied",
    ]
    assert only_reply(result)["text"] == "abcdefghij"
    assert only_reply(result)["gap"] is False


def test_text_after_a_gap_is_not_shown_before_the_snapshot() -> None:
    result = play(START, delta(0, "abc"), delta(6, "ghi"))

    assert only_reply(result)["text"] == "abc"
    assert only_reply(result)["gap"] is True


def test_a_snapshot_that_is_behind_takes_nothing_away() -> None:
    result = play(START, delta(0, "abcdef"), snapshot("abc"))

    assert only_reply(result)["text"] == "abcdef"


def test_offsets_count_code_points_not_utf16_units() -> None:
    result = play(START, delta(0, "a😀b"), delta(1, "😀b𝒞"), delta(4, "é"))

    reply = only_reply(result)
    assert reply["text"] == "a😀b𝒞é"
    assert reply["points"] == reply["counted"] == len("a😀b𝒞é")


def test_a_new_attempt_voids_text_and_open_tools() -> None:
    result = play(
        START,
        event("tool_executing", 2, call_id="c1", tool="lookup", arguments={"q": "x"}),
        event(
            "tool_completed",
            3,
            call_id="c1",
            tool="lookup",
            status="ok",
            result="1",
            ms=4,
        ),
        event("tool_executing", 4, call_id="c2", tool="lookup", arguments={"q": "y"}),
        delta(0, "half an ans"),
        event("attempt_started", 5, attempt=2, reason="the worker was lost"),
    )

    reply = only_reply(result)
    assert (reply["text"], reply["attempt"], reply["state"]) == ("", 2, "running")
    assert [step.get("status") for step in reply["steps"]] == ["ok", "void", None]


def test_deltas_of_an_older_attempt_are_ignored() -> None:
    result = play(
        START,
        event("attempt_started", 2, attempt=2, reason=""),
        delta(0, "old"),
        delta(0, "new", attempt=2),
    )

    assert result["outcomes"][2:] == ["ignored", "applied"]
    assert only_reply(result)["text"] == "new"


def test_a_delta_of_a_newer_attempt_starts_the_text_anew() -> None:
    result = play(START, delta(0, "old text"), delta(0, "new", attempt=2))

    assert only_reply(result)["text"] == "new"


def test_an_event_seen_before_is_dropped() -> None:
    note = event(
        "agent_thinking", 2, agent="analyst", step=1, note="Reading", progress=None
    )
    result = play(START, note, note, START)

    assert result["outcomes"] == ["applied", "applied", "duplicate", "duplicate"]
    assert len(only_reply(result)["steps"]) == 1


def test_a_missing_event_is_a_gap_and_nothing_is_applied() -> None:
    result = play(
        START, event("agent_completed", 3, final=True, message_id="m", text="done")
    )

    assert result["outcomes"] == ["applied", "gap"]
    assert (result["seq"], only_reply(result)["state"]) == (1, "running")


def test_an_event_of_another_thread_is_ignored() -> None:
    result = play({**START, "thread_id": "other"})

    assert result["outcomes"] == ["ignored"]
    assert result["entries"] == 0


def test_the_final_text_replaces_what_was_streamed() -> None:
    result = play(
        START,
        delta(0, "Hel"),
        event("agent_completed", 2, final=True, message_id="m", text="Hello"),
    )

    reply = only_reply(result)
    assert (reply["text"], reply["state"], reply["partial"]) == (
        "Hello",
        "completed",
        False,
    )


def test_a_cancelled_answer_keeps_its_partial_text() -> None:
    result = play(
        START,
        delta(0, "Hel"),
        event("agent_cancelled", 2, final=True, by="user", reason=""),
        delta(3, "lo"),
    )

    reply = only_reply(result)
    assert (reply["text"], reply["state"], reply["partial"]) == (
        "Hel",
        "cancelled",
        True,
    )
    assert result["outcomes"][-1] == "ignored"


def test_a_timeout_is_told_from_a_failure() -> None:
    result = play(
        START, event("agent_error", 2, final=True, code="timeout", message="Too slow")
    )

    assert only_reply(result)["state"] == "timeout"


def test_answers_stand_below_their_questions_in_the_order_asked() -> None:
    result = play(
        event("message_created", 1, message_id="m1", role="user", text="one")
        | {"execution_id": None},
        event("message_created", 2, message_id="m2", role="user", text="two")
        | {"execution_id": None},
        event("agent_started", 3, agent="analyst", attempt=1),
        event("agent_completed", 4, final=True, text="first"),
        event("agent_started", 5, agent="analyst", attempt=1) | {"execution_id": "y"},
    )

    assert result["order"] == ["one", "first", "two", ""]


def test_an_unknown_event_only_moves_the_number_on() -> None:
    result = play(
        START,
        event("something_new", 2),
        event("agent_completed", 3, final=True, text="ok"),
    )

    assert (result["seq"], only_reply(result)["state"]) == (3, "completed")


def test_a_replay_brings_back_what_is_still_going_on() -> None:
    going = {"execution_id": "x", "state": "running", "attempt": 2}
    result = play(
        {"type": "replayed", "data": {"executions": [going]}},
        delta(0, "old"),
        snapshot("new", attempt=2),
    )

    assert only_reply(result)["text"] == "new"


ASKED = {
    "call_id": "c1",
    "tool": "send",
    "arguments": {},
    "reason": "Is it wanted?",
    "expires_at": "2026-11-21T12:00:00Z",
}


def test_a_question_waits_and_its_answer_stays() -> None:
    asked = (START, event("approval_requested", 2, **ASKED))
    answer = event("approval_decided", 3, call_id="c1", approved=True, by="user")
    again = event("attempt_started", 4, attempt=2)

    waiting, answered = (
        only_reply(play(*asked)),
        only_reply(play(*asked, answer, again)),
    )

    (question,) = waiting["steps"]
    assert (waiting["state"], question["approved"]) == ("pending", None)
    assert question["why"] == "Is it wanted?"
    assert answered["state"] == "running"
    assert (answered["steps"][0]["approved"], answered["steps"][0]["by"]) == (
        True,
        "user",
    )


def test_a_question_is_void_when_the_answer_ends() -> None:
    result = play(
        START,
        event("approval_requested", 2, **ASKED),
        event("agent_cancelled", 3, by="user", final=True),
    )

    assert only_reply(result)["steps"][0]["approved"] == "void"


def test_an_open_question_survives_catching_up() -> None:
    running = {"execution_id": "x", "state": "pending", "attempt": 1}
    replayed = {"type": "replayed", "data": {"executions": [running]}}

    result = play(START, event("approval_requested", 2, **ASKED), replayed)

    assert only_reply(result)["steps"][0]["approved"] is None
