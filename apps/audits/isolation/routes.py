"""Tries an HTTP route as everybody who may not, and as the one who may."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass

from apps.audits.isolation.asking import Asker
from apps.audits.isolation.judging import (
    Answer,
    Check,
    Judged,
    Outcome,
    outcome_of_absence,
    outcome_of_control,
    outcome_of_refusal,
    outcome_of_stranger,
)
from apps.core.surfaces import Canary, Deed, Kind, Login, Route

State = Callable[[], str]


@dataclass(frozen=True, slots=True)
class Field:
    """Who tries what against whom."""

    asker: Asker
    mine: Canary
    other: Canary
    absent: Mapping[str, str]
    state: State  # a digest of all that `other` holds


def try_route(route: Route, field: Field) -> Iterator[Judged]:
    """One route in all the ways in which it could tell, or change, what is another's."""
    other, owner = field.other, field.other.owner
    before = field.state() if route.deed is Deed.CHANGE else ""
    if route.control is not None:
        answer = field.asker.ask(route, other.ids, owner)
        judged = _control(route, other, answer)
        yield _told(route, Check.CONTROL, "its owner", answer, judged)
    foreign = field.asker.ask(route, other.ids, field.mine.owner)
    secrets = _secrets(route, other)
    yield _told(
        route,
        Check.FOREIGN,
        field.mine.slug,
        foreign,
        outcome_of_stranger(foreign, secrets),
    )
    if "_id}" in route.path or "_number}" in route.path:
        nothing = field.asker.ask(route, field.absent, field.mine.owner)
        ids = [*other.ids.values(), *field.absent.values()]
        judged = outcome_of_absence(foreign, nothing, ids)
        yield _told(route, Check.ABSENT, "asked for nothing", nothing, judged)
    if route.personal and route.login is Login.TOKEN:
        answer = field.asker.ask(route, other.ids, other.member)
        judged = outcome_of_stranger(answer, secrets)
        yield _told(route, Check.COLLEAGUE, "a colleague", answer, judged)
    yield from _refusals(route, field, secrets)
    if route.deed is Deed.CHANGE:
        yield _untouched(route, before, field.state())


def _refusals(route: Route, field: Field, secrets: Collection[str]) -> Iterator[Judged]:
    """Without proof, with one that was revoked, by one who was removed."""
    other = field.other
    if route.login is Login.NONE:
        return
    nobody = field.asker.ask(route, other.ids, None)
    judged = outcome_of_refusal(nobody, secrets)
    yield _told(route, Check.NOBODY, "without proof", nobody, judged)
    if route.login is Login.TOKEN:
        leaver = other.people["leaver"]
        answer = field.asker.ask(route, other.ids, leaver)
        judged = outcome_of_refusal(answer, secrets)
        yield _told(route, Check.REMOVED, "who was removed", answer, judged)


def _secrets(route: Route, other: Canary) -> list[str]:
    """What only the other may see. Ids that were asked for may be repeated in the answer."""
    asked = [
        name for name in other.ids if "{" + name + "}" in f"{route.path}{route.body}"
    ]
    return [
        other.marker,
        *(
            value
            for name, value in other.ids.items()
            if name not in asked and len(value) > 12
        ),
    ]


def _control(route: Route, other: Canary, answer: Answer) -> tuple[Outcome, str]:
    judged = outcome_of_control(answer, route.control or 200)
    shown = other.ids[route.shows_id] if route.shows_id else other.marker
    if judged[0] is Outcome.HELD and route.shows and shown not in answer.text:
        return Outcome.INCONCLUSIVE, "its own marker was not in it"
    return judged


def _untouched(route: Route, before: str, after: str) -> Judged:
    same = before == after
    return Judged(
        kind=Kind.ROUTE,
        surface=route.name,
        check=Check.UNTOUCHED,
        outcome=Outcome.HELD if same else Outcome.BREACHED,
        request="all that the other organisation holds",
        expected="as it was",
        got="as it was" if same else "changed",
        digest=after,
    )


EXPECTED = {
    Check.CONTROL: "its own marker",
    Check.FOREIGN: "nothing of another's",
    Check.ABSENT: "the same as for what is foreign",
    Check.COLLEAGUE: "nothing of a colleague's",
    Check.NOBODY: "a refusal",
    Check.REMOVED: "a refusal",
}


def _told(
    route: Route,
    check: Check,
    who: str,
    answer: Answer,
    judged: tuple[Outcome, str],
) -> Judged:
    return Judged(
        kind=Kind.ROUTE,
        surface=route.name,
        check=check,
        outcome=judged[0],
        request=f"{route.name} as {who}",
        expected=EXPECTED[check],
        got=judged[1],
        digest=answer.digest,
    )
