"""Switches for tests of this process: `with off(Switch.RETRIES): …`, without rows.

Tests with processes of their own write `Flag` rows instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from apps.core import flags
from apps.core.flags import Switch


@contextmanager
def off(*switches: Switch) -> Iterator[None]:
    """The switches are off for everybody inside the block."""
    before = flags._present.snapshot
    general = {**before.general, **dict.fromkeys(switches, 0)}
    flags._present.snapshot = replace(before, general=general)
    try:
        yield
    finally:
        flags._present.snapshot = before
