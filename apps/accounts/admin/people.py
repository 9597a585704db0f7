"""The admin of accounts and of what kinds of staff may do."""

from __future__ import annotations

from typing import Any

import allauth.account.admin
import allauth.mfa.admin
import allauth.socialaccount.admin  # noqa: F401 - registers; what it registers is taken away below
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from apps.accounts import access, actions
from apps.accounts.admin.acting import ActingAdmin
from apps.accounts.admin.actor import actor
from apps.accounts.admin.stepping import asked
from apps.accounts.models import User
from apps.accounts.sessions.stepup import stepped_up
from apps.core import canaries
from apps.core.admin import ReadOnlyAdmin

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


@admin.register(Group)
class GroupAdmin(ReadOnlyAdmin):
    """What kinds of staff may do, to look at: the rights are a table in the code (ops.groups)."""

    fields = ("name", "permissions")
    search_fields = ("name",)


@admin.register(User)
class UserAdmin(ActingAdmin, DjangoUserAdmin):  # type: ignore[misc,type-arg]  # unfold ships no types
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

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        rows: QuerySet[User] = super().get_queryset(request)
        if not canaries.hidden():
            return rows
        return rows.exclude(email__endswith=canaries.ADDRESSES)

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

    def has_delete_permission(
        self, request: HttpRequest, obj: User | None = None
    ) -> bool:
        # Closed, never deleted: what people did stands in rows of all apps, and an owner may be the last.
        return False

    def save_model(
        self,
        request: HttpRequest,
        obj: User,
        form: Any,
        change: bool,  # noqa: FBT001 - Django's signature
    ) -> None:
        store = actions.change_person if change else actions.save_new_person
        store(actor=actor(request), user=obj)

    def save_related(
        self, request: HttpRequest, form: Any, formsets: Any, change: Any
    ) -> None:
        person: User = form.instance
        before = sorted(person.groups.values_list("name", flat=True))
        super().save_related(request, form, formsets, change)
        actions.set_staff_roles(actor=actor(request), user=person, before=before)

    def user_change_password(
        self,
        request: HttpRequest,
        id: str,  # noqa: A002 - Django's name
        form_url: str = "",
    ) -> HttpResponse:
        person = self.get_object(request, unquote(id))
        if person is not None and access.is_a_customers(person.pk):
            raise PermissionDenied(
                "Members of customers set their own passwords: whoever sets one could sign in as them."
            )
        if not stepped_up(request):
            return asked(request)
        # Like Django's other forms: the password and what the trail says of it, or neither.
        with transaction.atomic():
            return super().user_change_password(request, id, form_url)

    def construct_change_message(
        self, request: HttpRequest, form: Any, *rest: Any, **options: Any
    ) -> Any:
        if isinstance(form, AdminPasswordChangeForm):
            actions.record_new_password(actor=actor(request), user=form.user)
        return super().construct_change_message(request, form, *rest, **options)
