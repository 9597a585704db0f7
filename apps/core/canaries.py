"""Which canary organisations this process lets in: none, but while an isolation audit runs in it."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from uuid import UUID

SLUGS = ("canary-a", "canary-b")
ADDRESSES = ".invalid"  # what mail addresses of canaries end in; RFC 2606: nobody's
_admitted: set[UUID] = set()


def organisation_of(slug: str) -> UUID:
    """A canary's id: the same in each audit, so that an interrupted one is cleaned by the next."""
    return uuid.uuid5(uuid.NAMESPACE_URL, f"netra:{slug}")


def admitted() -> Collection[UUID]:
    """The canaries whose people may come in just now. Threads of the process share it."""
    return frozenset(_admitted)


def hidden() -> Collection[UUID]:
    """The canaries that lists of staff leave out."""
    return [each for slug in SLUGS if (each := organisation_of(slug)) not in _admitted]


@contextmanager
def admitting(organisation_ids: Collection[UUID]) -> Iterator[None]:
    """Let the people of these canaries in, while the block runs."""
    _admitted.update(organisation_ids)
    try:
        yield
    finally:
        _admitted.difference_update(organisation_ids)
