"""The admin of executions: the list, and stopping one. The inspector of one belongs to ops."""

from __future__ import annotations

from datetime import UTC
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.accounts.listing import OrganisationFilter, TenantRowsAdmin
from apps.accounts.models import User
from apps.core.actors import Actor
from apps.core.admin import ReadOnlyAdmin
from apps.core.database import write_now
from apps.core.templatetags.netra import ident, lasted, when
from apps.core.tenancy import tenant
from apps.executions import breakers, endings, queries, sentences
from apps.executions.circuit import CircuitState
from apps.executions.errors import IllegalTransitionError, LeaseLostError
from apps.executions.filters import (
    AgentFilter,
    LookFilter,
    PeriodFilter,
    StateFilter,
    TierFilter,
)
from apps.executions.models import Breaker, Execution
from apps.executions.standing import Standing
from apps.executions.states import (
    ALIVE,
    TRANSITIONS,
    ExecutionState,
)
from apps.executions.templatetags.states import state

S = ExecutionState
AT_ONCE = 200  # executions that one action stops
SAMPLE = 10
STOPPABLE = frozenset(s for s in ALIVE if S.CANCELLED in TRANSITIONS[s])


@admin.register(Execution)
class ExecutionAdmin(TenantRowsAdmin):
    """Executions of all organisations, newest first. No content."""

    list_display = (
        "condition",
        "work",
        "organisation",
        "user",
        "asked",
        "took",
        "problem",
        "attempts",
        "tokens",
    )
    list_display_links = None
    list_filter = (
        LookFilter,
        StateFilter,
        AgentFilter,
        OrganisationFilter,
        TierFilter,
        PeriodFilter,
    )
    list_before_template = "admin/executions/execution/tabs.html"
    list_select_related = ("organisation", "user")
    ordering = ("-created_at",)
    sortable_by = ()
    id_columns = ("id", "stream_id")
    search_help_text = "Whole id of an execution or thread"
    actions = ("cancel",)

    def get_urls(self) -> list[URLPattern]:
        stop = path(
            "<path:object_id>/cancel/",
            self.admin_site.admin_view(self.cancel_one),
            name="executions_execution_cancel",
        )
        return [stop, *super().get_urls()]

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Operators hold the permission to change executions; all it allows is to stop them."""
        return bool(request.user.has_perm("executions.change_execution"))

    @admin.action(description="Cancel the selected executions", permissions=["cancel"])
    def cancel(
        self, request: HttpRequest, queryset: QuerySet[Execution]
    ) -> HttpResponse | None:
        alive = queryset.filter(state__in=STOPPABLE).order_by("created_at")
        standings = queries.standings(alive[: AT_ONCE + 1])
        reason = request.POST.get("reason", "").strip()
        if not standings:
            messages.warning(request, "None of them can be cancelled any more.")
            return None
        if len(standings) > AT_ONCE:
            messages.error(request, f"Cancel at most {AT_ONCE} at once.")
            return None
        if not reason or "confirmed" not in request.POST:
            return self._confirm(request, standings)
        stopped = sum(_stop(request, standing, reason) for standing in standings)
        self._tell(request, stopped, len(standings) - stopped)
        return None

    def cancel_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The inspector's button."""
        if not self.has_cancel_permission(request):
            raise PermissionDenied("Your role may not cancel executions.")
        standing = _standing(object_id)
        inspector = reverse("admin:executions_execution_change", args=[object_id])
        reason = request.POST.get("reason", "").strip()
        if request.method != "POST":
            return redirect(inspector)
        if not reason:
            messages.error(request, "Say why: the reason is kept with the execution.")
        elif standing.state not in STOPPABLE:
            messages.warning(request, "It cannot be cancelled any more.")
        else:
            stopped = int(_stop(request, standing, reason))
            self._tell(request, stopped, 1 - stopped)
        return redirect(inspector)

    @admin.display(description="State", ordering="state")
    def condition(self, row: Execution) -> SafeString:
        return state(row.state)

    @admin.display(description="Execution")
    def work(self, row: Execution) -> SafeString:
        url = reverse("admin:executions_execution_change", args=[row.pk])
        return format_html(
            '<span class="nt-one-line"><a class="nt-link" href="{}">{}</a> {}</span>',
            url,
            row.agent,
            ident(row.pk, short=True),
        )

    @admin.display(description="Asked for")
    def asked(self, row: Execution) -> SafeString:
        return when(row.created_at)

    @admin.display(description="Took")
    def took(self, row: Execution) -> SafeString:
        spent = lasted((row.finished_at or timezone.now()) - row.created_at)
        return format_html('<span class="nt-number nt-one-line">{}</span>', spent)

    @admin.display(description="Tokens in / out")
    def tokens(self, row: Execution) -> str:
        if not row.input_tokens and not row.output_tokens:
            return "–"
        return f"{row.input_tokens:,} / {row.output_tokens:,}"

    @admin.display(description="Attempt")
    def attempts(self, row: Execution) -> str:
        return str(row.attempt)

    @admin.display(description="Problem")
    def problem(self, row: Execution) -> str:
        return row.error_class or row.error_code or "–"

    def _confirm(
        self, request: HttpRequest, standings: list[Standing]
    ) -> TemplateResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": "Cancel executions",
            "opts": self.opts,
            "standings": standings[:SAMPLE],
            "left_out": max(0, len(standings) - SAMPLE),
            "selected": [str(standing.id) for standing in standings],
            "asked_before": "confirmed" in request.POST,
        }
        return TemplateResponse(
            request, "admin/executions/execution/cancel.html", context
        )

    def _tell(self, request: HttpRequest, stopped: int, late: int) -> None:
        if stopped:
            noun = "execution is" if stopped == 1 else "executions are"
            messages.success(request, f"{stopped} {noun} being stopped.")
        if late:
            messages.warning(request, f"{late} had moved on meanwhile; look again.")


