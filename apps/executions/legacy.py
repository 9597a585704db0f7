"""The names that Netra's predecessors used, and what stands behind them. New code imports none.

Each old name works, warns, and leads to the one tracker; each old id leads to a person that exists,
or nowhere.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid5

from apps.executions import tracker
from apps.executions.contexts import UserExecutionContext, is_placeholder, real_id
from apps.executions.errors import InvalidContextError
from apps.executions.personal import AgentExecutionTracker

# Fixed for ever: an importer of old data gives its people the ids that this makes.
NAMESPACE = UUID("6b5c1a0e-6f0a-5d0c-9a55-0d3a1f1e3c05")
_TEST_PREFIX = "test_"


def opaque_id(value: object, name: str, namespace: UUID = NAMESPACE) -> UUID:
    """An old id such as 'user1' as the UUID that stands for it here; refuses placeholders.

    Ids that begin with test_ pass, as they did: whoever they name must exist in the rows anyway.
    """
    if not isinstance(value, str):
        return real_id(value, name)
    text = value.strip()
    try:
        return real_id(text, name)
    except InvalidContextError:
        is_test = text.lower().startswith(_TEST_PREFIX)
        if not text or (is_placeholder(text) and not is_test):
            raise
    try:
        nil = UUID(text)
    except ValueError:
        return uuid5(namespace, text)
    raise InvalidContextError(f"{name} is the nil UUID {nil}")


def real_ids(given: Mapping[str, object]) -> dict[str, object]:
    """An old context with its opaque ids replaced; threads and runs within the person's own names."""
    mapped: dict[str, object] = dict(given)
    user_id = opaque_id(given.get("user_id"), "user_id")
    mapped["user_id"] = user_id
    for name in ("organisation_id", "session_id", "thread_id", "run_id"):
        if (value := given.get(name)) is not None:
            within = NAMESPACE if name == "organisation_id" else user_id
            mapped[name] = opaque_id(value, name, within)
    return mapped


def _get_agent_state_tracker(
    user_context: UserExecutionContext | Mapping[str, object],
) -> AgentExecutionTracker:
    """The same object as `get_execution_tracker` gives; takes the old ids as well."""
    _warn("get_agent_state_tracker", "get_execution_tracker")
    if isinstance(user_context, Mapping):
        user_context = real_ids(user_context)
    return tracker.get_execution_tracker(user_context)


_OLD: dict[str, tuple[str, Any]] = {
    "ExecutionTracker": ("AgentExecutionTracker", AgentExecutionTracker),
    "get_agent_state_tracker": ("get_execution_tracker", _get_agent_state_tracker),
}


def __getattr__(name: str) -> Any:
    if name not in _OLD:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    present, found = _OLD[name]
    _warn(name, present)
    return found


def _warn(old: str, present: str) -> None:
    warnings.warn(
        f"{old} is an old name; use apps.executions.tracker.{present}",
        DeprecationWarning,
        stacklevel=3,
    )
