"""One execution's past, lived through the real actions with a clock of its own."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Self
from uuid import UUID

from apps.accounts.access import Principal
from apps.chat import actions as chat
from apps.chat.actions import Question
from apps.core.actors import Actor
from apps.core.errors import Explanation
from apps.executions import actions, endings, journal, moves, queries
from apps.executions.events import Usage
from apps.executions.journal import Draft
from apps.executions.runner import OPENING
from apps.executions.standing import RUNNER, SWEEPER, Ending, Standing
from apps.executions.states import EventType, ExecutionState, Phase

OWNER = uuid.UUID(
    "de300000-0000-4000-8000-000000000001"
)  # boot id of the runner that never was
LEASE_LOST = actions.LEASE + timedelta(
    seconds=2
)  # when the sweeper sees that a runner is gone


class History:
    """An execution that is told step by step; every step is written as its runner would."""

    standing: Standing

    def __init__(self, principal: Principal, *, at: datetime) -> None:
        self.now = at
        self._principal = principal
        self._first_token_at: datetime | None = None
        self._text = ""
        self._steps = 0
        self._calls = 0

    def ask(
        self,
        text: str,
        *,
        agent: str | None = None,
        thread: UUID | None = None,
    ) -> Self:
        """The person asks, and a runner takes it at once."""
        question = Question(text=text, agent=agent, thread_id=thread)
        chat.ask(
            principal=self._principal,
            question=question,
            claim=self._claim,
            now=self.now,
        )
        return self

    def ask_and_wait(self, text: str, *, thread: UUID) -> Self:
        """The person asks while something else runs in the thread; nobody takes it yet."""
        question = Question(text=text, thread_id=thread)
        asked = chat.ask(principal=self._principal, question=question, now=self.now)
        standing = queries.standing_of(asked.execution_id)
        assert standing is not None
        self.standing = standing
        return self

    @property
    def thread(self) -> UUID:
        return self.standing.stream_id

    def later(self, seconds: float) -> Self:
        self.now += timedelta(seconds=seconds)
        return self

    def think(self, note: str) -> Self:
        self._steps += 1
        payload = {
            "agent": self.standing.agent,
            "step": self._steps,
            "note": note,
            "progress": None,
        }
        phases = [Phase.THINKING] if self.standing.phase is not Phase.THINKING else []
        return self._write(
            phases, Draft(type=EventType.AGENT_THINKING, payload=payload)
        )

    def tool(
        self,
        name: str,
        arguments: Mapping[str, object],
        result: object,
        *,
        ms: int,
        status: str = "ok",
    ) -> Self:
        """The model asks for a tool, and gets its result."""
        self._calls += 1
        call = {"call_id": f"c{self._calls}", "tool": name}
        asked = Draft(
            type=EventType.TOOL_EXECUTING,
            payload={**call, "arguments": dict(arguments)},
        )
        self._write([Phase.LLM_INTERACTION, Phase.TOOL_EXECUTION], asked)
        answer = {**call, "status": status, "result": result, "ms": ms}
        self.later(ms / 1000)
        return self._write([], Draft(type=EventType.TOOL_COMPLETED, payload=answer))

    def say(self, text: str) -> Self:
        """The model writes; what it wrote is kept for those who reconnect."""
        self._text += text
        self._first_token_at = self._first_token_at or self.now
        self._write(
            [Phase.LLM_INTERACTION]
            if self.standing.phase is not Phase.LLM_INTERACTION
            else []
        )
        actions.checkpoint(
            self.standing,
            text=self._text,
            first_token_at=self._first_token_at,
            now=self.now,
        )
        return self

    def lose_runner(self) -> Self:
        """The runner vanishes; the sweeper finds it when the lease has run out."""
        self.now += LEASE_LOST
        self.standing = actions.lose_lease(
            self.standing, now=self.now, reason="its runner was lost"
        )
        return self

    def take_again(self) -> Self:
        """Another runner claims it: a new attempt."""
        self._text, self._first_token_at = "", None
        before = self.standing
        drafts = self._claim(before, {}, self.now)
        self._append(drafts)
        return self

    def complete(self, usage: Usage) -> None:
        phases = (Phase.RESULT_PROCESSING, Phase.COMPLETING, Phase.COMPLETED)
        self.standing = moves.enter_phase(
            self.standing, *((phase, self.now) for phase in phases)
        )
        self._end(
            Ending(
                state=ExecutionState.COMPLETED,
                text=self._text,
                usage=usage,
                first_token_at=self._first_token_at,
            )
        )

    def fail(
        self,
        explanation: Explanation,
        *,
        error_class: str,
        detail: str,
        usage: Usage | None = None,
    ) -> None:
        self._end(
            self._broken(ExecutionState.FAILED, explanation, error_class, detail, usage)
        )

    def time_out(self) -> None:
        """The deadline passes."""
        assert self.standing.deadline_at is not None
        self.now = self.standing.deadline_at
        seconds = self.standing.timeout_seconds
        explanation = Explanation(
            "timeout",
            f"The agent did not finish within {seconds} seconds.",
            "Ask again, or ask a smaller question.",
            retryable=True,
            values={"seconds": seconds, "tier": self.standing.tier},
        )
        self._end(self._broken(ExecutionState.TIMEOUT, explanation, "TimeoutError"))

    def die(self) -> None:
        """The last allowed runner vanishes too."""
        self.now += LEASE_LOST
        attempts = self.standing.attempt
        explanation = Explanation(
            "dead",
            f"Contact with the agent was lost {attempts} times.",
            "Try again; support has been told.",
            retryable=True,
            values={"attempts": attempts},
        )
        self._end(
            self._broken(ExecutionState.DEAD, explanation, "LeaseExpired"),
            by=SWEEPER,
        )

    def stop(self, reason: str) -> None:
        """The person presses stop; the runner obeys within a second, a waiting one at once."""
        actor = self._principal.actor
        state = endings.cancel(
            actor=actor, standing=self.standing, reason=reason, now=self.now
        )
        if state is ExecutionState.CANCELLED:
            return
        self.later(0.7)
        explanation = Explanation("cancelled", reason, "Ask again when you like.")
        ending = Ending(
            state=ExecutionState.CANCELLED,
            text=self._text,
            cancelled_by=actor.kind.value,
            first_token_at=self._first_token_at,
            explanation=explanation,
        )
        self._end(ending)

    def _broken(
        self,
        state: ExecutionState,
        explanation: Explanation,
        error_class: str,
        detail: str = "",
        usage: Usage | None = None,
    ) -> Ending:
        return Ending(
            state=state,
            text=self._text,
            explanation=explanation,
            error_class=error_class,
            error_detail=detail,
            usage=usage or Usage(),
            first_token_at=self._first_token_at,
        )

    def _claim(
        self, standing: Standing, _given: Mapping[str, object], now: datetime
    ) -> list[Draft]:
        claimed = actions.claim(standing, owner=OWNER, now=now)
        assert claimed is not None, (
            "nobody else can have claimed it inside this transaction"
        )
        self.standing = moves.enter_phase(claimed, *((phase, now) for phase in OPENING))
        return actions.start_event(standing, claimed)

    def _write(self, phases: list[Phase], *drafts: Draft) -> Self:
        """Phases and events of one unit; the first unit moves it to running."""
        after = moves.enter_phase(
            self.standing, *((phase, self.now) for phase in phases)
        )
        values = {"phase": after.phase or ""}
        if after.state is ExecutionState.STARTING:
            self.standing = moves.move(
                after,
                ExecutionState.RUNNING,
                actor=RUNNER,
                now=self.now,
                reason="work began",
                values=values,
            )
        else:
            moves.touch(after, now=self.now, values=values)
            self.standing = after
        self._append(list(drafts))
        return self

    def _append(self, drafts: list[Draft]) -> None:
        journal.append(
            organisation_id=self.standing.organisation_id,
            stream_id=self.standing.stream_id,
            drafts=drafts,
            now=self.now,
            execution_id=self.standing.id,
            attempt=self.standing.attempt,
        )

    def _end(self, ending: Ending, by: Actor = RUNNER) -> None:
        reason = ending.explanation.message if ending.explanation else "finished"
        self.standing = endings.finish(
            self.standing, ending, actor=by, now=self.now, reason=reason
        )
