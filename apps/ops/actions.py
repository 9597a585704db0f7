"""What ops writes: the groups that carry the roles of staff."""

from __future__ import annotations

from django.contrib.auth.models import Group, Permission

from apps.ops.groups import ROLES


def ensure_groups() -> None:
    """Make the groups that are missing, and give each exactly the permissions of its role."""
    known = {
        f"{permission.content_type.app_label}.{permission.codename}": permission
        for permission in Permission.objects.select_related("content_type")
    }
    for name, wanted in ROLES.items():
        group, _ = Group.objects.get_or_create(name=name)
        group.permissions.set([known[each] for each in sorted(wanted) if each in known])
