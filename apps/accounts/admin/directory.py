"""The admin of directories: their tokens, what they told us, and which role a group gives."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from unfold.widgets import UnfoldAdminIntegerFieldWidget

from apps.accounts import actions
from apps.accounts.actions.scim_tokens import DAYS_MOST, DAYS_USUAL
from apps.accounts.admin.acting import ActingAdmin, act_on
from apps.accounts.admin.actor import actor
from apps.accounts.listing import OrganisationFilter, TenantRowsAdmin
from apps.accounts.models import (
    DirectoryGroup,
    DirectoryUser,
    Membership,
    ScimToken,
)
from apps.accounts.queries import canaries
from apps.accounts.roles import GIVEN
from apps.accounts.sessions.stepup import step_up, stepped_up
from apps.core.database import write_now
from apps.core.tenancy import tenant


class ScimTokenForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic at run time
    """What a new token is for, and how long it holds."""

    days = forms.IntegerField(
        label="Days until it ends",
        min_value=1,
        max_value=DAYS_MOST,
        initial=DAYS_USUAL,
        widget=UnfoldAdminIntegerFieldWidget,
    )

    class Meta:
        model = ScimToken
        fields = ("organisation", "name")


@admin.register(ScimToken)
class ScimTokenAdmin(ActingAdmin, TenantRowsAdmin):
    """Tokens of organisations' directories. The secret is shown once, when it is made."""

    form = ScimTokenForm
    list_display = (
        "prefix",
        "name",
        "organisation",
        "last_used_at",
        "expires_at",
        "revoked_at",
    )
    list_filter = (OrganisationFilter, ("revoked_at", admin.EmptyFieldListFilter))
    search_fields = ("prefix", "name")
    autocomplete_fields = ("organisation",)
    fields = (
        "organisation",
        "name",
        "prefix",
        "created_at",
        "last_used_at",
        "expires_at",
        "revoked_at",
    )
    actions = ("revoke",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("accounts.add_scimtoken"))

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("accounts.change_scimtoken"))

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return self.fields if obj else ("organisation", "name", "days")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return super().get_readonly_fields(request, obj) if obj else []

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponseBase:
        """Whoever makes a token proves first that it is they."""
        if not stepped_up(request):
            return step_up(request, request.get_full_path())
        page: HttpResponseBase = super().add_view(request, form_url, extra_context)
        return page

    def save_model(
        self,
        request: HttpRequest,
        obj: ScimToken,
        form: forms.ModelForm[ScimToken],
        change: bool,  # noqa: FBT001 - Django's signature
    ) -> None:
        days = form.cleaned_data["days"]
        made, secret = write_now(
            tenant(obj.organisation_id),
            lambda: actions.create_scim_token(
                actor=actor(request),
                organisation=obj.organisation,
                name=obj.name,
                days=days,
            ),
        )
        obj.pk, obj.prefix, obj.expires_at = made.pk, made.prefix, made.expires_at
        setattr(request, "made_secret", secret)  # noqa: B010 - Django's type has no such attribute

    def response_add(
        self, request: HttpRequest, obj: ScimToken, post_url_continue: Any = None
    ) -> HttpResponse:
        """The page itself, no redirect: a message would keep the secret in a cookie."""
        context = {
            **self.admin_site.each_context(request),
            "title": "A new directory token",
            "opts": self.opts,
            "token": obj,
            "secret": getattr(request, "made_secret", ""),
            "address": request.build_absolute_uri("/scim/v2"),
        }
        return TemplateResponse(request, "admin/accounts/scimtoken/made.html", context)

    @admin.action(description="Revoke", permissions=["revoke"])
    def revoke(self, request: HttpRequest, rows: QuerySet[ScimToken]) -> None:
        def end(token: ScimToken) -> None:
            write_now(
                tenant(token.organisation_id),
                lambda: actions.revoke_scim_token(actor=actor(request), token=token),
            )

        if act_on(request, rows, end):
            self.message_user(request, "Revoked. They stop working at once.")


@admin.register(DirectoryUser)
class DirectoryUserAdmin(TenantRowsAdmin):
    """People as their organisation's directory describes them. Only the directory changes them."""

    list_display = (
        "user_name",
        "organisation",
        "user",
        "active",
        "external_id",
        "changed_at",
    )
    list_filter = ("active", OrganisationFilter)
    list_select_related = ("organisation", "user")
    search_fields = ("user_name", "external_id", "user__email")


class DirectoryGroupForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic at run time
    """The role that a group gives: all but owner."""

    role = forms.ChoiceField(
        choices=[("", "None")]
        + [pair for pair in Membership.Role.choices if pair[0] in GIVEN],
        required=False,
        help_text="Its members have at least this role. Owners stay owners.",
    )

    class Meta:
        model = DirectoryGroup
        fields = ("role",)

    def clean(self) -> dict[str, Any]:
        told: dict[str, Any] = super().clean() or {}
        if not self.instance.pk:
            raise ValidationError("Groups come from the directory.")
        return told


@admin.register(DirectoryGroup)
class DirectoryGroupAdmin(ActingAdmin):
    """Groups of organisations' directories, and the role that each gives."""

    form = DirectoryGroupForm
    list_display = ("name", "organisation", "role", "people", "changed_at")
    list_filter = ("role", OrganisationFilter)
    list_filter_submit = True
    list_select_related = ("organisation",)
    search_fields = ("name", "external_id")
    fields = ("organisation", "name", "external_id", "changed_at", "role")
    readonly_fields = ("organisation", "name", "external_id", "changed_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[DirectoryGroup]:
        rows: QuerySet[DirectoryGroup] = super().get_queryset(request)
        return rows.exclude(organisation__in=canaries()).annotate(
            people=Count("members")
        )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="People", ordering="people")
    def people(self, row: DirectoryGroup) -> int:
        return int(getattr(row, "people", 0))

    def save_model(
        self,
        request: HttpRequest,
        obj: DirectoryGroup,
        form: forms.ModelForm[DirectoryGroup],
        change: bool,  # noqa: FBT001 - Django's signature
    ) -> None:
        write_now(
            tenant(obj.organisation_id),
            lambda: actions.set_group_role(
                actor=actor(request), group=obj, role=form.cleaned_data["role"]
            ),
        )
