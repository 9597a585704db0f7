"""Admin pages that need names from several apps: receipts, which know ids only."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.urls import reverse
from django.utils.safestring import SafeString

from apps.accounts.listing import OrganisationFilter
from apps.accounts.models import Organisation, User
from apps.accounts.queries import canaries
from apps.audits.models import Receipt
from apps.core.admin import ReadOnlyAdmin
from apps.core.templatetags.netra import ident, when
from apps.executions.models import Execution


@admin.register(Receipt)
class ReceiptAdmin(ReadOnlyAdmin):
    """What was refused or failed, in the words that the person got."""

    list_display = (
        "receipt",
        "code",
        "explanation",
        "organisation",
        "person",
        "times",
        "last",
    )
    list_display_links = None
    list_filter = (OrganisationFilter,)
    list_filter_submit = True
    list_filter_sheet = True
    ordering = ("-last_at",)
    sortable_by = ()
    id_columns = ("id", "user_id")
    search_help_text = "Whole id of a receipt or person"
    fields = (
        "whole_id",
        "code",
        "explanation",
        "fix",
        "rule",
        "field",
        "organisation",
        "person",
        "times",
        "first",
        "last",
        "lifts",
        "about",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Receipt]:
        rows: QuerySet[Receipt] = super().get_queryset(request)
        company = Organisation.objects.filter(pk=OuterRef("organisation_id"))
        person = User.objects.filter(pk=OuterRef("user_id"))
        return rows.exclude(organisation_id__in=canaries().values("pk")).annotate(
            company=Subquery(company.values("name")),
            email=Subquery(person.values("email")),
        )

    @admin.display(description="Receipt")
    def receipt(self, row: Receipt) -> SafeString:
        url = reverse("admin:audits_receipt_change", args=[row.pk])
        return ident(row.pk, short=True, link=url)

    @admin.display(description="Receipt")
    def whole_id(self, row: Receipt) -> SafeString:
        return ident(row.pk)

    @admin.display(description="Organisation")
    def organisation(self, row: Any) -> str:
        return row.company or str(row.organisation_id)

    @admin.display(description="Person")
    def person(self, row: Any) -> str:
        return row.email or "–"

    @admin.display(description="Times")
    def times(self, row: Receipt) -> str:
        return f"{row.count:,}"

    @admin.display(description="First")
    def first(self, row: Receipt) -> SafeString:
        return when(row.created_at)

    @admin.display(description="Last")
    def last(self, row: Receipt) -> SafeString:
        return when(row.last_at)

    @admin.display(description="Lifts")
    def lifts(self, row: Receipt) -> SafeString:
        return when(row.lifts_at)

    @admin.display(description="About")
    def about(self, row: Receipt) -> SafeString:
        """The execution it speaks of, where the correlation id is one's."""
        try:
            execution_id = UUID(row.correlation_id)
        except ValueError:
            return ident(row.correlation_id)
        if not Execution.objects.filter(pk=execution_id).exists():
            return ident(row.correlation_id)
        url = reverse("admin:executions_execution_change", args=[execution_id])
        return ident(execution_id, link=url)
