"""Admin pages whose every write is an action: what an action refuses is told beside the form.

The one place for what holds before each such write; what is written belongs to the actions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django.contrib import messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect

from apps.core.admin import TenantsAdmin
from apps.core.errors import NetraError

Row = TypeVar("Row", bound=Model)
AT_ONCE = 200  # rows that one action of a list takes


class ActingAdmin(TenantsAdmin):
    """A form whose row is stored by an action, in the transaction that Django opens round it."""

    def changeform_view(
        self, request: HttpRequest, *args: Any, **options: Any
    ) -> HttpResponseBase:
        return self._explained(request, super().changeform_view, *args, **options)

    def delete_view(
        self, request: HttpRequest, *args: Any, **options: Any
    ) -> HttpResponseBase:
        return self._explained(request, super().delete_view, *args, **options)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Without Django's own deletion, which asks no action."""
        offered: dict[str, Any] = super().get_actions(request)
        offered.pop("delete_selected", None)
        return offered

    def _explained(
        self,
        request: HttpRequest,
        view: Callable[..., HttpResponseBase],
        *args: Any,
        **options: Any,
    ) -> HttpResponseBase:
        try:
            return view(request, *args, **options)
        except NetraError as error:
            messages.error(request, f"{error.message} {error.fix}")
            return redirect(request.get_full_path())


def act_on(
    request: HttpRequest, rows: QuerySet[Row], act: Callable[[Row], object]
) -> int:
    """Do it to each row of a list, each in a transaction of its own; says how many it was done to."""
    chosen = list(rows[: AT_ONCE + 1])  # no more is read, whatever was selected
    if len(chosen) > AT_ONCE:
        messages.error(request, f"Choose at most {AT_ONCE} at once.")
        return 0
    done = 0
    for row in chosen:
        try:
            act(row)
        except NetraError as error:
            messages.error(request, f"{row}: {error.message} {error.fix}")
        else:
            done += 1
    return done
