"""The admin of issues: what went wrong, how often, and the executions that show it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.accounts.listing import OrganisationFilter, TenantRowsAdmin
from apps.core.templatetags.netra import ident, when
from apps.issues import queries
from apps.issues.models import Issue

SHOWN = 50


@admin.register(Issue)
class IssueAdmin(TenantRowsAdmin):
    """Faults, newest first."""

    list_display = (
        "issue",
        "condition",
        "seen",
        "organisation",
        "first",
        "last",
    )
    list_display_links = ("issue",)
    list_filter = ("status", OrganisationFilter)
    ordering = ("-last_seen",)
    search_fields = ("number",)
    search_help_text = "An issue's number"
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("condition", "seen", "organisation"),
                    ("first", "last"),
                    "grouped_because",
                )
            },
        ),
        ("Executions that show it, newest first", {"fields": ("evidence",)}),
    )

    def get_readonly_fields(
        self, request: HttpRequest, obj: Issue | None = None
    ) -> list[str]:
        shown = ("condition", "seen", "organisation", "first", "last")
        return [*shown, "grouped_because", "evidence"]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        number = search_term.strip().removeprefix("#")
        if not number:
            return queryset, False
        if not number.isascii() or not number.isdigit() or len(number) > 9:
            return queryset.none(), False
        return queryset.filter(number=int(number)), False

    @admin.display(description="Issue", ordering="number")
    def issue(self, row: Issue) -> str:
        return str(row)

    @admin.display(description="Status", ordering="status")
    def condition(self, row: Issue) -> SafeString:
        return format_html(
            '<span class="mark mark-{}">{}</span>', row.status, row.get_status_display()
        )

    @admin.display(description="Seen", ordering="count")
    def seen(self, row: Issue) -> str:
        return f"{row.count:,} {'time' if row.count == 1 else 'times'}"

    @admin.display(description="First seen", ordering="first_seen")
    def first(self, row: Issue) -> SafeString:
        return when(row.first_seen)

    @admin.display(description="Last seen", ordering="last_seen")
    def last(self, row: Issue) -> SafeString:
        return when(row.last_seen)

    @admin.display(description="Grouped because")
    def grouped_because(self, row: Issue) -> SafeString:
        return format_html(
            "Same organisation, agent, state, error code and error class, numbers aside. "
            "Fingerprint {}",
            ident(row.fingerprint),
        )

    @admin.display(description="Executions")
    def evidence(self, row: Issue) -> SafeString:
        found = queries.evidence_of(row.pk, SHOWN)
        rows = [
            {
                "execution": each.execution,
                "url": reverse(
                    "admin:executions_execution_change", args=[each.execution_id]
                ),
            }
            for each in found
        ]
        return render_to_string(
            "admin/issues/issue/evidence.html",
            {"rows": rows, "left_out": row.count - len(rows)},
        )
