"""The admin of providers and of the identities that they vouch for."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminPasswordWidget

from apps.accounts import actions
from apps.accounts.admin.acting import ActingAdmin, act_on
from apps.accounts.admin.actor import actor
from apps.accounts.admin.doctor import DoctorAdmin
from apps.accounts.admin.doctor_trace import TracedAdmin
from apps.accounts.admin.stepping import SteppedUpAdmin
from apps.accounts.listing import ProviderFilter
from apps.accounts.models import Identity, IdentityProvider
from apps.accounts.presets import issuer_problem
from apps.accounts.roles import map_problem
from apps.core.admin import ReadOnlyAdmin
from apps.core.templatetags.netra import when


class IdentityProviderForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic at run time
    """Takes a new secret and never shows the one that is kept."""

    new_secret = forms.CharField(
        label="Client secret",
        required=False,
        strip=True,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "off"}),
        help_text="Stored encrypted and never shown. Leave it empty to keep the present one.",
    )

    class Meta:
        model = IdentityProvider
        fields = (
            "organisation",
            "name",
            "provider_id",
            "issuer",
            "client_id",
            "new_secret",
            "preset",
            "token_auth",
            "ask_userinfo",
            "role_claim",
            "role_map",
            "secret_expires_at",
            "enabled",
            "creates_members",
            "default_role",
        )
        # The model validates the address; Django's own field warns about a future default.
        field_classes = {"issuer": forms.CharField}

    def clean_role_map(self) -> Any:
        if problem := map_problem(self.cleaned_data["role_map"]):
            raise ValidationError(problem)
        return self.cleaned_data["role_map"]

    def clean_issuer(self) -> str:
        issuer: str = self.cleaned_data["issuer"]
        if problem := issuer_problem(self.data.get("preset", ""), issuer):
            raise ValidationError(problem)
        return issuer

    def save(self, commit: bool = True) -> IdentityProvider:  # noqa: FBT001, FBT002 - Django's signature
        if secret := self.cleaned_data.get("new_secret"):
            self.instance.secret = secret
        row: IdentityProvider = super().save(commit)
        return row


@admin.register(IdentityProvider)
class IdentityProviderAdmin(DoctorAdmin, SteppedUpAdmin, TracedAdmin, ActingAdmin):
    """Through whom an organisation's people sign in."""

    form = IdentityProviderForm
    change_form_outer_before_template = "admin/accounts/doctor_buttons.html"
    list_display = (
        "name",
        "organisation",
        "provider_id",
        "preset",
        "issuer",
        "enabled",
    )
    list_filter = ("enabled", "creates_members")
    list_filter_submit = True
    list_select_related = ("organisation",)
    search_fields = ("name", "provider_id", "organisation__name")
    autocomplete_fields = ("organisation",)
    readonly_fields = ("created_at",)

    def get_readonly_fields(
        self, request: HttpRequest, obj: IdentityProvider | None = None
    ) -> tuple[str, ...]:
        # Identities hang on the name: whoever got a freed one would inherit its people.
        return (
            ("provider_id", "organisation", *self.readonly_fields)
            if obj
            else self.readonly_fields
        )

    def has_delete_permission(
        self, request: HttpRequest, obj: IdentityProvider | None = None
    ) -> bool:
        return False

    def save_model(
        self,
        request: HttpRequest,
        obj: IdentityProvider,
        form: forms.ModelForm[IdentityProvider],
        change: bool,  # noqa: FBT001 - Django's signature
    ) -> None:
        store = actions.change_provider if change else actions.create_provider
        store(actor=actor(request), provider=obj)


@admin.register(Identity)
class IdentityAdmin(ReadOnlyAdmin):
    """Which person a provider means by which subject."""

    list_display = (
        "email",
        "user",
        "provider",
        "organisation",
        "status",
        "reason",
        "used",
    )
    list_filter = ("status", ProviderFilter)
    list_filter_submit = True
    list_select_related = ("user", "provider", "organisation")
    search_fields = ("email", "sub", "user__email")
    fields = (
        "user",
        "provider",
        "organisation",
        "email",
        "sub",
        "status",
        "reason",
        "linked",
        "used",
    )
    actions = ("suspend", "lift", "unlink")

    def has_suspend_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("accounts.change_identity"))

    def has_unlink_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("accounts.delete_identity"))

    @admin.display(description="Last used", ordering="last_used_at")
    def used(self, row: Identity) -> SafeString:
        return when(row.last_used_at)

    @admin.display(description="Linked", ordering="linked_at")
    def linked(self, row: Identity) -> SafeString:
        return when(row.linked_at)

    @admin.action(description="Suspend: no sign-in this way", permissions=["suspend"])
    def suspend(self, request: HttpRequest, rows: QuerySet[Identity]) -> None:
        if self._set(request, rows, Identity.Status.SUSPENDED):
            self.message_user(request, "Suspended. Their open sessions end now.")

    @admin.action(description="Lift the suspension", permissions=["suspend"])
    def lift(self, request: HttpRequest, rows: QuerySet[Identity]) -> None:
        if self._set(request, rows, Identity.Status.ACTIVE):
            self.message_user(request, "Lifted.")

    @admin.action(
        description="Unlink: forget that this subject is that person",
        permissions=["unlink"],
    )
    def unlink(self, request: HttpRequest, rows: QuerySet[Identity]) -> None:
        by = actor(request)
        if act_on(
            request,
            rows,
            lambda row: actions.unlink_identity(actor=by, identity=row),
        ):
            self.message_user(
                request,
                "Unlinked. Who still is a member is linked anew at the next sign-in.",
            )

    def _set(self, request: HttpRequest, rows: QuerySet[Identity], status: str) -> int:
        by = actor(request)
        return act_on(
            request,
            rows,
            lambda row: actions.set_identity_status(
                actor=by, identity=row, status=status
            ),
        )
