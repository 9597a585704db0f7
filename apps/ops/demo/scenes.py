"""What the people of the demo asked in the last days, and how it ended: every terminal state."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from apps.accounts.access import Principal
from apps.accounts.models import Organisation
from apps.core.errors import Explanation
from apps.executions.events import Usage
from apps.ops.demo import figures
from apps.ops.demo.history import History

OFFLINE = Usage(model="offline")
READING = "Reading the question"
OFFLINE_NOTE = "*Computed by the offline analyst, which is not a language model.*"
PROVIDER_FAILED = Explanation(
    "provider_error",
    "The model's provider failed.",
    "Try again in a moment.",
    retryable=True,
)
PROVIDER_BUSY = Explanation(
    "provider_rate_limited",
    "The model's provider is busy.",
    "Wait a minute, then try again.",
    retryable=True,
)
TOOL_FAILED = Explanation(
    "tool_failed",
    "The tool 'crash' failed.",
    "Try again; support has been told.",
    retryable=True,
)
BROKE_OFF = Explanation(
    "provider_error",
    "The model's provider broke off in the middle of the answer.",
    "Try again in a moment.",
    retryable=True,
)


@dataclass(frozen=True, slots=True)
class Stage:
    """Where a scene plays: an organisation, its people by first name, and the present day."""

    organisation: Organisation
    people: dict[str, Principal]
    today: date

    def enter(self, name: str, *, days: int, at: str) -> History:
        """That person's history, beginning so many days ago at that time (UTC)."""
        day = self.today - timedelta(days=days)
        return History(
            self.people[name], at=datetime.combine(day, time.fromisoformat(at), UTC)
        )

    def before(self, *, days: int, length: int) -> tuple[date, date]:
        """The `length` days before the day on which such an old question was asked."""
        asked = self.today - timedelta(days=days)
        return asked - timedelta(days=length), asked


Scene = Callable[[Stage], None]


def cost_jump(stage: Stage) -> None:
    """Two questions about last month's bill; the second in the same thread."""
    first, end = _last_month(stage.today - timedelta(days=3))
    before, _ = _last_month(first)
    now = figures.spend_by("feature", stage.organisation, first, end)
    then = figures.spend_by("feature", stage.organisation, before, first)
    period = {"from": first.isoformat(), "to": end.isoformat()}
    history = stage.enter("alice", days=3, at="09:12:05").ask(
        "How did our AI spend develop last month?"
    )
    history.later(0.1).think(READING).later(0.2)
    history.tool(
        "cost_breakdown", {"by": "feature", **period}, _dollars(now), ms=31
    ).later(0.1)
    history.say(_cost_answer(then, now, first)).later(0.4).complete(OFFLINE)
    models = figures.spend_by("model", stage.organisation, first, end)
    again = stage.enter("alice", days=3, at="09:14:40").ask(
        "And which models was that?", thread=history.thread
    )
    again.later(0.1).think(READING).later(0.2)
    again.tool(
        "cost_breakdown", {"by": "model", **period}, _dollars(models), ms=28
    ).later(0.1)
    again.say(_table("Model", models)).later(0.3).complete(OFFLINE)


def slow_provider(stage: Stage) -> None:
    """Bob asks which provider is slow."""
    first, end = stage.before(days=2, length=10)
    p95 = figures.latency_by_provider(stage.organisation, first, end)
    slowest = next(iter(p95))
    lines = "\n".join(f"- {name}: {ms / 1000:.1f} s" for name, ms in p95.items())
    history = stage.enter("bob", days=2, at="14:03:11").ask(
        "Which of our providers is the slowest?"
    )
    history.later(0.1).think(READING).later(0.2)
    history.tool("latency_report", {"by": "provider"}, {"p95_ms": p95}, ms=44).later(
        0.1
    )
    history.say(
        f"**{slowest}** is the slowest by far. 95 of 100 calls were faster than:\n\n{lines}\n\n{OFFLINE_NOTE}"
    )
    history.later(0.3).complete(OFFLINE)


