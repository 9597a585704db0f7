"""Tools with effects in a turn: what the step ledger knows decides whether the tool is called.

Joins the ledger's writes to the two events of a call, so that they commit together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from apps.agents.calls import (
    STATUS,
    Effect,
    End,
    Settled,
    Unknown,
    kept,
    shown,
    shown_arguments,
)
from apps.core import faults
from apps.core.clock import clock
from apps.core.database import read
from apps.executions import steps
from apps.executions.errors import (
    ApprovalNeededError,
    ApprovalRequest,
    StepUnknownError,
)
from apps.executions.leased import LeasedExecution
from apps.executions.models import Step
from apps.executions.standing import Standing
from apps.executions.steps import Known

Also = Callable[[Standing], None]
DENIED = {
    "denied": "A person refused this call. Do not repeat it; go on without it, and say so."
}
DOUBT = (
    "An earlier attempt began this step and was cut off. It may or may not have happened; "
    "agreeing makes the call again."
)


class Listener(Protocol):
    """Who is told of calls, and lets the ledger write in the same unit."""

    async def tool_began(
        self,
        call_id: str,
        tool: str,
        arguments: Mapping[str, object],
        also: Also | None = None,
    ) -> None: ...
    async def tool_ended(
        self,
        call_id: str,
        tool: str,
        status: str,
        result: object,
        ms: int,
        *,
        also: Also | None = None,
        kept: bool = False,
    ) -> None: ...


class Verdict(Enum):
    """What is done about a call."""

    RUN = auto()
    KEEP = auto()  # it happened: its result is taken from the ledger
    ASK = auto()
    DENY = auto()
    GIVE_UP = auto()


_UNKNOWN = {
    Unknown.RETRY: Verdict.RUN,
    Unknown.ASK: Verdict.ASK,
    Unknown.FAIL: Verdict.GIVE_UP,
}


def verdict(
    known: Known | None, after_unknown: Unknown, *, refused: bool = False
) -> Verdict:
    """What follows from what the ledger knows, and from what the tool declares.

    `refused`: a person said no to the same call; counting it anew is no way round that.
    """
    if known is None or known.state in {Step.State.PLANNED, Step.State.FAILED}:
        return Verdict.DENY if refused else Verdict.RUN
    if known.state is Step.State.FINISHED:
        return Verdict.KEEP
    if known.approved is not None:
        return Verdict.RUN if known.approved else Verdict.DENY
    return _UNKNOWN[after_unknown]


class StepLedger:
    """The steps of one execution, as one attempt meets them."""

    def __init__(self, lease: LeasedExecution, listener: Listener) -> None:
        self.lease, self.listener = lease, listener

    def step(self, effect: Effect) -> OneStep:
        return OneStep(self.lease, self.listener, effect)


@dataclass(slots=True)
class OneStep:
    """One call with an effect: looked up, begun, and ended in the ledger."""

    lease: LeasedExecution
    listener: Listener
    effect: Effect
    call_id: str = ""

    async def began(self) -> Settled | None:
        """Settle the call from the ledger, or commit that it begins.

        Raises ApprovalNeededError and StepUnknownError where nobody knows whether it happened.
        """
        known, refused = await read(self.lease.scope, self._look)
        self.call_id = known.call_id if known else self.effect.key
        decided = verdict(known, self.effect.after_unknown, refused=refused)
        if decided is Verdict.ASK:
            raise ApprovalNeededError(self._request())
        await self._tell_began(self._start if decided is Verdict.RUN else None)
        if decided is Verdict.KEEP:
            assert known is not None, "only what is known can be kept"
            await self._tell_ended("ok", known.result, kept=True)
            return Settled(known.result)
        if decided is Verdict.DENY:
            await self._tell_ended("denied", DENIED)
            return Settled(DENIED)
        if decided is Verdict.GIVE_UP:
            error = StepUnknownError(
                f"The step {self.effect.tool!r} was begun and cut off: "
                "it may or may not have happened."
            )
            await self._tell_ended("error", {"error": error.message})
            raise error
        faults.reach("in_step")
        return None

    async def ended(self, end: End, result: object, ms: int) -> None:
        """Write how the call came out, with its event; what broke stays unknown."""
        kinds: dict[End, Also | None] = {
            End.DONE: lambda standing: self._finish(standing, result),
            End.REFUSED: self._fail,
            End.BROKEN: None,
        }
        await self._tell_ended(STATUS[end], result, ms, also=kinds[end])

    def _look(self) -> tuple[Known | None, bool]:
        key = self.effect.key
        same_call = key[: key.rindex(":") + 1]
        return (
            steps.known(self.lease.id, key),
            steps.was_refused(self.lease.id, same_call),
        )

    def _start(self, standing: Standing) -> None:
        effect, now = self.effect, clock.now()
        steps.start(standing, key=effect.key, tool=effect.tool, now=now)

    def _finish(self, standing: Standing, result: object) -> None:
        values, now = kept(result), clock.now()
        steps.finish(standing, key=self.effect.key, result=values, now=now)

    def _fail(self, standing: Standing) -> None:
        steps.fail(standing, key=self.effect.key, now=clock.now())

    def _request(self) -> ApprovalRequest:
        return ApprovalRequest(
            call_id=self.call_id,
            tool=self.effect.tool,
            arguments=shown_arguments(self.effect.arguments),
            reason=DOUBT,
        )

    async def _tell_began(self, also: Also | None) -> None:
        effect = self.effect
        await self.listener.tool_began(
            self.call_id, effect.tool, effect.arguments, also=also
        )

    async def _tell_ended(
        self,
        status: str,
        result: object,
        ms: int = 0,
        *,
        also: Also | None = None,
        kept: bool = False,
    ) -> None:
        await self.listener.tool_ended(
            self.call_id,
            self.effect.tool,
            status,
            shown(result),
            ms,
            also=also,
            kept=kept,
        )
