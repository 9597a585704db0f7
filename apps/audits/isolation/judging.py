"""What an answer proves: held, breached, or nothing. Pure.

A time-out, an error or a control that fails proves nothing, and nothing proved is never a pass.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

SHOWN = 300  # characters of an answer that a finding keeps


class Check(StrEnum):
    """What was tried at a surface."""

    CONTROL = "control"  # its rightful person: without it the others prove nothing
    FOREIGN = "foreign"  # a person of another organisation
    COLLEAGUE = "colleague"  # another person of the same organisation
    ABSENT = "absent"  # what is foreign must look like what is not there
    REVOKED = "revoked"  # with what was revoked before
    REMOVED = "removed"  # by somebody who no longer belongs there
    NOBODY = "nobody"  # without any proof of who asks
    UNTOUCHED = "untouched"  # what the other organisation holds is as it was
    UNSCOPED = "unscoped"  # without any scope
    FILTERED = "filtered"  # each manager filters by the organisation
    POLICY = "policy"  # what the database itself guards
    LINKS = "links"  # rows that point at each other agree on the organisation
    DECLARED = "declared"  # every door is declared


class Outcome(StrEnum):
    """What a probe proved."""

    HELD = "held"
    BREACHED = "breached"
    INCONCLUSIVE = "inconclusive"


class Verdict(StrEnum):
    """What an audit proved."""

    PASSED = "passed"
    BREACHED = "breached"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: a status (0: nothing did) and a text."""

    status: int
    text: str
    error: str = ""

    @property
    def failed(self) -> bool:
        return bool(self.error) or self.status == 0 or self.status >= 500

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One probe and what it proved."""

    kind: str
    surface: str
    check: Check
    outcome: Outcome
    request: str
    expected: str
    got: str
    digest: str = ""


def outcome_of_stranger(
    answer: Answer, secrets: Collection[str]
) -> tuple[Outcome, str]:
    """A stranger may get anything but another's markers and ids."""
    told = [secret for secret in secrets if secret and secret in answer.text]
    if told:
        return Outcome.BREACHED, f"{answer.status}, with {len(told)} foreign values"
    if answer.failed:
        return Outcome.INCONCLUSIVE, answer.error or f"status {answer.status}"
    return Outcome.HELD, f"{answer.status}, nothing foreign in it"


def outcome_of_refusal(answer: Answer, secrets: Collection[str]) -> tuple[Outcome, str]:
    """Who shows nothing, or something void, is refused."""
    outcome, got = outcome_of_stranger(answer, secrets)
    if outcome is Outcome.HELD and not 400 <= answer.status < 500:
        redirected = 300 <= answer.status < 400
        return (Outcome.HELD, got) if redirected else (Outcome.BREACHED, got)
    return outcome, got


def outcome_of_control(answer: Answer, wanted: int) -> tuple[Outcome, str]:
    """The rightful person gets what they ask for, else the probe was blind."""
    if answer.status == wanted and not answer.error:
        return Outcome.HELD, str(answer.status)
    return Outcome.INCONCLUSIVE, answer.error or f"status {answer.status}"


def outcome_of_absence(
    foreign: Answer, absent: Answer, ids: Collection[str]
) -> tuple[Outcome, str]:
    """What is foreign looks like what does not exist, to the letter but for the ids asked for."""
    if foreign.failed or absent.failed:
        return Outcome.INCONCLUSIVE, foreign.error or absent.error or "an error"
    if foreign.status != absent.status:
        return Outcome.BREACHED, f"{foreign.status} for foreign, {absent.status} absent"
    if _plain(foreign.text, ids) != _plain(absent.text, ids):
        return Outcome.BREACHED, f"both {foreign.status}, but worded differently"
    return Outcome.HELD, f"both {foreign.status}, worded alike"


def verdict_of(probes: Collection[Judged]) -> Verdict:
    """One breach is a breach; without any, one blind probe leaves it open. No probes prove nothing."""
    outcomes = {probe.outcome for probe in probes}
    if Outcome.BREACHED in outcomes:
        return Verdict.BREACHED
    if Outcome.INCONCLUSIVE in outcomes or not outcomes:
        return Verdict.INCONCLUSIVE
    return Verdict.PASSED


# What differs between two answers to the same question: the reference of each, and moments.
_OWN = re.compile(
    r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}"
    r"|\d{4}-\d\d-\d\dT[0-9:.+Z]+"
)


def _plain(text: str, ids: Collection[str]) -> str:
    for each in ids:
        text = text.replace(each, "ID")
    return _OWN.sub("ID", text)
