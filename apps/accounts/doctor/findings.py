"""What the doctor says: one finding is one thing that was looked at, its grade, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Grade(StrEnum):
    """How a thing stands."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"  # it could not be looked at


WORST_FIRST = (Grade.FAIL, Grade.WARN, Grade.UNKNOWN, Grade.OK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at. `said` is one plain sentence; `fix` is empty when all is well."""

    code: str  # stable, in lower_snake_case
    title: str
    grade: Grade
    said: str
    fix: str = ""


def worst(findings: Iterable[Finding]) -> Grade:
    """The grade of the whole: that of its worst finding; unknown when nothing was looked at."""
    found = {finding.grade for finding in findings}
    return next((grade for grade in WORST_FIRST if grade in found), Grade.UNKNOWN)
