"""UserExecutionContext: for whom an execution runs, immutable and proved. No Django here."""

from __future__ import annotations

import copy
import hashlib
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Protocol, Self
from uuid import UUID

from apps.executions.errors import ContextIsolationError, InvalidContextError

MAX_DEPTH = 10
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
RESERVED = frozenset(
    {"user_id", "organisation_id", "thread_id", "run_id", "request_id", "created_at"}
)


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
    lowered = value.strip().lower()
    if lowered in PLACEHOLDERS or (
        len(value) < 20 and lowered.startswith(PLACEHOLDER_PREFIXES)
    ):
        raise InvalidContextError(f"{name} is the placeholder {value!r}")
    try:
        return real_id(UUID(lowered), name)
    except ValueError as error:
        raise InvalidContextError(f"{name} must be a UUID, not {value!r}") from error


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
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    fingerprint: str = ""
    _metadata: Mapping[str, object] = field(default_factory=dict, repr=False)
    _token: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    _seal: object = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self._seal is not _made_by_factory:
            raise InvalidContextError(
                "build a UserExecutionContext with the factory UserExecutionContext.for_principal(…)"
            )
        for name in ("user_id", "organisation_id", "thread_id", "run_id", "request_id"):
            real_id(getattr(self, name), name)
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
        return cls(
            user_id=real_id(principal.user_id, "user_id"),
            organisation_id=real_id(principal.organisation_id, "organisation_id"),
            thread_id=real_id(thread_id, "thread_id"),
            run_id=real_id(run_id, "run_id"),
            tier=principal.tier,
            _metadata=_checked_metadata(metadata or {}, principal.user_id),
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
            _token=secrets.token_hex(16),
            _seal=_made_by_factory,
        )

    def verify(self) -> None:
        """Raise ContextIsolationError when a field was changed behind the factory's back."""
        if self.fingerprint != self._fingerprint():
            raise ContextIsolationError("this context was altered after it was made")

    def _fingerprint(self) -> str:
        parts = (
            self.user_id,
            self.organisation_id,
            self.thread_id,
            self.run_id,
            self.request_id,
            self._token,
        )
        return hashlib.sha256(
            ":".join(str(part) for part in parts).encode()
        ).hexdigest()[:16]


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
