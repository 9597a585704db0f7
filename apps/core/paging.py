"""How the HTTP API pages: cursors that hold while rows are added. Knows no tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.core.exceptions import ValidationError
from django.db import DataError
from rest_framework.exceptions import NotFound
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core.errors import InvalidInputError


class Pages(CursorPagination):
    """Newest first, 50 to a page unless the client asks for fewer or more."""

    ordering = "-created_at"
    page_size = 50
    max_page_size = 200
    page_size_query_param = "page_size"

    def paginate_queryset(
        self, queryset: Any, request: Request, view: Any = None
    ) -> list[Any] | None:
        try:
            return super().paginate_queryset(queryset, request, view)
        except (NotFound, ValidationError, ValueError, DataError, OverflowError):
            raise InvalidInputError(
                "The cursor is not one of ours.",
                field="cursor",
                fix="Follow 'next' and 'previous' as they were given.",
            ) from None


class PagesInOrder(Pages):
    """Oldest first: conversations are read in order."""

    ordering = "created_at"


class PagesByNumber(Pages):
    """Highest number first."""

    ordering = "-number"


class PagesByChange(Pages):
    """What changed last comes first."""

    ordering = "-updated_at"


def whole(results: Iterable[object]) -> Response:
    """A short list in the form of a page."""
    return Response({"next": None, "previous": None, "results": list(results)})
