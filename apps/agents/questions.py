"""What a question is about and which period it means, read from its words. Pure rules, no model."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

READ_CHARACTERS = 4_000  # of a long text its beginning and its end, half each
FOLLOW_UP_CHARACTERS = 80
DEFAULT_PERIOD = "30d"
DEFAULT_BY = "feature"
LONGEST_DAYS = 366


class Topic(StrEnum):
    """What the offline analyst can speak about."""

    JUMP = "jump"  # why spend rose
    COST = "cost"
    SAVINGS = "savings"
    LATENCY = "latency"
    FAILURES = "failures"
    MODELS = "models"  # which model to choose
    SUMMARY = "summary"
    OTHER = "other"  # beyond its reach


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question as it was understood."""

    topics: tuple[Topic, ...]
    period: str
    by: str = DEFAULT_BY
    period_named: bool = False
    note: str = ""


def _words(beginnings: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![a-z0-9])(?:{beginnings.replace(' ', '|')})")


# Beginnings of words; a word that begins with one of them speaks of that subject.
COST = _words(
    r"cost spen[dt] bill invoic expens budget pric money dollar usd charg paid pay [$€£]"
)
RISE = _words(
    "jump spik increas rise rising rose grew grow surg explod doubl tripl higher soar"
)
WENT_UP = re.compile(r"\b(?:went|going|gone|goes)\b.{0,40}\bup\b")
SAVE = _words("save saving cheap cach optimi")
LOWER = _words(
    r"cut reduc lower less\b recommend advi suggest improv action should econom"
)
SPEED = _words("latenc slow fast speed p50 p95 p99 delay lagg respons perform wait")
FAILED = _words(
    "fail error time-?out timed outage broke crash reliab unavail refus reject throttl 429 rate.limit"
)
MODEL = _words("model gpt claude gemini llama mistral sonnet opus haiku grok deepseek")
CHOICE = _words(
    r"which choos best compar switch better alternativ right use\b replac downgrad upgrad"
)
SUMMARY = _words(
    r"summar overview usage report status token calls requests stat activit happen much many used ai\b llm"
)
WHY = re.compile(r"\bwhy\b")
PROVIDER = _words("provider vendor")
DAILY = re.compile(r"\b(?:by|per|each|every) days?\b|\bdaily\b|\btrend")

MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
SHORT_MONTHS = {
    name[:3]: n for n, name in enumerate(MONTHS, 1) if name not in {"march", "may"}
} | {"sept": 9}
# 'may' and 'march' are also verbs: they need a word before, or a year behind.
NUMBER = r"(\d{1,3}|a|one|two|three|four|six|twelve)"
NUMBERS = {"a": 1, "one": 1, "two": 2, "three": 3, "four": 4, "six": 6, "twelve": 12}
UNIT_DAYS = {"day": 1, "week": 7, "month": 30, "quarter": 90, "year": 365}
MONTH_NAME = re.compile(
    rf"\b(?P<name>{'|'.join(m for m in MONTHS if m not in {'march', 'may'})}|{'|'.join(SHORT_MONTHS)})\b"
    r"(?:\.?,?\s+(?P<year>20\d\d))?"
)
VERB_MONTH = re.compile(
    r"(?:\b(?:in|of|for|during|since|last|until|and|to|vs)\s+(?P<name>may|march)\b(?:,?\s+(?P<year>20\d\d))?"
    r"|\b(?P<name2>may|march),?\s+(?P<year2>20\d\d))"
)
ISO_MONTH = re.compile(r"\b(20\d\d)-(0[1-9]|1[0-2])\b")
SPAN = re.compile(
    rf"\b{NUMBER}[\s-]*(day|week|month|quarter|year)s?\b|\b(\d{{1,3}})d\b"
)
FIXED = (
    (re.compile(r"\b(today|24 ?h|24 hours)\b"), "1d"),
    (re.compile(r"\byesterday\b"), "2d"),
    (re.compile(r"\b(?:last|past|this|previous) week\b"), "7d"),
    (re.compile(r"\b(?:last|past|this|previous) quarter\b"), "90d"),
    (re.compile(r"\b(?:last|past|this|previous) year\b"), "365d"),
    (re.compile(r"\bpast month\b"), "30d"),
)


def understand(text: str, *, today: date, earlier: Sequence[str] = ()) -> Question:
    """The question in `text`; a short follow-up takes its subject from the `earlier` questions."""
    read = _readable(text)
    topics = _topics(read)
    period, note = _period(read, today)
    if not topics and earlier and len(text) <= FOLLOW_UP_CHARACTERS:
        before = understand(earlier[-1], today=today, earlier=earlier[:-1])
        if before.topics != (Topic.OTHER,):
            return _followed_up(before, period=period, by=_by(read), note=note)
    return Question(
        topics=topics or (Topic.OTHER,),
        period=period or _assumed(topics, read, today),
        by=_by(read),
        period_named=bool(period),
        note=note,
    )


