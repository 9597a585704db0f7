"""Bases of admin classes. What the pages of one app show belongs to that app's admin."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Model, Q, QuerySet
from django.db.models.constants import LOOKUP_SEP
from django.http import HttpRequest
from django.utils.functional import cached_property
from unfold.admin import ModelAdmin

from apps.core import canaries

COUNTED = (
    10_000  # a list counts no further, so that its cost does not grow with its table
)


class CappedPaginator(Paginator):  # type: ignore[type-arg]  # generic only in the stubs
    """Counts at most COUNTED rows. Older ones are reached through filters and search."""

    @cached_property
    def count(self) -> int:
        rows = self.object_list
        if isinstance(rows, QuerySet):
            # The key alone: else each counted row would pay for the columns of the list.
            return rows.order_by().values("pk")[:COUNTED].count()
        return len(rows)


class TenantsAdmin(ModelAdmin):  # type: ignore[misc]  # unfold ships no types
    """Rows of organisations; those that exist for isolation audits are not among them."""

    # What leads from a row to its organisation's id; empty: rows belong to none.
    organisation_column = ""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        column = self.organisation_column or _organisation_column(rows.model)
        if not column:
            return rows
        return rows.exclude(**{f"{column}__in": canaries.hidden()})


def _organisation_column(model: type[Model]) -> str:
    names = {getattr(field, "attname", "") for field in model._meta.get_fields()}
    return "organisation_id" if "organisation_id" in names else ""


class ReadOnlyAdmin(TenantsAdmin):
    """Rows that staff may look at and never change by hand."""

    list_per_page = 50
    show_full_result_count = False
    paginator = CappedPaginator
    list_fullwidth = True
    list_after_template = "admin/capped.html"
    # Columns that hold a whole id; the search box finds nothing else.
    id_columns: tuple[str, ...] = ()

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        if self.fields:
            return [str(name) for name in self.fields]
        return [field.name for field in self.model._meta.fields]

    def lookup_allowed(
        self, lookup: str, value: str, request: HttpRequest | None = None
    ) -> bool:
        """Only what a filter offers: else a hidden column is guessed letter by letter from the address."""
        offered = {_asked_for(each) for each in self.get_list_filter(request)}
        known = lookup.partition(LOOKUP_SEP)[0] in offered
        return known and bool(super().lookup_allowed(lookup, value, request))

    def get_search_fields(self, request: HttpRequest) -> Any:
        return self.id_columns or super().get_search_fields(request)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Whole ids only: a search through a large table would be slow and would reach content."""
        if not self.id_columns:
            return super().get_search_results(request, queryset, search_term)  # type: ignore[no-any-return]
        if not search_term.strip():
            return queryset, False
        try:
            wanted = UUID(search_term.strip())
        except ValueError:
            messages.warning(request, "The search finds whole ids only.")
            return queryset.none(), False
        found = Q()
        for column in self.id_columns:
            found |= Q(**{column: wanted})
        return queryset.filter(found), False


def _asked_for(offered: Any) -> str:
    """The name in the address by which a filter of `list_filter` is asked."""
    named = offered[0] if isinstance(offered, (tuple, list)) else offered
    return named if isinstance(named, str) else str(named.parameter_name)
