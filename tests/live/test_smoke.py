"""`manage.py smoke` against running servers of each kind."""

from __future__ import annotations

import pytest

from apps.ops import smoke
from tests.live.installation import Installation
from tests.ops.test_smoke import run

pytestmark = [pytest.mark.live, pytest.mark.golden_path, pytest.mark.integration]


def test_a_server_that_works_passes_every_step(netra_server: Installation) -> None:
    token = netra_server.people[netra_server.someone()]["token"]

    code, lines = run(f"http://127.0.0.1:{netra_server.port}/", token)

    assert code == 0, lines
    assert [line.split(":")[0] for line in lines] == [
        f"✓ {name}" for name, _ in smoke.STEPS
    ]


def test_a_token_that_is_refused_is_the_reason(netra_server: Installation) -> None:
    code, lines = run(f"http://127.0.0.1:{netra_server.port}", "ntr_wrong")

    assert code == 1
    assert lines[-1].startswith("✗ WebSocket: not_authenticated")