def second_attempt(stage: Stage) -> None:
    """A runner is lost in the middle of an answer; the next one answers."""
    first, end = stage.before(days=4, length=10)
    failed = figures.failures_by_feature(stage.organisation, first, end)
    history = stage.enter("bob", days=4, at="10:31:00").ask(
        "What failed in the last ten days?"
    )
    history.later(0.1).think(READING).later(0.4).lose_runner().later(0.5).take_again()
    history.later(0.1).think(READING).later(0.2)
    history.tool("recent_failures", {}, {"failures": failed}, ms=37).later(0.1)
    lines = "\n".join(f"- {name}: {count}" for name, count in failed.items())
    history.say(f"Failed calls by feature:\n\n{lines}\n\n{OFFLINE_NOTE}").later(0.3)
    history.complete(OFFLINE)


def provider_failures(stage: Stage) -> None:
    """The same provider failure twice, which is one issue; and one of another kind."""
    for days in (6, 5):
        history = stage.enter("bob", days=days, at="16:20:30").ask(
            "Summarise our usage of the last week."
        )
        history.later(0.1).think(READING).later(1.9).say(
            "In the last week your company "
        )
        history.later(0.8).fail(
            PROVIDER_FAILED,
            error_class="ModelHTTPError",
            detail="ModelHTTPError: status_code: 503, body: overloaded",
        )
    history = stage.enter("alice", days=5, at="16:41:02").ask(
        "What did support-bot cost this week?"
    )
    history.later(0.1).think(READING).later(0.6)
    history.fail(
        PROVIDER_BUSY,
        error_class="ModelRateLimitError",
        detail="ModelRateLimitError: status_code: 429, body: slow down",
    )


def out_of_time(stage: Stage) -> None:
    """The model never answers, and the tier's time runs out."""
    history = stage.enter("bob", days=8, at="11:05:44").ask(
        "Compare every model that we used this year, feature by feature."
    )
    history.later(0.1).think(READING).later(4).say(
        "I compare the models in turn. "
    ).time_out()


def lost_contact(stage: Stage) -> None:
    """Three runners are lost, one after the other."""
    history = stage.enter("alice", days=7, at="03:14:10").ask(
        "Draft the monthly cost report."
    )
    for _ in range(2):
        history.later(0.1).think(READING).later(6).lose_runner().later(0.4).take_again()
    history.later(0.1).think(READING).later(3).die()


def stopped(stage: Stage) -> None:
    """Alice stops an answer in the middle; and a question that still waited for its turn."""
    history = stage.enter("alice", days=1, at="08:50:00").ask(
        "List all calls of the last month."
    )
    history.later(0.1).think(READING).later(1.2).say(
        "Here are the calls, the newest first: "
    ).later(2.1)
    waiting = stage.enter("alice", days=1, at="08:50:04").ask_and_wait(
        "Only those of support-bot, please.",
        thread=history.thread,
    )
    waiting.later(1.5).stop("I asked the wrong thing.")
    history.later(3).stop("Too long.")


def stranger(stage: Stage) -> None:
    """Globex: an answer, two equal failures, a time-out and a stop."""
    first, end = stage.before(days=2, length=30)
    spend = figures.spend_by("feature", stage.organisation, first, end)
    history = stage.enter("mallory", days=2, at="13:22:08").ask(
        "What did we spend on AI in the last 30 days?"
    )
    history.later(0.1).think(READING).later(0.2)
    history.tool("cost_breakdown", {"by": "feature"}, _dollars(spend), ms=19).later(0.1)
    history.say(_table("Feature", spend)).later(0.3).complete(OFFLINE)
    for days in (9, 4):
        failing = stage.enter("mallory", days=days, at="17:02:51").ask(
            "How fast is Google?"
        )
        failing.later(0.1).think(READING).later(2.2)
        failing.fail(
            PROVIDER_FAILED,
            error_class="ModelHTTPError",
            detail="ModelHTTPError: status_code: 502, body: bad gateway",
        )
    late = stage.enter("mallory", days=6, at="09:30:15").ask("Compare all our models.")
    late.later(0.1).think(READING).time_out()
    stop = stage.enter("mallory", days=1, at="15:10:20").ask("List everything.")
    stop.later(0.1).think(READING).later(1.4).say("Here is ").later(1).stop(
        "Never mind."
    )


