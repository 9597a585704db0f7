"""The first page of the admin: how the service is, and what wants a look."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from apps.accounts.doctor import expiry
from apps.accounts.doctor.expiry import Ending
from apps.accounts.queries import canaries
from apps.audits import readings
from apps.core import clock
from apps.executions import queries as executions
from apps.executions.models import Execution
from apps.executions.states import ALIVE, WORDS, ExecutionState
from apps.issues import queries as issues
from apps.issues.models import Issue

COUNTED = 1000  # no figure here counts further
SHOWN = 8
DAY = timedelta(days=1)
BAD = (ExecutionState.FAILED, ExecutionState.TIMEOUT, ExecutionState.DEAD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A counted figure that leads to the rows it counts."""

    label: str
    number: int
    url: str
    bad: bool = False

    @property
    def shown(self) -> str:
        return f"{COUNTED:,}+" if self.number > COUNTED else f"{self.number:,}"


def context(request: HttpRequest) -> dict[str, object]:
    """What the page needs. Staff without the permission to see executions get no figures."""
    if not request.user.has_perm("executions.view_execution"):
        return {"figures": [], "has_role": False}
    now = timezone.now()
    alive = _alive()
    stuck = _rows().filter(executions.stuck(now), state__in=ALIVE)
    failed = _rows().filter(state__in=BAD, created_at__gte=now - DAY)
    figures = [
        _figure("Alive", sum(alive.values()), show="alive"),
        _figure("Stuck", _capped(stuck), show="stuck", bad=True),
        _figure("Failed in 24 hours", _capped(failed), show="failed", bad=True),
        _figure("Asked for in 24 hours", _capped(_since(now - DAY)), within="24h"),
        _issues(),
        *_grants(request),
    ]
    return {
        "has_role": True,
        "now": now,
        "sentence": sentence(figures),
        "overdue": _overdue(request),
        **_ending(request),
        "figures": figures,
        "alive": [(state.value, alive.get(state.value, 0)) for state in _in_order()],
        "stuck": _newest(stuck),
        "failed": _newest(failed),
        "issues": list(issues.open_issues().select_related("organisation")[:SHOWN]),
    }


def sentence(figures: list[Figure]) -> str:
    """The state of things in one sentence, worst first."""
    number = {figure.label: figure for figure in figures}
    stuck, failed = number["Stuck"], number["Failed in 24 hours"]
    asked = number["Asked for in 24 hours"]
    if stuck.number:
        verb = "execution is" if stuck.number == 1 else "executions are"
        return f"{stuck.shown} {verb} stuck. Look at them first."
    if failed.number:
        return f"Nothing is stuck. {failed.shown} of {asked.shown} executions failed in 24 hours."
    if asked.number:
        return f"All is well: {asked.shown} executions in 24 hours, none failed."
    return "It is quiet: nobody asked anything in 24 hours."


def _rows() -> QuerySet[Execution]:
    rows: QuerySet[Execution] = Execution.objects.all()
    return rows.exclude(organisation__in=canaries())


def _since(then: datetime) -> QuerySet[Execution]:
    return _rows().filter(created_at__gte=then)


def _capped(rows: QuerySet[Any]) -> int:
    return rows.order_by()[: COUNTED + 1].count()


def _alive() -> dict[str, int]:
    """State → number of alive executions; few rows, found by the index on state."""
    rows = _rows().filter(state__in=ALIVE).order_by().values_list("state")
    return dict(rows.annotate(number=Count("id")))


def _newest(rows: QuerySet[Execution]) -> list[Execution]:
    return list(rows.select_related("organisation").order_by("-created_at")[:SHOWN])


def _in_order() -> list[ExecutionState]:
    return [state for state in WORDS if state in ALIVE]


def _figure(label: str, number: int, *, bad: bool = False, **query: str) -> Figure:
    url = reverse("admin:executions_execution_changelist")
    asked = "&".join(f"{name}={value}" for name, value in query.items())
    return Figure(label=label, number=number, url=f"{url}?{asked}", bad=bad)


def _grants(request: HttpRequest) -> list[Figure]:
    """What those who decide or review have to do about support access."""
    url, now = reverse("admin:audits_accessgrant_changelist"), clock.now()
    wanted = (
        ("decide", "Grants to answer", "asked", readings.asked(now)),
        ("review", "Grants to review", "review", readings.to_review(now)),
    )
    return [
        Figure(label=label, number=_capped(rows), url=f"{url}?stand={stand}")
        for verb, label, stand, rows in wanted
        if request.user.has_perm(f"audits.{verb}_accessgrant")
    ]


def _overdue(request: HttpRequest) -> int:
    """Grants that nobody has reviewed for a week: told to whoever sees grants at all."""
    if not request.user.has_perm("audits.view_accessgrant"):
        return 0
    return _capped(readings.to_review(clock.now(), overdue=True))


def _ending(request: HttpRequest) -> dict[str, object]:
    """What of company sign-in ends soon, for who may see providers: one query."""
    if not request.user.has_perm("accounts.view_identityprovider"):
        return {"endings": []}
    found = expiry.endings()
    counted = f"{expiry.MOST}+" if len(found) > expiry.MOST else str(len(found))
    return {
        "endings": [(each, _page(each)) for each in found[:SHOWN]],
        "endings_counted": counted,
        "endings_more": len(found) > SHOWN,
    }


def _page(each: Ending) -> str:
    return reverse(f"admin:accounts_{each.kind.model}_change", args=[each.row_id])


def _issues() -> Figure:
    url = reverse("admin:issues_issue_changelist")
    number = _capped(issues.open_issues())
    status = Issue.Status.OPEN.value
    return Figure(
        label="Open issues",
        number=number,
        url=f"{url}?status__exact={status}",
        bad=True,
    )
