"""What enters the sealed trail: the acts of people and the decisions about security, by name.

The names are part of the export: add some, never rename or reuse one.
"""

from __future__ import annotations

from enum import StrEnum


class Act(StrEnum):
    """What was done, or refused."""

    # signing in
    SIGNED_IN = "signed_in"
    SIGN_IN_REFUSED = "sign_in_refused"
    SIGN_INS_FAILED = (
        "sign_ins_failed"  # wrong passwords, gathered by source and minute
    )
    SIGNED_OUT = "signed_out"
    SESSION_ENDED = "session_ended"
    STEPPED_UP = "stepped_up"
    SECOND_FACTOR_CHANGED = "second_factor_changed"
    # people and places
    PERSON_CREATED = "person_created"
    PERSON_CHANGED = "person_changed"
    MEMBER_ADDED = "member_added"
    MEMBER_REMOVED = "member_removed"
    ROLE_CHANGED = "role_changed"
    STAFF_ROLE_CHANGED = "staff_role_changed"
    ORGANISATION_CREATED = "organisation_created"
    ORGANISATION_CHANGED = "organisation_changed"
    # company sign-in
    PROVIDER_CREATED = "provider_created"
    PROVIDER_CHANGED = "provider_changed"
    PROVIDER_TESTED = "provider_tested"  # and what a sign-in would do
    DOMAIN_CLAIMED = "domain_claimed"
    DOMAIN_PROVED = "domain_proved"
    DOMAIN_SUSPENDED = "domain_suspended"
    DOMAIN_RELEASED = "domain_released"
    IDENTITY_LINKED = "identity_linked"
    IDENTITY_CHANGED = "identity_changed"
    IDENTITY_UNLINKED = "identity_unlinked"
    DIRECTORY_CHANGED = "directory_changed"  # SCIM
    # tokens and keys
    TOKEN_CREATED = "token_created"  # noqa: S105 - the name of an act
    TOKEN_REVOKED = "token_revoked"  # noqa: S105 - the name of an act
    KEYS_ROTATED = "keys_rotated"
    # executions
    EXECUTION_ENDED = "execution_ended"  # with the digest of its transitions and events
    EXECUTION_CANCELLED_BY_STAFF = "execution_cancelled_by_staff"
    BREAKER_CHANGED = "breaker_changed"
    # support
    GRANT_REQUESTED = "grant_requested"
    GRANT_APPROVED = "grant_approved"
    GRANT_REFUSED = "grant_refused"
    GRANT_ENDED = "grant_ended"
    GRANT_REVIEWED = "grant_reviewed"
    CONTENT_READ = "content_read"
    # the rest
    EXPORTED = "exported"
    ISSUE_CHANGED = "issue_changed"
    ISSUE_CLOSED = "issue_closed"
    ISOLATION_AUDITED = "isolation_audited"
    SETTING_CHANGED = "setting_changed"
    TRAIL_CUT = "trail_cut"


class Outcome(StrEnum):
    """How it went."""

    DONE = "done"
    REFUSED = "refused"
