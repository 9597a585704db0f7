"""The admin of people: who they are, where they belong, how they sign in."""

from __future__ import annotations

from typing import Any

import allauth.account.admin
import allauth.mfa.admin
import allauth.socialaccount.admin  # noqa: F401 - registers; what it registers is taken away below
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from django import forms
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminPasswordWidget

from apps.accounts import actions
from apps.accounts.models import (
    Identity,
    IdentityProvider,
    Membership,
    Organisation,
    Token,
    User,
)
from apps.core.actors import Actor
from apps.core.admin import ReadOnlyAdmin

EXECUTIONS_MOST = 10_000  # more at once is a slip of the keyboard

# Their rows are details of ours: one place to look at, one place to change.
for _model in (
    EmailAddress,
    SocialAccount,
    SocialApp,
    SocialToken,
    Authenticator,
    Group,
):
    if admin.site.is_registered(_model):
        admin.site.unregister(_model)


def _actor(request: HttpRequest) -> Actor:
    assert isinstance(request.user, User)
    return Actor.staff(request.user.pk, request.user.email)


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):  # type: ignore[misc]  # unfold ships no types
    """What kinds of staff may do."""


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):  # type: ignore[misc,type-arg]  # unfold ships no types
    """People. Power over the admin is given by platform admins only."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    ordering = ("email",)
    list_display = ("email", "name", "is_active", "is_staff", "created_at")
    list_filter = ("is_active", "is_staff", "groups")
    list_filter_submit = True
    search_fields = ("email", "name")
    filter_horizontal = ()
    readonly_fields = ("created_at", "last_login")
    fieldsets = (
        (None, {"fields": ("email", "name", "password")}),
        ("May", {"fields": ("is_active", "is_staff", "is_superuser", "groups")}),
        ("Dates", {"fields": ("created_at", "last_login")}),
    )
    add_fieldsets = (
        (
            None,
            {"fields": ("email", "name", "usable_password", "password1", "password2")},
        ),
    )
    power = ("is_staff", "is_superuser", "groups")

    def get_readonly_fields(
        self, request: HttpRequest, obj: User | None = None
    ) -> tuple[str, ...]:
        fixed: tuple[str, ...] = tuple(super().get_readonly_fields(request, obj))
        return fixed if request.user.is_superuser else fixed + self.power

    def has_change_permission(
        self, request: HttpRequest, obj: User | None = None
    ) -> bool:
        # Whoever may change a password may become that person.
        above = (
            obj is not None
            and (obj.is_superuser or obj.is_staff)
            and not request.user.is_superuser
        )
        return not above and bool(super().has_change_permission(request, obj))


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
class OrganisationAdmin(ModelAdmin):  # type: ignore[misc]  # unfold ships no types
    """Companies that use Netra. None is ever deleted: rows of all apps hang on it."""

    form = OrganisationForm
    list_display = ("name", "slug", "kind", "tier", "status", "created_at")
    list_filter = ("kind", "tier", "status")
    list_filter_submit = True
    search_fields = ("name", "slug")
    readonly_fields = ("created_at",)

    def get_readonly_fields(
        self, request: HttpRequest, obj: Organisation | None = None
    ) -> tuple[str, ...]:
        return ("slug", "kind", *self.readonly_fields) if obj else self.readonly_fields

    def has_delete_permission(
        self, request: HttpRequest, obj: Organisation | None = None
    ) -> bool:
        return False


@admin.register(Membership)
class MembershipAdmin(ModelAdmin):  # type: ignore[misc]  # unfold ships no types
    """Who belongs where, and as what."""

    list_display = ("user", "organisation", "role", "created_at")
    list_filter = ("role", "organisation")
    list_filter_submit = True
    list_select_related = ("user", "organisation")
    search_fields = ("user__email", "user__name", "organisation__name")
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
            actions.change_role(actor=_actor(request), membership=obj, role=obj.role)
            return
        made = actions.add_member(
            actor=_actor(request),
            organisation=obj.organisation,
            user=obj.user,
            role=obj.role,
        )
        obj.pk, obj.created_at = made.pk, made.created_at

    def delete_model(self, request: HttpRequest, obj: Membership) -> None:
        actions.remove_member(actor=_actor(request), membership=obj)

    def delete_queryset(
        self, request: HttpRequest, queryset: QuerySet[Membership]
    ) -> None:
        for membership in queryset:
            actions.remove_member(actor=_actor(request), membership=membership)


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
            "email_domain",
            "enabled",
            "creates_members",
            "default_role",
        )
        # The model validates the address; Django's own field warns about a future default.
        field_classes = {"issuer": forms.CharField}

    def save(self, commit: bool = True) -> IdentityProvider:  # noqa: FBT001, FBT002 - Django's signature
        if secret := self.cleaned_data.get("new_secret"):
            self.instance.secret = secret
        row: IdentityProvider = super().save(commit)
        return row


@admin.register(IdentityProvider)
class IdentityProviderAdmin(ModelAdmin):  # type: ignore[misc]  # unfold ships no types
    """Through whom an organisation's people sign in."""

    form = IdentityProviderForm
    list_display = (
        "name",
        "organisation",
        "provider_id",
        "email_domain",
        "issuer",
        "enabled",
    )
    list_filter = ("enabled", "creates_members")
    list_filter_submit = True
    list_select_related = ("organisation",)
    search_fields = ("name", "provider_id", "email_domain", "organisation__name")
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


@admin.register(Identity)
class IdentityAdmin(ReadOnlyAdmin):
    """Which person a provider means by which subject."""

    list_display = (
        "email",
        "user",
        "provider",
        "organisation",
        "status",
        "last_used_at",
    )
    list_filter = ("status", "provider")
    list_filter_submit = True
    list_select_related = ("user", "provider", "organisation")
    search_fields = ("email", "sub", "user__email")
    actions = ("suspend", "lift")

    def has_suspend_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.change_identity")

    @admin.action(description="Suspend: no sign-in this way", permissions=["suspend"])
    def suspend(self, request: HttpRequest, rows: QuerySet[Identity]) -> None:
        for identity in rows:
            actions.set_identity_status(
                actor=_actor(request),
                identity=identity,
                status=Identity.Status.SUSPENDED,
            )
        self.message_user(
            request, "Suspended. Sessions that are open stay until they end."
        )

    @admin.action(description="Lift the suspension", permissions=["suspend"])
    def lift(self, request: HttpRequest, rows: QuerySet[Identity]) -> None:
        for identity in rows:
            actions.set_identity_status(
                actor=_actor(request), identity=identity, status=Identity.Status.ACTIVE
            )
        self.message_user(request, "Lifted.")


@admin.register(Token)
class TokenAdmin(ReadOnlyAdmin):
    """API tokens: whose, since when, and the way to end them. The secret is nowhere."""

    fields = (
        "organisation",
        "user",
        "name",
        "prefix",
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
    def revoke(self, request: HttpRequest, rows: QuerySet[Token]) -> None:
        for token in rows:
            actions.revoke_token(actor=_actor(request), token=token)
        self.message_user(request, "Revoked. They stop working within seconds.")
