"""What machines ask of an installation: is it alive, is it ready, how is it doing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import Error
from django.db.models import Count
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.request import split_domain_port
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from apps.accounts import refusals
from apps.accounts.access import principal_from_token
from apps.accounts.models import Organisation
from apps.chat.connections import connections
from apps.core import transactions
from apps.core.errors import NetraError, NotAllowedError, NotAuthenticatedError
from apps.core.hub import hub
from apps.core.tenancy import system, system_openings
from apps.core.watchdog import watchdog
from apps.executions.breakers import unreachable
from apps.executions.dispatch import dispatcher
from apps.executions.models import Breaker, Execution
from apps.executions.moves import refused_moves
from apps.executions.runner import runner
from apps.executions.states import ExecutionState
from apps.issues import queries as issues

if TYPE_CHECKING:
    from apps.core.relay import Relay

FIGURES = system("metrics: how many executions stand where")
TEXT = "text/plain; version=0.0.4; charset=utf-8"
RETRY_SECONDS = 2
PROXIED = ("X-Forwarded-For", "X-Forwarded-Proto", "Forwarded", "X-Real-IP", "Via")
OWN_NAMES = {"127.0.0.1", "localhost", "[::1]"}
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
    checks = {"server": _server()}
    if checks["server"]["ok"]:
        checks |= {"database": _database(), "runner": _runner(), "hints": _hints()}
    ready = all(check["ok"] for check in checks.values())
    degraded = any("degraded" in check for check in checks.values())
    status = "not ready" if not ready else "degraded" if degraded else "ready"
    response = JsonResponse(
        {"status": status, "checks": checks}, status=200 if ready else 503
    )
    if not ready:
        response["Retry-After"] = str(RETRY_SECONDS)
        # Django would log an error for each look of each prober; not to be ready is no error.
        response._has_been_logged = True  # type: ignore[attr-defined]  # noqa: SLF001
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


def _server() -> Check:
    """Whether it has begun, and is not about to go; else the rest would only be asked in vain."""
    refusing = connections.refusing
    detail = refusing.message if refusing else "takes questions"
    return {"ok": refusing is None, "detail": detail}


def _database() -> Check:
    try:
        Organisation.objects.order_by().values_list("pk")[:1].count()
    except Error:
        return {"ok": False, "detail": "the database does not answer"}
    return {"ok": True, "detail": "sqlite" if settings.SQLITE else "postgresql"}


def _runner() -> Check:
    if settings.NETRA_REDIS_URL:
        return {"ok": True, "detail": "agents run in the workers"}
    if not runner.accepting:
        return {"ok": False, "detail": "the runner does not take executions"}
    # A full one is well: what comes waits its turn, and its sockets should stay.
    return {"ok": True, "detail": f"{runner.free} free"}


def _hints() -> Check:
    if hub.loop is None:
        return {"ok": False, "detail": "the hub is not bound to a loop"}
    if not settings.NETRA_REDIS_URL:
        others = "" if settings.SQLITE else "; other servers by polling"
        return {"ok": True, "detail": f"in this process{others}"}
    relay = _relay()
    if relay is None or relay.away:
        detail = "redis is away; delivery by polling"
        return {"ok": True, "degraded": True, "detail": detail}
    return {"ok": True, "detail": "redis"}


def _relay() -> Relay | None:
    from apps.core import relay  # noqa: PLC0415 - loads Redis, which one process does not need

    return relay.current if settings.NETRA_REDIS_URL else None


def _check_reader(request: HttpRequest) -> None:
    """Refuse everybody but this machine and staff."""
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    if scheme:
        principal = principal_from_token(secret if scheme.lower() == "bearer" else "")
        if not principal.is_staff or not principal.allows(None):
            raise NotAllowedError("Metrics speak of all organisations.")
    elif not _is_local(request):
        raise NotAuthenticatedError


def _is_local(request: HttpRequest) -> bool:
    # Behind a proxy on this machine every visitor would seem to be one of its own: proxies say for
    # whom they ask, or at least hand on the name that the visitor asked for.
    if any(name in request.headers for name in PROXIED):
        return False
    if split_domain_port(request.get_host())[0] not in OWN_NAMES:
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
        ("netra_loop_held_up", "Times the event loop was late.", watchdog.times),
        ("netra_hub_topics", "Topics that are watched here.", len(hub.topics())),
    ):
        yield from _metric(name, "gauge", words, [({}, number)])
    yield from _hint_lines()
    yield from _breaker_lines()
    yield from _database_lines()


def _database_lines() -> Iterable[str]:
    for name, words, figures in (
        ("errors", "What the database refused to this process.", transactions.errors),
        ("retries", "Transactions run again in this process.", transactions.retries),
    ):
        samples = [({"class": kind}, n) for kind, n in sorted(figures.items())]
        yield from _metric(f"netra_database_{name}_total", "counter", words, samples)


def _breaker_lines() -> Iterable[str]:
    rows = list(Breaker.objects.order_by("key").values_list("key", "state", "trips"))
    yield from _metric(
        "netra_breaker_state",
        "gauge",
        "Whether calls to a provider's model pass.",
        [({"key": key, "state": state}, 1) for key, state, _ in rows],
    )
    yield from _metric(
        "netra_breaker_trips_total",
        "counter",
        "How often a provider's model failed so much that calls were stopped.",
        [({"key": key}, trips) for key, _, trips in rows],
    )
    yield from _metric(
        "netra_breaker_out_of_reach_total",
        "counter",
        "Looks at the breakers that failed in this process, so that calls passed.",
        [({"error": name}, n) for name, n in sorted(unreachable.items())],
    )


def _hint_lines() -> Iterable[str]:
    relay = _relay()
    away = bool(settings.NETRA_REDIS_URL) and (relay is None or relay.away)
    for name, kind, words, number in (
        ("netra_hints_away", "gauge", "1 while Redis is away.", int(away)),
        (
            "netra_hints_lost_total",
            "counter",
            "Hints that other processes were not told; they poll.",
            relay.lost if relay else 0,
        ),
        (
            "netra_dispatch_lost_total",
            "counter",
            "Calls to workers that the broker did not take; they poll.",
            dispatcher.lost,
        ),
    ):
        yield from _metric(name, kind, words, [({}, number)])


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
