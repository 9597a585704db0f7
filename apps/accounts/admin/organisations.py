"""The admin of organisations and of who belongs to them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.widgets import UnfoldAdminIntegerFieldWidget

from apps.accounts import access, actions
from apps.accounts.admin.acting import ActingAdmin, act_on
from apps.accounts.admin.actor import actor
from apps.accounts.admin.doctor_trace import CONFIRMED, EnforcingAdmin
from apps.accounts.listing import OrganisationFilter
from apps.accounts.models import Membership, Organisation

EXECUTIONS_MOST = 10_000  # more at once is a slip of the keyboard


class OrganisationForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic at run time
    """An organisation, with what its tier allows beside its own limit."""

    concurrent_executions = forms.IntegerField(
        label="Executions at once",
        required=False,
        min_value=1,
        max_value=EXECUTIONS_MOST,
        widget=UnfoldAdminIntegerFieldWidget,
    )

    class Meta:
        model = Organisation
        fields = (
            "name",
            "slug",
            "kind",
            "tier",
            "status",
            "concurrent_executions",
            "signed_up_with",
            "sso_required",
            "session_idle_minutes",
            "session_hours",
            "grants_need_consent",
        )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        field = self.fields.get("concurrent_executions")
        if field is not None:
            plan = self.instance.plan
            field.help_text = (
                "How many agents may work for it at the same time; others wait. "
                f"Empty: as its tier says, {plan.concurrent_executions} at present. "
                f"Of one person never more than {plan.concurrent_executions_per_user}."
            )


@admin.register(Organisation)
class OrganisationAdmin(EnforcingAdmin, ActingAdmin):
    """Companies that use Netra. None is ever deleted: rows of all apps hang on it."""

    organisation_column = "pk"
    form = OrganisationForm
    list_display = ("name", "slug", "kind", "tier", "status", "created_at")
    list_filter = ("kind", "tier", "status")
    list_filter_submit = True
    search_fields = ("name", "slug")
    readonly_fields = ("created_at",)

    def get_readonly_fields(
        self, request: HttpRequest, obj: Organisation | None = None
    ) -> tuple[str, ...]:
        # Whose consent support needs is the owners' to say, on their own page.
        fixed = ("slug", "kind", "signed_up_with", "grants_need_consent", "speaks_for")
        return (*fixed, *self.readonly_fields) if obj else self.readonly_fields

    @admin.display(description="Proved mail domains")
    def speaks_for(self, row: Organisation) -> str:
        return ", ".join(sorted(access.proved_domains(row.pk))) or "None."

    def save_model(
        self,
        request: HttpRequest,
        obj: Organisation,
        form: forms.ModelForm[Organisation],
        change: bool,  # noqa: FBT001 - Django's signature
    ) -> None:
        if not change:
            actions.create_organisation(actor=actor(request), organisation=obj)
            return
        actions.change_organisation(
            actor=actor(request),
            organisation=obj,
            confirmed=request.POST.get(CONFIRMED, ""),
        )

    def has_delete_permission(
        self, request: HttpRequest, obj: Organisation | None = None
    ) -> bool:
        return False


@admin.register(Membership)
class MembershipAdmin(ActingAdmin):
    """Who belongs where, and as what."""

    list_display = ("user", "organisation", "role", "created_at")
    list_filter = ("role", OrganisationFilter)
    list_filter_submit = True
    list_select_related = ("user", "organisation")
    search_fields = ("user__email", "user__name", "organisation__name")
    actions = ("remove",)
    autocomplete_fields = ("user", "organisation")

    def get_readonly_fields(
        self, request: HttpRequest, obj: Membership | None = None
    ) -> tuple[str, ...]:
        return ("user", "organisation", "created_at") if obj else ("created_at",)

    def save_model(
        self,
        request: HttpRequest,
        obj: Membership,
        form: forms.ModelForm[Membership],
        change: bool,  # noqa: FBT001 - Django's signature
    ) -> None:
        if change:
            actions.change_role(actor=actor(request), membership=obj, role=obj.role)
            return
        made = actions.add_member(
            actor=actor(request),
            organisation=obj.organisation,
            user=obj.user,
            role=obj.role,
        )
        obj.pk, obj.created_at = made.pk, made.created_at

    def delete_model(self, request: HttpRequest, obj: Membership) -> None:
        actions.remove_member(actor=actor(request), membership=obj)

    @admin.action(description="Remove from the organisation", permissions=["delete"])
    def remove(self, request: HttpRequest, rows: QuerySet[Membership]) -> None:
        by = actor(request)
        done = act_on(
            request,
            rows,
            lambda row: actions.remove_member(actor=by, membership=row),
        )
        if done:
            self.message_user(request, f"Removed: {done}.")
