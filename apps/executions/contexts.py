"""UserExecutionContext: for whom an execution runs, immutable and proved. No Django here."""

from __future__ import annotations

import copy
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from typing import Protocol, Self
from uuid import UUID

from apps.executions.errors import ContextIsolationError, InvalidContextError

MAX_DEPTH = 10
PREFIXED_BELOW = 20  # a longer id may begin with what looks like a placeholder
# Values and prefixes that the first system refused (reference: original-system.md section 4).
PLACEHOLDERS = frozenset(
    [
        "registry",
        "placeholder",
        "default",
        "temp",
        "none",
        "null",
        "undefined",
        "0",
        "1",
        "xxx",
        "yyy",
        "example",
        "test",
        "demo",
        "sample",
        "template",
        "mock",
        "fake",
        "dummy",
    ]
)
PLACEHOLDER_PREFIXES = (
    "placeholder_", "registry_", "temp_", "example_", "demo_", "sample_", "template_", "mock_",
    "fake_", "default_", "test_",
)  # fmt: skip
# Names of technical accounts that only look like placeholders.
ALLOWED = frozenset(
    f"default_{kind}"
    for kind in ("user", "admin", "system", "account", "service", "client", "guest")
)
RESERVED = frozenset(
    [
        "user_id",
        "organisation_id",
        "thread_id",
        "run_id",
        "request_id",
        "created_at",
        "db_session",
        "websocket_client_id",
    ]
)
DEEP_STATE = "DeepAgentState"
# Fields of that class: a dict with two of them is its dump.
DEEP_STATE_FIELDS = frozenset(
    [
        "user_request",
        "chat_thread_id",
        "triage_result",
        "data_result",
        "optimizations_result",
        "action_plan_result",
        "report_result",
        "synthetic_data_result",
        "supply_research_result",
        "corpus_admin_result",
    ]
)
_now = partial(datetime.now, UTC)
# Of this process only: a context never leaves it, and nobody outside can make a fingerprint.
_KEY = secrets.token_bytes(32)


class AuthenticatedPrincipal(Protocol):
    """What the factory needs from whoever proved who they are."""

    @property
    def user_id(self) -> UUID: ...
    @property
    def organisation_id(self) -> UUID: ...
    @property
    def tier(self) -> str: ...


def real_id(value: object, name: str) -> UUID:
    """`value` as a UUID; refuses empty values, placeholders and anything that is no UUID."""
    if isinstance(value, UUID):
        if value.int == 0:
            raise InvalidContextError(f"{name} is the nil UUID")
        return value
    if not isinstance(value, str) or not value.strip():
        raise InvalidContextError(f"{name} must be a UUID, not {value!r}")
    if is_placeholder(value):
        raise InvalidContextError(f"{name} is the placeholder {value!r}")
    try:
        return real_id(UUID(value.strip()), name)
    except ValueError as error:
        raise InvalidContextError(f"{name} must be a UUID, not {value!r}") from error


def is_placeholder(value: str) -> bool:
    """Whether a text stands where somebody forgot to put an id, in any case of letters."""
    lowered = value.strip().lower()
    if lowered in ALLOWED:
        return False
    return lowered in PLACEHOLDERS or (
        len(value) < PREFIXED_BELOW and lowered.startswith(PLACEHOLDER_PREFIXES)
    )


def refuse_deep_state(value: object) -> None:
    """Raise InvalidContextError for a DeepAgentState, whichever module it comes from, or its dump."""
    found = isinstance(value, Mapping) and len(DEEP_STATE_FIELDS & value.keys()) > 1
    if found or any(kind.__name__ == DEEP_STATE for kind in type(value).__mro__):
        raise InvalidContextError(
            f"{DEEP_STATE} is refused: it is shared and mutable, and it mixed the data of several"
            " users; give each request a UserExecutionContext of its own"
        )


