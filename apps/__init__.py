"""The nine apps of the column. An app imports only from apps below it."""

from __future__ import annotations
