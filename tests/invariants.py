"""What must hold of executions and streams, checked by the product's own checker, as lines.

    assert violations() == []

Time counts (I8) only where a test says which moment it is.
"""

from __future__ import annotations

from datetime import datetime

from apps.ops import invariants

OF_EXECUTIONS = {"I1", "I2", "I4", "I5", "I6", "I7", "I10"}


def violations(now: datetime | None = None) -> list[str]:
    """One line for each thing that is not as it must be."""
    codes = OF_EXECUTIONS if now is None else OF_EXECUTIONS | {"I8"}
    return [str(each) for each in invariants.violations(now=now, codes=codes)]