def _followed_up(before: Question, *, period: str, by: str, note: str) -> Question:
    return Question(
        topics=before.topics,
        period=period or before.period,
        by=before.by if by == DEFAULT_BY else by,
        period_named=bool(period) or before.period_named,
        note=note,
    )


def _readable(text: str) -> str:
    half = READ_CHARACTERS // 2
    part = text if len(text) <= READ_CHARACTERS else f"{text[:half]}\n{text[-half:]}"
    return unicodedata.normalize("NFKC", part).casefold()


def _topics(read: str) -> tuple[Topic, ...]:
    cost, speed, failed, model, usage = (
        pattern.search(read) is not None
        for pattern in (COST, SPEED, FAILED, MODEL, SUMMARY)
    )
    other = speed or failed
    speaks = {
        Topic.JUMP: _asks_why_dearer(read, cost=cost, usage=usage and not other),
        Topic.COST: cost,
        Topic.SAVINGS: _asks_to_save(
            read, cost=cost, usage=usage and not other, other=other
        ),
        Topic.LATENCY: speed,
        Topic.FAILURES: failed,
        Topic.MODELS: model
        and (CHOICE.search(read) is not None or not (cost or other)),
    }
    found = [topic for topic, spoken in speaks.items() if spoken]
    if not found and usage:
        return (Topic.SUMMARY,)
    return tuple(topic for topic in found if not _covered(topic, found))


def _asks_why_dearer(read: str, *, cost: bool, usage: bool) -> bool:
    rose = RISE.search(read) is not None or WENT_UP.search(read) is not None
    if cost:
        return rose or WHY.search(read) is not None
    return rose and usage


def _asks_to_save(read: str, *, cost: bool, usage: bool, other: bool) -> bool:
    if SAVE.search(read) and not other:
        return True
    return LOWER.search(read) is not None and (cost or usage)


def _covered(topic: Topic, found: Sequence[Topic]) -> bool:
    """Whether another topic's answer says all that this one's would."""
    if topic is Topic.COST:
        return any(
            other in found for other in (Topic.JUMP, Topic.SAVINGS, Topic.MODELS)
        )
    if topic is Topic.SAVINGS:
        return Topic.JUMP in found or Topic.MODELS in found
    return topic is Topic.LATENCY and Topic.MODELS in found


def _by(read: str) -> str:
    for by, pattern in (("provider", PROVIDER), ("model", MODEL), ("day", DAILY)):
        if pattern.search(read):
            return by
    return DEFAULT_BY


def _period(read: str, today: date) -> tuple[str, str]:
    """The period that is named and a remark on it; both empty when none is."""
    if re.search(r"\b(?:last|previous) month\b", read):
        return f"{_month_before(today):%Y-%m}", ""
    if re.search(r"\b(?:this|current) month\b|\bmonth to date\b", read):
        return f"{today:%Y-%m}", ""
    months = _months(read, today)
    if months:
        begun = [month for month in months if month <= today]
        if begun:
            return f"{max(begun):%Y-%m}", ""
        return (
            DEFAULT_PERIOD,
            f"{months[0]:%B %Y} has not begun, so these figures are of the last 30 days.",
        )
    for pattern, period in FIXED:
        if pattern.search(read):
            return period, ""
    if span := SPAN.search(read):
        return _span(span), ""
    return "", ""


def _span(found: re.Match[str]) -> str:
    if found[3]:
        days = int(found[3])
    else:
        days = int(NUMBERS.get(found[1], 0) or found[1]) * UNIT_DAYS[found[2]]
    return f"{min(max(days, 1), LONGEST_DAYS)}d"


def _months(read: str, today: date) -> list[date]:
    found = [date(int(year), int(month), 1) for year, month in ISO_MONTH.findall(read)]
    named = [(match["name"], match["year"]) for match in MONTH_NAME.finditer(read)]
    named += [
        (match["name"] or match["name2"], match["year"] or match["year2"])
        for match in VERB_MONTH.finditer(read)
    ]
    found += [_month_of(name, year, today) for name, year in named]
    return found


def _month_of(name: str, year: str | None, today: date) -> date:
    number = MONTHS.index(name) + 1 if name in MONTHS else SHORT_MONTHS[name]
    if year:
        return date(int(year), number, 1)
    # Without a year: the newest such month that has begun.
    return date(today.year - (number > today.month), number, 1)


def _month_before(today: date) -> date:
    return (today.replace(day=1) - timedelta(days=1)).replace(day=1)


def _assumed(topics: Sequence[Topic], read: str, today: date) -> str:
    if Topic.JUMP in topics and "month" in read:
        return f"{_month_before(today):%Y-%m}"
    return DEFAULT_PERIOD
