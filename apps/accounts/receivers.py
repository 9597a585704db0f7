"""What accounts hear."""

from __future__ import annotations
