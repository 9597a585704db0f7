"""Commands that run servers and workers."""

from __future__ import annotations
