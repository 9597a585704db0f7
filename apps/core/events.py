"""Bells and projectors: how a lower app tells the upper ones without knowing them.

A bell rings after commit and may be lost: rows are the truth. A projector writes one row in
the announcing transaction. Neither may call the network.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any, TypeVar

from django.db import transaction

Event = TypeVar("Event")
Listener = Callable[[Any], None]

_receivers: dict[type, list[Listener]] = defaultdict(list)
_projectors: dict[type, list[Listener]] = defaultdict(list)


def receiver(
    event_type: type[Event],
) -> Callable[[Callable[[Event], None]], Callable[[Event], None]]:
    """Register a function that is rung after each commit that announced `event_type`."""

    def register(listener: Callable[[Event], None]) -> Callable[[Event], None]:
        if listener not in _receivers[event_type]:
            _receivers[event_type].append(listener)
        return listener

    return register


def projector(
    event_type: type[Event],
) -> Callable[[Callable[[Event], None]], Callable[[Event], None]]:
    """Register a function that writes one row inside the transaction that announces."""

    def register(listener: Callable[[Event], None]) -> Callable[[Event], None]:
        if listener not in _projectors[event_type]:
            _projectors[event_type].append(listener)
        return listener

    return register


def publish(event: object) -> None:
    """Run the projectors now; ring each receiver on commit. One failing bell stops no other."""
    for project in _projectors[type(event)]:
        project(event)
    for listener in _receivers[type(event)]:
        transaction.on_commit(_bell(listener, event), robust=True)


def _bell(listener: Listener, event: object) -> Callable[[], None]:
    def ring() -> None:
        listener(event)

    # Django names a failing bell in its log by this.
    ring.__qualname__ = f"{listener.__module__}.{listener.__qualname__}"
    return ring


def wiring() -> dict[str, dict[str, list[str]]]:
    """The table event → listeners by dotted name, for the architecture test and the docs."""
    return {
        kind: {
            event_type.__name__: sorted(
                f"{fn.__module__}.{fn.__name__}" for fn in listeners
            )
            for event_type, listeners in table.items()
            if listeners
        }
        for kind, table in (("bells", _receivers), ("projectors", _projectors))
    }
