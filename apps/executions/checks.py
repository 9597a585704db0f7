"""System checks of executions: the named work can be found."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from django.core.checks import CheckMessage, Error, register

from apps.executions import runners


@register()
def check_runners(**_: Any) -> list[CheckMessage]:
    """Every name that an execution may carry leads to a module, and there is at least one."""
    paths = runners.paths()
    if not paths:
        return [
            Error(
                "No work is registered, so no execution can run.",
                hint="An upper app calls executions.runners.register in its ready().",
                id="netra.E101",
            )
        ]
    return [
        Error(
            f"The work {name!r} is registered as {path!r}, which does not exist.",
            hint="Register it as 'package.module:function'.",
            id="netra.E102",
        )
        for name, path in sorted(paths.items())
        if not _exists(path)
    ]


def _exists(path: str) -> bool:
    module, _, function = path.partition(":")
    try:
        return bool(function) and find_spec(module) is not None
    except ModuleNotFoundError:
        return False
