"""The admin of conversations: counts and sizes only. Titles and messages are content."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Count, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Length
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.accounts.listing import OrganisationFilter, TenantRowsAdmin
from apps.chat.models import Message, Thread
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
                    ("organisation", "user", "archived"),
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
        return rows.defer("title").annotate(
            message_count=_of(Count("id")), size=_of(Sum(Length("text")))
        )

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

    @admin.display(description="Messages")
    def messages(self, row: Any) -> str:
        return f"{row.message_count or 0:,}"

    @admin.display(description="Characters")
    def characters(self, row: Any) -> str:
        return f"{row.size or 0:,}"

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
    def told(self, row: Thread) -> SafeString:
        columns = ("id", "role", "agent", "partial", "execution_id", "created_at")
        rows = Message.objects.filter(thread_id=row.pk).order_by("created_at")
        shown = list(
            rows.annotate(size=Length("text")).values(*columns, "size")[:SHOWN]
        )
        return render_to_string("admin/chat/thread/messages.html", {"rows": shown})


def _of(figure: Count | Sum) -> Subquery:
    """A figure over the messages of each thread."""
    messages = Message.objects.filter(thread_id=OuterRef("id")).order_by()
    return Subquery(
        messages.values("thread_id").annotate(figure=figure).values("figure")
    )
