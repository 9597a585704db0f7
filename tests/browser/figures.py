"""The demo's spending, added up from its database file by plain sums: shares no code with the tools."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from tests.browser.demo import Demo

ROWS = """
SELECT at, provider, model, feature, cost_usd FROM usage_record
JOIN accounts_organisation ON accounts_organisation.id = organisation_id
WHERE slug = ? AND source = 'company' ORDER BY at
"""


@dataclass(frozen=True)
class Call:
    day: date
    model: str
    feature: str
    cost: Decimal


class Month:
    """The calls of one calendar month (UTC)."""

    def __init__(self, first: date, calls: list[Call]) -> None:
        self.name = f"{first:%B %Y}"
        self.calls = [c for c in calls if c.day.replace(day=1) == first]
        self.cost = sum((c.cost for c in self.calls), Decimal())
        self.by_feature: dict[str, Decimal] = defaultdict(Decimal)
        for call in self.calls:
            self.by_feature[call.feature] += call.cost
        self.count = Counter(c.feature for c in self.calls)

    def usual_model(self, feature: str) -> str:
        models = Counter(c.model for c in self.calls if c.feature == feature)
        return models.most_common(1)[0][0]


@dataclass(frozen=True)
class Spending:
    """Last month beside the one before."""

    before: Month
    last: Month

    @classmethod
    def of(cls, demo: Demo, slug: str) -> Spending:
        calls = [
            Call(
                date.fromisoformat(str(at)[:10]),
                f"{provider}/{model}",
                str(feature),
                Decimal(str(cost)),
            )
            for at, provider, model, feature, cost in demo.rows(ROWS, slug)
        ]
        last = _month_before(datetime.now(UTC).date())
        return cls(Month(_month_before(last), calls), Month(last, calls))

    @property
    def jump(self) -> str:
        """The feature whose cost rose most."""
        return max(self.last.by_feature, key=self.change_of)

    def change_of(self, feature: str) -> Decimal:
        return self.last.by_feature[feature] - self.before.by_feature[feature]

    @property
    def moved_on(self) -> date:
        """The first day of the new model."""
        model = self.last.usual_model(self.jump)
        return min(
            c.day
            for c in self.last.calls
            if c.feature == self.jump and c.model == model
        )


def _month_before(day: date) -> date:
    return (day.replace(day=1) - timedelta(days=1)).replace(day=1)


def usd(amount: Decimal) -> str:
    return f"{amount:,.2f} USD"


def change(amount: Decimal) -> str:
    return f"{'+' if amount > 0 else '−'}{usd(abs(amount))}"


def percent(part: Decimal, whole: Decimal) -> str:
    """Of growth: '+144 %'."""
    share = 100 * part / whole
    return f"{'+' if share > 0 else '−'}{abs(share):,.{1 if abs(share) < 10 else 0}f} %"


def spoken(day: date) -> str:
    return f"{day.day} {day:%B %Y}"
