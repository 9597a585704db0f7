"""The admin of conversations: counts and sizes only. Titles and messages are content."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.accounts.listing import OrganisationFilter, TenantRowsAdmin
from apps.accounts.models import User
from apps.audits import readings
from apps.audits.readings import Subject
from apps.chat import queries
from apps.chat.models import Thread
from apps.core import clock
from apps.core.content import masked
from apps.core.templatetags.netra import ident, when

SHOWN = 200


@admin.register(Thread)
class ThreadAdmin(TenantRowsAdmin):
    """Conversations of all organisations, without a word of them."""

    list_display = (
        "thread",
        "organisation",
        "user",
        "messages",
        "characters",
        "started",
        "changed",
    )
    list_display_links = None
    list_filter = (OrganisationFilter,)
    list_select_related = ("organisation", "user")
    ordering = ("-updated_at",)
    sortable_by = ()
    id_columns = ("id",)
    search_help_text = "Whole id of a conversation"
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("thread_id",),
                    ("organisation", "user"),
                    ("hidden_title", "archived"),
                    ("messages", "characters"),
                    ("started", "changed", "executions"),
                )
            },
        ),
        ("Messages, without their text", {"fields": ("told",)}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Thread]:
        rows: QuerySet[Thread] = super().get_queryset(request)
        # Titles are content: they do not even leave the database.
        return rows.defer("title")

    def get_changelist_instance(self, request: HttpRequest) -> ChangeList:
        page: ChangeList = super().get_changelist_instance(request)
        page.result_list = _measured(list(page.result_list))
        return page

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Thread | None:
        found: Any = super().get_object(request, object_id, from_field)
        if found is None:
            return None
        found.access = _access(request, found)
        row: Thread = _measured([found])[0]
        return row

    def get_readonly_fields(
        self, request: HttpRequest, obj: Thread | None = None
    ) -> list[str]:
        groups = self.fieldsets[0][1]["fields"]
        return [*(name for line in groups for name in line), "told"]

    @admin.display(description="Conversation")
    def thread(self, row: Thread) -> SafeString:
        url = reverse("admin:chat_thread_change", args=[row.pk])
        return ident(row.pk, short=True, link=url)

    @admin.display(description="Conversation")
    def thread_id(self, row: Thread) -> SafeString:
        return ident(row.pk)

    @admin.display(description="Title")
    def hidden_title(self, row: Any) -> str:
        return masked(row.measure.title)

    @admin.display(description="Messages")
    def messages(self, row: Any) -> str:
        return f"{row.measure.messages:,}"

    @admin.display(description="Characters")
    def characters(self, row: Any) -> str:
        return f"{row.measure.characters:,}"

    @admin.display(description="Started")
    def started(self, row: Thread) -> SafeString:
        return when(row.created_at)

    @admin.display(description="Last changed")
    def changed(self, row: Thread) -> SafeString:
        return when(row.updated_at)

    @admin.display(description="Executions")
    def executions(self, row: Thread) -> SafeString:
        url = reverse("admin:executions_execution_changelist")
        return format_html(
            '<a class="nt-link" href="{}?q={}">Executions of this conversation</a>',
            url,
            row.pk,
        )

    @admin.display(description="Messages")
    def told(self, row: Any) -> SafeString:
        shown = queries.outline_of(row.organisation_id, row.pk, SHOWN)
        context = {"rows": shown, "thread_id": row.pk, "access": row.access}
        return render_to_string("admin/chat/thread/messages.html", context)


def _access(request: HttpRequest, row: Thread) -> dict[str, object]:
    """How whoever looks stands to what was said: whether they may ask, and what they asked for."""
    user = request.user
    assert isinstance(user, User), "the admin lets only signed-in staff in"
    if not user.has_perm("audits.request_accessgrant"):
        return {"may_ask": False}
    subject = Subject(organisation_id=row.organisation_id, thread_id=row.pk)
    now, person = clock.now(), user.pk
    grant = readings.open_for(person, subject, now=now)
    waiting = None if grant else readings.asked_for(person, subject, now)
    return {"may_ask": True, "grant": grant, "waiting": waiting}


def _measured(rows: list[Any]) -> list[Any]:
    """The conversations, each with its measure: one query for all."""
    measures = queries.measures_of([row.pk for row in rows])
    for row in rows:
        row.measure = measures[row.pk]
    return rows
