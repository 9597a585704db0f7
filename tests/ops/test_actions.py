"""The roles of staff."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, Permission

from apps.ops.actions import ensure_groups
from apps.ops.groups import ROLES

pytestmark = [pytest.mark.django_db, pytest.mark.security]


def permissions(role: str) -> set[str]:
    rows = Permission.objects.filter(group__name=role).select_related("content_type")
    return {f"{row.content_type.app_label}.{row.codename}" for row in rows}


def test_a_migrated_database_has_the_four_roles():
    assert set(Group.objects.values_list("name", flat=True)) >= set(ROLES)


@pytest.mark.parametrize("role", sorted(ROLES))
def test_each_role_has_exactly_its_permissions_and_all_of_them_exist(role):
    assert permissions(role) == ROLES[role]


def test_making_them_again_takes_away_what_was_added():
    group = Group.objects.get(name="support_viewer")
    group.permissions.add(Permission.objects.get(codename="delete_user"))

    ensure_groups()

    assert permissions("support_viewer") == ROLES["support_viewer"]


def test_only_operators_and_platform_admins_may_cancel():
    allowed = {role for role in ROLES if "executions.change_execution" in ROLES[role]}

    assert allowed == {"support_operator", "support_lead", "platform_admin"}


def test_no_role_may_add_or_delete_what_agents_did():
    forbidden = {
        f"{app}.{verb}_{model}"
        for verb in ("add", "delete")
        for app, model in (
            ("executions", "execution"),
            ("chat", "thread"),
            ("issues", "issue"),
            ("audits", "receipt"),
            ("usage", "record"),
        )
    }

    assert not forbidden & set().union(*ROLES.values())
