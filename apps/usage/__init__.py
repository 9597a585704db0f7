"""Counts what AI costs: usage records and their prices. Quotas and budgets come here.

Owns usage records. Hears `ExecutionFinished`: writes Netra's own consumption in its transaction.
"""

from __future__ import annotations
