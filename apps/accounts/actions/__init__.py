"""Every write of accounts: check, write, record in the trail, announce, return."""

from __future__ import annotations

from apps.accounts.actions.directory import (
    change_directory_user,
    create_directory_user,
    is_decision,
    refuse_directory_change,
    remove_directory_user,
)
from apps.accounts.actions.directory_groups import (
    change_directory_group,
    create_directory_group,
    remove_directory_group,
    set_group_role,
)
from apps.accounts.actions.domains import (
    claim_domain,
    note_look_up,
    record_refused_proof,
    release_domain,
)
from apps.accounts.actions.identities import (
    link_identity,
    set_identity_status,
    unlink_identity,
)
from apps.accounts.actions.keys import (
    make_key,
    note_resealed,
    reseal_column,
    reseal_second_factors,
    sealed_columns,
    stale,
)
from apps.accounts.actions.members import add_member, change_role, remove_member
from apps.accounts.actions.organisations import (
    change_organisation,
    create_organisation,
)
from apps.accounts.actions.people import (
    change_person,
    create_person,
    create_platform_admin,
    follow_address,
    record_new_password,
    save_new_person,
    set_staff_roles,
)
from apps.accounts.actions.providers import (
    change_provider,
    create_provider,
    record_provider_test,
)
from apps.accounts.actions.scim_tokens import (
    create_scim_token,
    note_scim_token_use,
    revoke_scim_token,
)
from apps.accounts.actions.sessions import (
    actor_of,
    begin_sign_in,
    change_second_factor,
    confirm_sign_in,
    continue_sign_in,
    end_outdated,
    end_sign_ins,
    end_what_stood_on,
    follow_session,
    note_session_use,
    sweep_sign_ins,
)
from apps.accounts.actions.tokens import create_token, note_token_use, revoke_token

__all__ = [
    "actor_of",
    "add_member",
    "begin_sign_in",
    "change_directory_group",
    "change_directory_user",
    "change_organisation",
    "change_person",
    "change_provider",
    "change_role",
    "change_second_factor",
    "claim_domain",
    "confirm_sign_in",
    "continue_sign_in",
    "create_directory_group",
    "create_directory_user",
    "create_organisation",
    "create_person",
    "create_platform_admin",
    "create_provider",
    "create_scim_token",
    "create_token",
    "end_outdated",
    "end_sign_ins",
    "end_what_stood_on",
    "follow_address",
    "follow_session",
    "is_decision",
    "link_identity",
    "make_key",
    "note_look_up",
    "note_resealed",
    "note_scim_token_use",
    "note_session_use",
    "note_token_use",
    "record_new_password",
    "record_provider_test",
    "record_refused_proof",
    "refuse_directory_change",
    "release_domain",
    "remove_directory_group",
    "remove_directory_user",
    "remove_member",
    "reseal_column",
    "reseal_second_factors",
    "revoke_scim_token",
    "revoke_token",
    "save_new_person",
    "sealed_columns",
    "set_group_role",
    "set_identity_status",
    "set_staff_roles",
    "stale",
    "sweep_sign_ins",
    "unlink_identity",
]
