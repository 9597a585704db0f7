"""What the database refused, and what was run again, as figures by class."""

from __future__ import annotations

import pytest

from apps.core import transactions

pytestmark = pytest.mark.integration


def test_errors_and_retries_are_counted_by_class(client, db, monkeypatch) -> None:
    monkeypatch.setitem(transactions.errors, "DeadlockError", 3)
    monkeypatch.setitem(transactions.retries, "DeadlockError", 2)

    text = client.get("/metrics", headers={"Host": "127.0.0.1"}).content.decode()

    assert 'netra_database_errors_total{class="DeadlockError"} 3\n' in text
    assert 'netra_database_retries_total{class="DeadlockError"} 2\n' in text
    assert "# TYPE netra_database_errors_total counter\n" in text
