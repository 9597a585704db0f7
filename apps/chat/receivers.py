"""What chat hears."""

from __future__ import annotations
