"""The registry of surfaces that isolation audits probe. The audit itself lives in audits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Surface:
    """One way to reach a tenant's row: how to plant one, and how a stranger tries for it."""

    name: str
    kind: str
    plant: Callable[[UUID], Mapping[str, UUID]]
    attempt: Callable[[UUID, Mapping[str, UUID]], object]


_surfaces: dict[str, Surface] = {}


def register(surface: Surface) -> None:
    _surfaces[surface.name] = surface


def registered() -> list[Surface]:
    return sorted(_surfaces.values(), key=lambda surface: surface.name)
