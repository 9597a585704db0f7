"""The registry of work: a name in the execution's row, a function in an upper app."""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from apps.executions.events import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What work returns: the whole answer and what it cost."""

    text: str
    usage: Usage = field(default_factory=Usage)
    quality: float | None = None


Work = Callable[[Any], Awaitable[Outcome]]
_paths: dict[str, str] = {}


def register(name: str, path: str) -> None:
    """Name the work; `path` is 'package.module:function', imported when it first runs."""
    _paths[name] = path


@lru_cache(maxsize=32)
def resolve(name: str) -> Work:
    """The function registered as `name`; raises LookupError for an unknown one."""
    if name not in _paths:
        raise LookupError(f"no work is registered as {name!r}; known: {sorted(_paths)}")
    module, _, function = _paths[name].partition(":")
    work: Work = getattr(importlib.import_module(module), function)
    return work


def load_all() -> None:
    """Import every registered work, so that nobody's first question pays for it."""
    for name in _paths:
        resolve(name)


def registered() -> list[str]:
    return sorted(_paths)


def paths() -> dict[str, str]:
    """Name → 'package.module:function' of everything registered."""
    return dict(_paths)
