"""What the admin lists of all tenants' rows share: a filter, and whose rows are left out."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import DropdownFilter

from apps.accounts.models import IdentityProvider, Organisation
from apps.accounts.queries import canaries
from apps.core.admin import ReadOnlyAdmin

LISTED = 200


class OrganisationFilter(DropdownFilter):  # type: ignore[misc]  # unfold ships no types
    """Rows of one organisation; those that exist for isolation audits are not offered."""

    title = "organisation"
    parameter_name = "organisation"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        rows = Organisation.objects.exclude(kind=Organisation.Kind.CANARY)
        return list(rows.order_by("name").values_list("slug", "name")[:LISTED])

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Any]
    ) -> QuerySet[Any] | None:
        slug = self.value()
        if not slug:
            return None
        chosen = Organisation.objects.filter(slug=slug).values_list("pk", flat=True)
        # The id itself, not a join: so the list's own index is used.
        return queryset.filter(organisation_id__in=list(chosen[:1]))


class ProviderFilter(DropdownFilter):  # type: ignore[misc]  # unfold ships no types
    """Rows that came through one identity provider."""

    title = "provider"
    parameter_name = "provider"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        rows = IdentityProvider.objects.exclude(organisation__in=canaries())
        return list(rows.order_by("name").values_list("provider_id", "name")[:LISTED])

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Any]
    ) -> QuerySet[Any] | None:
        wanted = self.value()
        return queryset.filter(provider__provider_id=wanted) if wanted else None


class TenantRowsAdmin(ReadOnlyAdmin):
    """Rows of all organisations but those that exist for isolation audits."""

    list_filter_submit = True
    list_filter_sheet = True
    list_select_related: tuple[str, ...] = ("organisation",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        return rows.exclude(organisation__in=canaries())
