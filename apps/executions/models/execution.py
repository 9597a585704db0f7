"""Executions and what they leave behind: content, attempts, transitions, phases, the event log."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from apps.core.content import ContentJSONField, ContentTextField
from apps.core.tenancy import TenantModel
from apps.executions.states import CLAIMED, TERMINAL, EventType, ExecutionState, Phase

STATES = [(state.value, state.value) for state in ExecutionState]
CLAIMED_VALUES = sorted(state.value for state in CLAIMED)
TERMINAL_VALUES = sorted(state.value for state in TERMINAL)


class Stream(TenantModel):
    """One totally ordered, gapless log. Chat gives it its thread's id."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+"
    )
    first_kept = models.PositiveBigIntegerField(default=1)
    last = models.PositiveBigIntegerField(default=0)
    epoch = models.UUIDField(default=uuid.uuid4)

    class Meta(TenantModel.Meta):
        constraints = [
            models.CheckConstraint(
                condition=Q(first_kept__gte=1) & Q(first_kept__lte=F("last") + 1),
                name="executions_stream_range_sane",
            ),
        ]

    def __str__(self) -> str:
        return f"stream {self.pk} at {self.last}"


class Execution(TenantModel):
    """One piece of an agent's work, from waiting to one of five ends."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    stream = models.ForeignKey(Stream, on_delete=models.PROTECT, related_name="+")
    runner = models.CharField(max_length=64, help_text="Name of the registered work.")
    agent = models.CharField(max_length=64)
    model = models.CharField(max_length=128, blank=True)
    tier = models.CharField(max_length=16)
    state = models.CharField(
        max_length=16, choices=STATES, default=ExecutionState.PENDING
    )
    phase = models.CharField(
        max_length=24, blank=True, choices=[(p.value, p.value) for p in Phase]
    )
    version = models.PositiveIntegerField(
        default=1, help_text="Number of the newest transition."
    )
    attempt = models.PositiveSmallIntegerField(default=1)
    announced_attempt = models.PositiveSmallIntegerField(default=0)
    max_attempts = models.PositiveSmallIntegerField(default=3)
    fence = models.PositiveIntegerField(
        default=0, help_text="Rises with every claim; guards every write."
    )
    lease_token = models.UUIDField(null=True)
    lease_expires_at = models.DateTimeField(null=True)
    owner = models.UUIDField(null=True, help_text="Boot id of the runner process.")
    available_at = models.DateTimeField(null=True)
    waiting_for = models.CharField(max_length=16, blank=True)
    timeout_seconds = models.PositiveIntegerField()
    deadline_at = models.DateTimeField(null=True)
    cancel_requested_at = models.DateTimeField(null=True)
    cancel_by = models.CharField(max_length=16, blank=True)
    cancel_reason = models.CharField(max_length=300, blank=True)
    reply_id = models.UUIDField(null=True)
    retry_of = models.UUIDField(null=True)
    error_code = models.CharField(max_length=64, blank=True)
    error_class = models.CharField(max_length=128, blank=True)
    breaker = models.CharField(
        max_length=160,
        blank=True,
        default="",
        db_default="",  # the release before inserts rows without it
        help_text="The circuit breaker that stopped it.",
    )
    receipt_id = models.UUIDField(null=True)
    input_tokens = models.PositiveIntegerField(default=0)
    output_tokens = models.PositiveIntegerField(default=0)
    cost_usd = models.DecimalField(max_digits=12, decimal_places=6, default=0)
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, help_text="First claim.")
    first_token_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    updated_at = models.DateTimeField()

    class Meta(TenantModel.Meta):
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=[s.value for s in ExecutionState]),
                name="executions_execution_state_known",
            ),
            models.CheckConstraint(
                condition=Q(
                    state__in=CLAIMED_VALUES,
                    lease_token__isnull=False,
                    lease_expires_at__isnull=False,
                    owner__isnull=False,
                )
                | (~Q(state__in=CLAIMED_VALUES) & Q(lease_token__isnull=True)),
                name="executions_execution_lease_iff_claimed",
            ),
            models.CheckConstraint(
                condition=Q(state__in=TERMINAL_VALUES, finished_at__isnull=False)
                | (~Q(state__in=TERMINAL_VALUES) & Q(finished_at__isnull=True)),
                name="executions_execution_finished_iff_terminal",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=CLAIMED_VALUES)
                | Q(deadline_at__isnull=False, started_at__isnull=False),
                name="executions_execution_deadline_once_claimed",
            ),
            models.CheckConstraint(
                condition=Q(waiting_for="") | Q(state="pending"),
                name="executions_execution_waits_only_pending",
            ),
            models.CheckConstraint(
                condition=Q(waiting_for__in=["", "predecessor", "approval"]),
                name="executions_execution_wait_known",
            ),
            models.CheckConstraint(
                condition=Q(attempt__gte=1)
                & Q(attempt__lte=F("max_attempts"))
                & Q(announced_attempt__lte=F("attempt")),
                name="executions_execution_attempts_bounded",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=["failed", "timeout", "dead"])
                | ~Q(error_code=""),
                name="executions_execution_failure_has_code",
            ),
            models.CheckConstraint(
                condition=Q(timeout_seconds__gte=1),
                name="executions_execution_timeout_positive",
            ),
            models.UniqueConstraint(
                fields=["stream"],
                condition=Q(state__in=CLAIMED_VALUES),
                name="executions_execution_one_claimed_per_stream",
            ),
        ]
        indexes = [
            # lists: newest of an organisation, of one state
            models.Index(
                fields=["organisation", "-created_at"], name="executions_newest"
            ),
            models.Index(fields=["-created_at"], name="executions_newest_all"),
            # … and, few rows being alive: queries.claimable, lost, overdue, ignored_stops, never_started
            models.Index(fields=["state", "-created_at"], name="executions_by_state"),
            models.Index(fields=["stream", "created_at"], name="executions_of_stream"),
            # queries.has_room: what an organisation has at work
            models.Index(fields=["organisation", "state"], name="executions_at_work"),
        ]

    def __str__(self) -> str:
        return f"{self.agent} {self.state} {self.pk}"


class Content(TenantModel):
    """What an execution was given and gave. Staff see it only under a grant."""

    execution = models.OneToOneField(
        Execution, on_delete=models.CASCADE, related_name="content"
    )
    input = ContentJSONField(default=dict)
    output = ContentTextField(blank=True)
    partial = ContentTextField(
        blank=True, help_text="Text so far, kept at most once a second."
    )
    error_detail = ContentTextField(blank=True)

    def __str__(self) -> str:
        return f"content of {self.execution_id}"


class Attempt(TenantModel):
    """One claim of an execution by a runner."""

    execution = models.ForeignKey(
        Execution, on_delete=models.CASCADE, related_name="attempts"
    )
    fence = models.PositiveIntegerField()
    number = models.PositiveSmallIntegerField()
    owner = models.UUIDField()
    claimed_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=32, blank=True)

    class Meta(TenantModel.Meta):
        ordering = ["fence"]
        constraints = [
            models.UniqueConstraint(
                fields=["execution", "fence"], name="executions_attempt_one_per_claim"
            ),
            models.UniqueConstraint(
                fields=["execution"],
                condition=Q(ended_at__isnull=True),
                name="executions_attempt_one_open",
            ),
        ]

    def __str__(self) -> str:
        return f"attempt {self.number} of {self.execution_id}"


class Transition(TenantModel):
    """One move of an execution, append-only."""

    execution = models.ForeignKey(
        Execution, on_delete=models.CASCADE, related_name="transitions"
    )
    n = models.PositiveIntegerField()
    from_state = models.CharField(max_length=16, blank=True)
    to_state = models.CharField(max_length=16, choices=STATES)
    attempt = models.PositiveSmallIntegerField()
    fence = models.PositiveIntegerField()
    actor_kind = models.CharField(max_length=16)
    actor_id = models.UUIDField(null=True)
    actor_label = models.CharField(max_length=200)
    reason = models.CharField(max_length=300, blank=True)
    at = models.DateTimeField()

    class Meta(TenantModel.Meta):
        ordering = ["n"]
        constraints = [
            models.UniqueConstraint(
                fields=["execution", "n"], name="executions_transition_numbered"
            ),
            models.UniqueConstraint(
                fields=["execution"],
                condition=Q(to_state__in=TERMINAL_VALUES),
                name="executions_transition_one_end",
            ),
            models.CheckConstraint(
                condition=(Q(n=1) & Q(from_state=""))
                | (Q(n__gt=1) & ~Q(from_state="")),
                name="executions_transition_first_from_nothing",
            ),
            models.CheckConstraint(
                condition=Q(to_state__in=[s.value for s in ExecutionState]),
                name="executions_transition_state_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.from_state or 'new'} → {self.to_state}"


class PhaseEntry(TenantModel):
    """One phase of one claim; it lasted until the next one's `at`."""

    execution = models.ForeignKey(
        Execution, on_delete=models.CASCADE, related_name="phases"
    )
    fence = models.PositiveIntegerField()
    n = models.PositiveSmallIntegerField()
    phase = models.CharField(max_length=24, choices=[(p.value, p.value) for p in Phase])
    at = models.DateTimeField()

    class Meta(TenantModel.Meta):
        verbose_name_plural = "phase entries"
        ordering = ["fence", "n"]
        constraints = [
            models.UniqueConstraint(
                fields=["execution", "fence", "n"], name="executions_phase_numbered"
            ),
            models.CheckConstraint(
                condition=Q(phase__in=[p.value for p in Phase]),
                name="executions_phase_known",
            ),
        ]

    def __str__(self) -> str:
        return self.phase


