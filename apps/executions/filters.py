"""The filters of the admin's list of executions."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.contrib.filters.admin import DropdownFilter, MultipleDropdownFilter

from apps.accounts.plans import Tier
from apps.executions import queries
from apps.executions.models import Execution
from apps.executions.states import ALIVE, WORDS, ExecutionState

S = ExecutionState
RECENT = 1000  # executions whose agents the filter offers
DAY = timedelta(days=1)


class StateFilter(MultipleDropdownFilter):  # type: ignore[misc]  # unfold ships no types
    """One or more states."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(known.value, words) for known, words in WORDS.items()]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Execution]
    ) -> QuerySet[Execution] | None:
        chosen = self.value() or []
        return queryset.filter(state__in=chosen) if chosen else None


class LookFilter(DropdownFilter):  # type: ignore[misc]  # unfold ships no types
    """What support looks for most."""

    title = "what needs a look"
    parameter_name = "show"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("alive", "Alive"),
            ("stuck", "Stuck"),
            ("failed", "Failed in 24 hours"),
            ("dead", "Lost contact"),
        ]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Execution]
    ) -> QuerySet[Execution] | None:
        now = timezone.now()
        match self.value():
            case "alive":
                return queryset.filter(state__in=ALIVE)
            case "stuck":
                return queryset.filter(queries.stuck(now), state__in=ALIVE)
            case "failed":
                bad = (S.FAILED, S.TIMEOUT, S.DEAD)
                return queryset.filter(state__in=bad, created_at__gte=now - DAY)
            case "dead":
                return queryset.filter(state=S.DEAD)
        return None


class AgentFilter(DropdownFilter):  # type: ignore[misc]  # unfold ships no types
    """The agents of the newest executions."""

    title = "agent"
    parameter_name = "agent"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        newest = Execution.objects.order_by("-created_at").values_list("agent")[:RECENT]
        return [(name, name) for name in sorted({row[0] for row in newest})]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Execution]
    ) -> QuerySet[Execution] | None:
        return queryset.filter(agent=self.value()) if self.value() else None


class TierFilter(DropdownFilter):  # type: ignore[misc]  # unfold ships no types
    """The organisation's tier when the execution was queued."""

    title = "tier"
    parameter_name = "tier"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(tier.value, tier.value.capitalize()) for tier in Tier]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Execution]
    ) -> QuerySet[Execution] | None:
        return queryset.filter(tier=self.value()) if self.value() else None


class PeriodFilter(DropdownFilter):  # type: ignore[misc]  # unfold ships no types
    """How long ago it was asked for."""

    title = "time"
    parameter_name = "within"
    periods = {
        "1h": ("The last hour", timedelta(hours=1)),
        "24h": ("The last 24 hours", DAY),
        "7d": ("The last 7 days", 7 * DAY),
        "30d": ("The last 30 days", 30 * DAY),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(key, words) for key, (words, _) in self.periods.items()]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Execution]
    ) -> QuerySet[Execution] | None:
        chosen = self.periods.get(self.value() or "")
        if chosen is None:
            return None
        return queryset.filter(created_at__gte=timezone.now() - chosen[1])
