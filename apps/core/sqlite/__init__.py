"""SQLite as Netra uses it: Django's backend, with one fair turn for everybody who writes."""

from __future__ import annotations
