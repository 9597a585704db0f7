"""Names the admin site, so that lower apps register with it and import nothing upward."""

from __future__ import annotations

from django.contrib.admin.apps import AdminConfig


class NetraAdminConfig(AdminConfig):
    """The admin, shown by the site that ops owns."""

    default_site = "apps.ops.site.NetraAdminSite"
