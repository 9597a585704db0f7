"""Shifts this process's clock by NETRA_TEST_SKEW seconds; on PYTHONPATH, Python loads it first of all.

Only what tells the time of day. What counts seconds, as waits and leases do, stays right.
"""

from __future__ import annotations

import os
import time
from datetime import datetime, timedelta

from django.utils import timezone

SKEW = int(os.environ["NETRA_TEST_SKEW"])
_seconds, _nanoseconds, _now = time.time, time.time_ns, timezone.now


def _shifted_now() -> datetime:
    return _now() + timedelta(seconds=SKEW)


time.time = lambda: _seconds() + SKEW
time.time_ns = lambda: _nanoseconds() + SKEW * 10**9
timezone.now = _shifted_now
