"""The admin of usage records. Error texts are the companies' own and are not shown."""

from __future__ import annotations

from django.contrib import admin
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter

from apps.accounts.listing import OrganisationFilter, TenantRowsAdmin
from apps.core.templatetags.netra import ident, lasted, when
from apps.usage.models import Record

CONDITIONS = {
    Record.Status.OK: "good",
    Record.Status.ERROR: "bad",
    Record.Status.TIMEOUT: "wait",
    Record.Status.RATE_LIMITED: "wait",
}


@admin.register(Record)
class RecordAdmin(TenantRowsAdmin):
    """Calls of models by all organisations, newest first."""

    list_display = (
        "called",
        "organisation",
        "origin",
        "model_called",
        "feature",
        "tokens",
        "took",
        "cost",
        "outcome",
    )
    list_filter = (
        OrganisationFilter,
        ("source", ChoicesDropdownFilter),
        ("status", ChoicesDropdownFilter),
    )
    ordering = ("-at",)
    sortable_by = ()
    id_columns = ("id", "execution_id")
    search_help_text = "Whole id of a record or execution"
    fields = (
        "called",
        "organisation",
        "origin",
        "model_called",
        "feature",
        "tokens",
        "cache",
        "took",
        "cost",
        "outcome",
        "execution",
    )

    @admin.display(description="When")
    def called(self, row: Record) -> SafeString:
        return when(row.at)

    @admin.display(description="By")
    def origin(self, row: Record) -> str:
        return "Netra" if row.source == Record.Source.NETRA else "Company"

    @admin.display(description="Model")
    def model_called(self, row: Record) -> str:
        return f"{row.provider}: {row.model}" if row.provider else row.model

    @admin.display(description="Tokens in / out")
    def tokens(self, row: Record) -> str:
        return f"{row.input_tokens:,} / {row.output_tokens:,}"

    @admin.display(description="Read from the cache / could have been")
    def cache(self, row: Record) -> str:
        return f"{row.cached_tokens:,} / {row.cacheable_tokens:,}"

    @admin.display(description="Took")
    def took(self, row: Record) -> str:
        return lasted(row.latency_ms / 1000)

    @admin.display(description="Cost, US dollars")
    def cost(self, row: Record) -> str:
        return f"{row.cost_usd:,.4f}"

    @admin.display(description="Outcome")
    def outcome(self, row: Record) -> SafeString:
        kind = CONDITIONS[Record.Status(row.status)]
        return format_html(
            '<span class="mark mark-{}">{}</span>', kind, row.get_status_display()
        )

    @admin.display(description="Execution")
    def execution(self, row: Record) -> SafeString:
        return ident(row.execution_id)