class Event(TenantModel):
    """One entry of a stream's log: numbered without gaps, each uid once."""

    stream = models.ForeignKey(Stream, on_delete=models.CASCADE, related_name="events")
    seq = models.PositiveBigIntegerField()
    event_uid = models.UUIDField(unique=True)
    execution = models.ForeignKey(
        Execution, on_delete=models.CASCADE, null=True, related_name="events"
    )
    attempt = models.PositiveSmallIntegerField(default=0)
    type = models.CharField(
        max_length=24, choices=[(t.value, t.value) for t in EventType]
    )
    final = models.BooleanField(
        default=False, help_text="The one event that ends its execution."
    )
    payload = ContentJSONField(default=dict)
    at = models.DateTimeField()

    class Meta(TenantModel.Meta):
        ordering = ["seq"]
        constraints = [
            models.UniqueConstraint(
                fields=["stream", "seq"], name="executions_event_seq_once"
            ),
            models.CheckConstraint(
                condition=Q(seq__gte=1), name="executions_event_seq_from_one"
            ),
            models.CheckConstraint(
                condition=Q(type__in=[t.value for t in EventType]),
                name="executions_event_type_known",
            ),
            models.UniqueConstraint(
                fields=["execution"],
                condition=Q(final=True),
                name="executions_event_one_end",
            ),
            models.CheckConstraint(
                condition=Q(final=False)
                | Q(type__in=["agent_completed", "agent_error", "agent_cancelled"]),
                name="executions_event_final_is_terminal",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.seq} {self.type}"


class RefusedMove(TenantModel):
    """A move that was not made: the table forbids it, or the lease was another's by then."""

    class Why(models.TextChoices):
        ILLEGAL = "illegal", "The table forbids it"
        FENCED = "fenced", "The execution had moved, or the lease was lost"

    execution = models.ForeignKey(
        Execution, on_delete=models.CASCADE, related_name="refused_moves"
    )
    from_state = models.CharField(max_length=16)
    to_state = models.CharField(max_length=16)
    fence = models.PositiveIntegerField()
    attempt = models.PositiveSmallIntegerField()
    why = models.CharField(max_length=16, choices=Why)
    actor_label = models.CharField(max_length=200)
    at = models.DateTimeField()

    class Meta(TenantModel.Meta):
        ordering = ["at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(why__in=["illegal", "fenced"]),
                name="executions_refused_move_why_known",
            ),
            models.UniqueConstraint(
                fields=["execution", "fence", "from_state", "to_state", "why"],
                name="executions_refused_move_told_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.from_state} → {self.to_state} refused ({self.why})"
