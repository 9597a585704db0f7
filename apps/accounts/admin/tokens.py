"""The admin of API tokens."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.accounts import actions
from apps.accounts.admin.acting import act_on
from apps.accounts.admin.actor import actor
from apps.accounts.admin.stepping import confirmed
from apps.accounts.models import Token
from apps.core.admin import ReadOnlyAdmin
from apps.core.database import write_now
from apps.core.tenancy import tenant


@admin.register(Token)
class TokenAdmin(ReadOnlyAdmin):
    """API tokens: whose, since when, and the way to end them. The secret is nowhere."""

    fields = (
        "organisation",
        "user",
        "name",
        "prefix",
        "scopes",
        "created_at",
        "last_used_at",
        "expires_at",
        "revoked_at",
    )
    list_display = (
        "prefix",
        "name",
        "user",
        "organisation",
        "last_used_at",
        "expires_at",
        "revoked_at",
    )
    list_filter = (("revoked_at", admin.EmptyFieldListFilter),)
    list_filter_submit = True
    list_select_related = ("user", "organisation")
    search_fields = ("prefix", "name", "user__email")
    actions = ("revoke",)

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.change_token")

    @admin.action(description="Revoke", permissions=["revoke"])
    @confirmed
    def revoke(self, request: HttpRequest, rows: QuerySet[Token]) -> None:
        def end(token: Token) -> None:
            write_now(
                tenant(token.organisation_id),
                lambda: actions.revoke_token(actor=actor(request), token=token),
            )

        if act_on(request, rows, end):
            self.message_user(request, "Revoked. They stop working within seconds.")