_made_by_factory = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class UserExecutionContext:
    """One person's request in one organisation. Made by `for_principal`, never by hand."""

    user_id: UUID
    organisation_id: UUID
    thread_id: UUID
    run_id: UUID
    tier: str
    request_id: UUID = field(default_factory=uuid.uuid4)
    parent_request_id: UUID | None = None
    depth: int = 0
    operation: str = ""
    created_at: datetime = field(default_factory=_now)
    fingerprint: str = ""
    _metadata: Mapping[str, object] = field(default_factory=dict, repr=False)
    _seal: object = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self._seal is not _made_by_factory:
            raise InvalidContextError(
                "build a UserExecutionContext with the factory UserExecutionContext.for_principal(…)"
            )
        object.__setattr__(self, "fingerprint", self._fingerprint())
        # Not kept: dataclasses.replace would pass it on and make another user's context.
        object.__setattr__(self, "_seal", None)

    @classmethod
    def for_principal(
        cls,
        principal: AuthenticatedPrincipal,
        *,
        thread_id: object,
        run_id: object,
        metadata: Mapping[str, object] | None = None,
    ) -> Self:
        """The factory: ids from a proved principal, thread and run checked; raises InvalidContextError."""
        refuse_deep_state(principal)
        return cls(
            user_id=real_id(principal.user_id, "user_id"),
            organisation_id=real_id(principal.organisation_id, "organisation_id"),
            thread_id=real_id(thread_id, "thread_id"),
            run_id=real_id(run_id, "run_id"),
            tier=principal.tier,
            _metadata=_checked_metadata(metadata, principal.user_id)
            if metadata
            else {},
            _seal=_made_by_factory,
        )

    @property
    def metadata(self) -> dict[str, object]:
        """A deep copy: nobody changes what others see."""
        return copy.deepcopy(dict(self._metadata))

    def child(self, operation: str) -> Self:
        """A context for a step inside this one: same user, thread and run, one deeper."""
        if not operation.strip():
            raise InvalidContextError("a child context needs the name of its operation")
        if self.depth >= MAX_DEPTH:
            raise InvalidContextError(f"contexts may nest {MAX_DEPTH} deep, not more")
        return replace(
            self,
            request_id=uuid.uuid4(),
            parent_request_id=self.request_id,
            depth=self.depth + 1,
            operation=operation,
            fingerprint="",
            _seal=_made_by_factory,
        )

    def verify(self) -> None:
        """Raise ContextIsolationError when a field was changed behind the factory's back."""
        try:
            genuine = self.fingerprint == self._fingerprint()
        except AttributeError:  # not even a UUID any more
            genuine = False
        if not genuine:
            raise ContextIsolationError("this context was altered after it was made")

    @property
    def correlation_id(self) -> str:
        """What log lines about this request have in common, short enough to read."""
        ids = (self.user_id, self.thread_id, self.run_id, self.request_id)
        return ":".join(str(each)[:8] for each in ids)

    def audit_trail(self) -> dict[str, object]:
        """Who, where and since when, for the log: no content, no metadata values."""
        return {
            "correlation_id": self.correlation_id,
            "user_id": str(self.user_id),
            "organisation_id": str(self.organisation_id),
            "thread_id": str(self.thread_id),
            "run_id": str(self.run_id),
            "request_id": str(self.request_id),
            "parent_request_id": str(self.parent_request_id or ""),
            "depth": self.depth,
            "operation": self.operation,
            "started_at": self.created_at.isoformat(),
            "age_seconds": (_now() - self.created_at).total_seconds(),
            "metadata_keys": sorted(self._metadata),
        }

    def _fingerprint(self) -> str:
        """SHA-256 of all that says whose request it is, under this process's key."""
        parent = self.parent_request_id
        facts = (
            _KEY,
            self.user_id.bytes,
            self.organisation_id.bytes,
            self.thread_id.bytes,
            self.run_id.bytes,
            self.request_id.bytes,
            b"" if parent is None else parent.bytes,
            self.tier.encode(),
            str(self.depth).encode(),
        )
        return sha256(b":".join(facts)).hexdigest()[:16]


def checked_context(value: object) -> UserExecutionContext:
    """`value` itself when it is an unaltered context: what each door to somebody's rows asks for.

    Raises TypeError for anything else, InvalidContextError for a DeepAgentState, and
    ContextIsolationError for a context that was altered.
    """
    if not isinstance(value, UserExecutionContext):
        refuse_deep_state(value)
        raise TypeError(f"a UserExecutionContext is needed, not {type(value).__name__}")
    value.verify()
    return value


def _checked_metadata(
    metadata: Mapping[str, object], user_id: UUID
) -> dict[str, object]:
    reserved = RESERVED & metadata.keys()
    if reserved:
        raise InvalidContextError(
            f"metadata may not hold the reserved keys {sorted(reserved)}"
        )
    _refuse_other_users(metadata, user_id)
    return copy.deepcopy(dict(metadata))


def _refuse_other_users(value: object, user_id: UUID) -> None:
    refuse_deep_state(value)
    if isinstance(value, Mapping):
        owner = value.get("user_id")
        if owner is not None and str(owner) != str(user_id):
            raise ContextIsolationError(
                f"nested value belongs to another user: {owner!r}"
            )
        for item in value.values():
            _refuse_other_users(item, user_id)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            _refuse_other_users(item, user_id)
