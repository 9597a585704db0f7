"""Two canary organisations with a conversation each, as an audit plants them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.core import signals
from django.db import close_old_connections

from apps.audits.isolation import story
from apps.core import canaries, surfaces
from apps.core.surfaces import Canary


@pytest.fixture(autouse=True)
def _one_connection() -> Iterator[None]:
    """The end of a request would close the connection that holds the test's transaction."""
    for signal in (signals.request_started, signals.request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (signals.request_started, signals.request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def planted(db) -> Iterator[tuple[Canary, Canary]]:
    surfaces.load()
    ids = [canaries.organisation_of(slug) for slug in canaries.SLUGS]
    with canaries.admitting(ids):
        first, second = (story.planted(slug) for slug in canaries.SLUGS)
        yield first, second
