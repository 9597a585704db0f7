"""Who may do what: one table of operations and roles, and one question. Published in docs/security.md.

Pure. From a credential to a principal: access. Staff's Django permissions: ops.groups, made from here.
"""

from __future__ import annotations

from enum import StrEnum


class Operation(StrEnum):
    """What a member of an organisation may do in it."""

    READ_THREADS = "read_threads"  # own ones
    ASK = "ask"
    DECIDE_APPROVALS = "decide_approvals"
    READ_USAGE = "read_usage"
    WRITE_USAGE = "write_usage"
    KEEP_OWN_TOKENS = "keep_own_tokens"
    SEE_MEMBERS = "see_members"
    CHANGE_MEMBERS = "change_members"
    CHANGE_OWNERS = "change_owners"  # make or unmake an owner
    CHANGE_SIGN_IN = "change_sign_in"  # providers, domains, enforced sign-in, sessions
    KEEP_DIRECTORY_TOKENS = "keep_directory_tokens"  # SCIM
    READ_TRAIL = "read_trail"
    EXPORT_TRAIL = "export_trail"
    SEE_GRANTS = "see_grants"
    DECIDE_GRANTS = "decide_grants"


VIEWER = frozenset({Operation.READ_THREADS, Operation.READ_USAGE})
MEMBER = VIEWER | {
    Operation.ASK,
    Operation.DECIDE_APPROVALS,
    Operation.WRITE_USAGE,
    Operation.KEEP_OWN_TOKENS,
}
ADMIN = MEMBER | {
    Operation.SEE_MEMBERS,
    Operation.CHANGE_MEMBERS,
    Operation.CHANGE_SIGN_IN,
    Operation.KEEP_DIRECTORY_TOKENS,
    Operation.READ_TRAIL,
    Operation.SEE_GRANTS,
}
OWNER = ADMIN | {
    Operation.CHANGE_OWNERS,
    Operation.EXPORT_TRAIL,
    Operation.DECIDE_GRANTS,
}
MAY: dict[str, frozenset[Operation]] = {
    "viewer": VIEWER,
    "member": MEMBER,
    "admin": ADMIN,
    "owner": OWNER,
}


class TokenScope(StrEnum):
    """What an API token may be used for; a token without scopes may do all its owner may."""

    CHAT = "chat"
    USAGE_READ = "usage:read"
    USAGE_WRITE = "usage:write"


def can(role: str, operation: Operation) -> bool:
    """Whether this role of an organisation may do it. An unknown role may do nothing."""
    return operation in MAY.get(role, frozenset())
