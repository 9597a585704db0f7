"""Commands of audits."""

from __future__ import annotations
