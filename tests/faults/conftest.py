"""Installations whose server may be killed: one for each test, all from one seed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.conftest import KINDS, seeded  # noqa: F401 - a fixture, used by name
from tests.live.installation import Installation


@pytest.fixture(params=KINDS)
def victim(
    request: pytest.FixtureRequest,
    seeded: Installation,  # noqa: F811 - the fixture itself
    tmp_path: Path,
) -> Iterator[Installation]:
    """A running server of each kind on a folder of its own."""
    installation = Installation(tmp_path, server=request.param)
    installation.copy_of(seeded)
    installation.start()
    yield installation
    installation.kill()
    request.node.add_report_section("teardown", "server log", installation.said())
