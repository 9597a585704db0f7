"""The admin of agents: what each organisation has."""

from __future__ import annotations

from django.contrib import admin
from django.utils.safestring import SafeString

from apps.accounts.listing import OrganisationFilter, TenantRowsAdmin
from apps.agents.models import Agent
from apps.core.templatetags.netra import when


@admin.register(Agent)
class AgentAdmin(TenantRowsAdmin):
    """Agents of all organisations."""

    list_display = ("title", "name", "organisation", "model_name", "enabled", "added")
    list_filter = (OrganisationFilter, "enabled")
    search_fields = ("name", "title")
    search_help_text = "Name or title of an agent"
    ordering = ("organisation__name", "name")
    fields = (
        "title",
        "name",
        "organisation",
        "description",
        "model_name",
        "enabled",
        "added",
    )

    @admin.display(description="Model", ordering="model")
    def model_name(self, row: Agent) -> str:
        return row.model or "the installation's own"

    @admin.display(description="Added", ordering="created_at")
    def added(self, row: Agent) -> SafeString:
        return when(row.created_at)