@admin.register(Breaker)
class BreakerAdmin(ReadOnlyAdmin):
    """Which providers' models are called at present, and why others are not."""

    list_display = ("key", "condition", "failures", "refusing", "trips", "last_error")
    list_display_links = None
    show_full_result_count = True  # there are few
    ordering = ("key",)
    sortable_by = ()
    actions = ("close",)

    def has_close_permission(self, request: HttpRequest) -> bool:
        """Platform admins hold the permission to change breakers; all it allows is to close them."""
        return bool(request.user.has_perm("executions.change_breaker"))

    @admin.action(description="Close now", permissions=["close"])
    def close(
        self, request: HttpRequest, queryset: QuerySet[Breaker]
    ) -> HttpResponse | None:
        ill = queryset.exclude(state=Breaker.State.CLOSED).order_by("key")
        rows = list(ill[:AT_ONCE])
        reason = request.POST.get("reason", "").strip()
        if not rows:
            messages.warning(request, "None of them is open: calls pass already.")
            return None
        if not reason or "confirmed" not in request.POST:
            return self._confirm(request, rows)
        closed = [row.key for row in rows if _close(request, row.key, reason)]
        if closed:
            words = f"Closed: {', '.join(closed)}. Calls pass within a second or so."
            messages.success(request, words)
        if len(closed) < len(rows):
            messages.warning(request, "Others had closed by themselves meanwhile.")
        return None

    @admin.display(description="State")
    def condition(self, row: Breaker) -> SafeString:
        words, look = sentences.BADGES[CircuitState(row.state)]
        return state(look.value, words)

    @admin.display(description="Refuses calls for")
    def refusing(self, row: Breaker) -> SafeString:
        left = sentences.left_open(row, timezone.now())
        if left is None or row.open_until is None:
            return SafeString("–")
        return format_html(
            '<time datetime="{}" title="{} UTC">{}</time>',
            row.open_until.isoformat(timespec="milliseconds"),
            f"{row.open_until.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
            f"{lasted(left)} more" if left else "no longer: the next call tries",
        )

    def _confirm(self, request: HttpRequest, rows: list[Breaker]) -> TemplateResponse:
        now = timezone.now()
        context = {
            **self.admin_site.each_context(request),
            "title": "Close breakers",
            "opts": self.opts,
            "breakers": [(row, sentences.stands(row, now)) for row in rows],
            "asked_before": "confirmed" in request.POST,
        }
        return TemplateResponse(request, "admin/executions/breaker/close.html", context)


def _standing(object_id: str) -> Standing:
    try:
        standing = queries.standing_of(UUID(object_id))
    except ValueError:
        standing = None
    if standing is None:
        raise Http404("There is no such execution.")
    return standing


def _stop(request: HttpRequest, standing: Standing, reason: str) -> bool:
    """Ask for the stop in the name of the staff member; False when it moved meanwhile."""
    actor = _actor(request)
    scope = tenant(standing.organisation_id, standing.user_id)
    try:
        reached = write_now(
            scope,
            lambda: endings.cancel(actor=actor, standing=standing, reason=reason[:300]),
        )
    except (LeaseLostError, IllegalTransitionError):
        return False
    return reached in STOPPABLE | {S.CANCELLED}


def _close(request: HttpRequest, key: str, reason: str) -> bool:
    """Close it in the name of the staff member; False when it was closed already."""
    actor = _actor(request)
    return write_now(
        breakers.SCOPE, lambda: breakers.close_now(key, actor=actor, reason=reason)
    )


def _actor(request: HttpRequest) -> Actor:
    user = request.user
    assert isinstance(user, User), "the admin lets only signed-in staff in"
    return Actor.staff(user.pk, user.email)
