"""PostgreSQL as Netra uses it: Django's backend, where every statement says for whom it runs."""

from __future__ import annotations