def monitoring(stage: Stage) -> None:
    """Support's synthetic monitoring: a golden turn a day, and each kind of trouble once."""
    for days in range(7, 0, -1):
        golden = stage.enter("support", days=days, at="06:00:00").ask(
            "Is all well?", agent="golden-turn"
        )
        golden.later(0.01).think(READING).tool(
            "lookup", {"q": "x"}, "result for x", ms=1
        )
        golden.later(0.01).say("".join(f"tok{n} " for n in range(20))).complete(
            Usage(model="golden-turn")
        )
    failing = stage.enter("support", days=3, at="06:05:00").ask(
        "Fail, please.", agent="failing-turn"
    )
    failing.later(0.01).think(READING).say("".join(f"tok{n} " for n in range(5))).later(
        0.01
    )
    failing.fail(
        BROKE_OFF,
        error_class="ScriptedProviderFailure",
        detail="ScriptedProviderFailure: the scripted provider broke off",
    )
    crashing = stage.enter("support", days=3, at="06:10:00").ask(
        "Crash, please.", agent="crashing-turn"
    )
    crashing.later(0.01).think(READING)
    crashing.tool("crash", {}, {"error": "The tool failed."}, ms=1, status="error")
    crashing.fail(
        TOOL_FAILED,
        error_class="RuntimeError",
        detail="RuntimeError: the scripted tool crashed",
    )
    hanging = stage.enter("support", days=3, at="06:15:00").ask(
        "Hang, please.", agent="hanging-turn"
    )
    hanging.later(0.01).think(READING).time_out()


SCENES: dict[str, tuple[Scene, ...]] = {
    "acme": (
        cost_jump,
        slow_provider,
        second_attempt,
        provider_failures,
        out_of_time,
        lost_contact,
        stopped,
    ),
    "globex": (stranger,),
    "netra": (monitoring,),
}


def play(stage: Stage) -> None:
    """Tell every scene of the organisation, each in its person's scope."""
    for scene in SCENES[stage.organisation.slug]:
        scene(stage)


def _dollars(spend: figures.Dollars) -> dict[str, object]:
    return {
        "total_usd": f"{sum(spend.values(), Decimal()):.2f}",
        "rows": [
            {"name": name, "usd": f"{dollars:.2f}"} for name, dollars in spend.items()
        ],
    }


def _last_month(day: date) -> tuple[date, date]:
    """First day of the month before the one of `day`, and of the one of `day`."""
    first = day.replace(day=1)
    return (first - timedelta(days=1)).replace(day=1), first


def _cost_answer(then: figures.Dollars, now: figures.Dollars, month: date) -> str:
    before, after = sum(then.values(), Decimal()), sum(now.values(), Decimal())
    rises = sorted(now, key=lambda name: then.get(name, Decimal()) - now[name])
    most = rises[0] if rises else "nothing"
    return (
        f"In {month:%B} you spent **${after:,.2f}**, after ${before:,.2f} in the month before.\n\n"
        f"`{most}` rose most: from ${then.get(most, Decimal()):,.2f} to ${now.get(most, Decimal()):,.2f}.\n\n"
        f"{OFFLINE_NOTE}"
    )


def _table(head: str, spend: figures.Dollars) -> str:
    rows: Iterable[str] = (
        f"| {name} | {dollars:,.2f} |" for name, dollars in spend.items()
    )
    return "\n".join(
        (f"| {head} | US dollars |", "|---|---:|", *rows, "", OFFLINE_NOTE)
    )
