"""What machines ask of an installation: is it alive, is it ready, how is it doing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address

from django.conf import settings
from django.db import DatabaseError
from django.db.models import Count
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from apps.accounts import refusals
from apps.accounts.access import principal_from_token
from apps.accounts.models import Organisation
from apps.chat.connections import connections
from apps.core.errors import NetraError, NotAllowedError, NotAuthenticatedError
from apps.core.hub import hub
from apps.core.tenancy import system, system_openings
from apps.executions.models import Execution
from apps.executions.moves import refused_moves
from apps.executions.runner import runner
from apps.executions.states import ExecutionState
from apps.issues import queries as issues

FIGURES = system("metrics: how many executions stand where")
TEXT = "text/plain; version=0.0.4; charset=utf-8"
RETRY_SECONDS = 2
PROXIED = ("X-Forwarded-For", "Forwarded", "X-Real-IP")
Check = dict[str, object]
Labels = Mapping[str, str]
Samples = Iterable[tuple[Labels, int]]


@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """The process answers. Touches nothing that could be away."""
    return JsonResponse({"status": "ok"})


@never_cache
@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """Whether questions can be taken right now; 503 while not."""
    checks = {"database": _database(), "runner": _runner(), "hints": _hints()}
    ready = all(check["ok"] for check in checks.values())
    status = "ready" if ready else "not ready"
    response = JsonResponse(
        {"status": status, "checks": checks}, status=200 if ready else 503
    )
    if not ready:
        response["Retry-After"] = str(RETRY_SECONDS)
    return response


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Figures for Prometheus; for this machine itself, or with a token of Netra's staff."""
    try:
        _check_reader(request)
    except NetraError as error:
        return refusals.problem(error)
    return HttpResponse("".join(_lines()), content_type=TEXT)


def _database() -> Check:
    try:
        Organisation.objects.order_by().values_list("pk")[:1].count()
    except DatabaseError:
        return {"ok": False, "detail": "the database does not answer"}
    return {"ok": True, "detail": "sqlite" if settings.SQLITE else "postgresql"}


def _runner() -> Check:
    if settings.NETRA_REDIS_URL:
        return {"ok": True, "detail": "agents run in the workers"}
    if not runner.accepting:
        return {"ok": False, "detail": "the runner does not take executions"}
    return {"ok": runner.free > 0, "detail": f"{runner.free} free"}


def _hints() -> Check:
    if hub.loop is None:
        return {"ok": False, "detail": "the hub is not bound to a loop"}
    across = bool(settings.NETRA_REDIS_URL)
    if across and hub.relay is None:
        return {"ok": True, "detail": "no relay: others are told by the 1 s poll"}
    return {"ok": True, "detail": "redis" if across else "in this process"}


def _check_reader(request: HttpRequest) -> None:
    """Refuse everybody but this machine and staff."""
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    if scheme:
        principal = principal_from_token(secret if scheme.lower() == "bearer" else "")
        if not principal.is_staff:
            raise NotAllowedError("Metrics speak of all organisations.")
    elif not _is_local(request):
        raise NotAuthenticatedError


def _is_local(request: HttpRequest) -> bool:
    # Behind a proxy on this machine every visitor would seem to be one of its own.
    if any(name in request.headers for name in PROXIED):
        return False
    try:
        return ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False


def _lines() -> Iterable[str]:
    states, open_issues = _counts()
    yield from _metric("netra_executions", "gauge", "Executions by state.", states)
    yield from _metric(
        "netra_issues_open", "gauge", "Open issues.", [({}, open_issues)]
    )
    yield from _metric(
        "netra_refused_moves_total",
        "counter",
        "Moves that the table of states or a fence refused, in this process.",
        [
            ({"from": before, "to": after}, number)
            for (before, after), number in sorted(refused_moves.items())
        ],
    )
    yield from _metric(
        "netra_system_scope_openings_total",
        "counter",
        "How often a scope over all organisations was opened in this process, and why.",
        [
            ({"reason": reason}, number)
            for reason, number in sorted(system_openings.items())
        ],
    )
    for name, words, number in (
        ("netra_runner_running", "Executions at work here.", len(runner.running)),
        ("netra_runner_free", "Executions that may start here.", runner.free),
        ("netra_connections", "Open sockets and streams.", len(connections.all())),
        ("netra_hub_topics", "Topics that are watched here.", len(hub.topics())),
    ):
        yield from _metric(name, "gauge", words, [({}, number)])


def _counts() -> tuple[list[tuple[Labels, int]], int]:
    with FIGURES:
        rows = Execution.objects.order_by().values_list("state")
        found = dict(rows.annotate(number=Count("pk")))
        number = issues.open_issues().count()
    states: list[tuple[Labels, int]] = [
        ({"state": s.value}, found.get(s.value, 0)) for s in ExecutionState
    ]
    return states, number


def _metric(name: str, kind: str, words: str, samples: Samples) -> Iterable[str]:
    yield f"# HELP {name} {words}\n# TYPE {name} {kind}\n"
    for labels, number in samples:
        pairs = ",".join(f'{key}="{_escaped(v)}"' for key, v in labels.items())
        yield f"{name}{{{pairs}}} {number}\n" if pairs else f"{name} {number}\n"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
