"""The admin of agents: what each organisation has."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString

from apps.accounts.listing import OrganisationFilter, TenantRowsAdmin
from apps.accounts.models import User
from apps.agents import actions
from apps.agents.models import Agent
from apps.core.actors import Actor
from apps.core.templatetags.netra import when


@admin.register(Agent)
class AgentAdmin(TenantRowsAdmin):
    """Agents of all organisations. Only what becomes of a message meanwhile can be changed here."""

    list_display = (
        "title",
        "name",
        "organisation",
        "model_name",
        "while_busy",
        "enabled",
        "added",
    )
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
        "while_busy",
        "enabled",
        "added",
    )

    def has_change_permission(
        self, request: HttpRequest, obj: Agent | None = None
    ) -> bool:
        return bool(request.user.has_perm("agents.change_agent"))

    def get_readonly_fields(
        self, request: HttpRequest, obj: Agent | None = None
    ) -> list[str]:
        fixed = super().get_readonly_fields(request, obj)
        return [name for name in fixed if name != "while_busy"]

    def save_model(
        self,
        request: HttpRequest,
        obj: Agent,
        form: Any,
        change: bool,  # noqa: FBT001 - Django's signature
    ) -> None:
        assert isinstance(request.user, User)
        actor = Actor.staff(request.user.pk, request.user.email)
        actions.set_while_busy(actor=actor, agent=obj, policy=obj.while_busy)

    @admin.display(description="Model", ordering="model")
    def model_name(self, row: Agent) -> str:
        return row.model or "the installation's own"

    @admin.display(description="Added", ordering="created_at")
    def added(self, row: Agent) -> SafeString:
        return when(row.created_at)
