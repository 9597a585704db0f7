"""The admin of sessions: who is signed in where, and the way to end it."""

from __future__ import annotations

from itertools import groupby
from operator import attrgetter

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from apps.accounts import actions, validity
from apps.accounts.admin.actor import actor
from apps.accounts.admin.stepping import confirmed
from apps.accounts.events import EndOfAccess
from apps.accounts.listing import ProviderFilter
from apps.accounts.models import SignIn
from apps.accounts.sessions.browsers import named
from apps.core.admin import ReadOnlyAdmin
from apps.core.database import retrying, write_now
from apps.core.templatetags.netra import when

MOST = 500  # ended at once


@admin.register(SignIn)
class SignInAdmin(ReadOnlyAdmin):
    """Sessions of people. Their keys are nowhere."""

    fields = (
        "user",
        "method",
        "provider",
        "second_factor",
        "signed_in_at",
        "authenticated_at",
        "seen_at",
        "ends_at",
        "ended_at",
        "end_reason",
        "address",
        "agent",
    )
    list_display = (
        "user",
        "method",
        "provider",
        "second_factor",
        "device",
        "address",
        "since",
        "used",
        "end",
    )
    list_filter = (("ended_at", admin.EmptyFieldListFilter), "method", ProviderFilter)
    list_filter_submit = True
    list_select_related = ("user", "provider")
    search_fields = ("user__email", "user__name")
    actions = ("end_sessions",)

    @admin.display(description="Client")
    def device(self, row: SignIn) -> str:
        return named(row.agent)

    @admin.display(description="Signed in", ordering="signed_in_at")
    def since(self, row: SignIn) -> SafeString:
        return when(row.signed_in_at)

    @admin.display(description="Last used", ordering="seen_at")
    def used(self, row: SignIn) -> SafeString:
        return when(row.seen_at)

    @admin.display(description="Ended")
    def end(self, row: SignIn) -> str:
        return row.end_reason or "–"

    def has_end_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.change_signin")

    @admin.action(description="End these sessions", permissions=["end"])
    @confirmed
    def end_sessions(self, request: HttpRequest, rows: QuerySet[SignIn]) -> None:
        chosen = rows.filter(ended_at__isnull=True).select_related("provider")
        by_person = list(chosen.order_by("user_id")[:MOST])
        who = actor(request)

        def unit() -> int:
            return sum(
                actions.end_sign_ins(
                    actor=who, rows=list(own), why=EndOfAccess.SESSION_ENDED
                )
                for _, own in groupby(by_person, attrgetter("user_id"))
            )

        number = retrying(lambda: write_now(validity.SCOPE, unit))
        self.message_user(
            request, f"Ended: {number}. Their open pages close within seconds."
        )
