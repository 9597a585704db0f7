"""The newest sign-ins and refused sign-ins through one provider, out of the trail and the receipts.

What is not on record is said to be unknown. No token, code or claim is shown; who it was, only to whom may see people.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.utils.dateparse import parse_datetime

from apps.accounts.doctor import redaction
from apps.accounts.doctor.codes import Meaning, meaning_of
from apps.accounts.models import IdentityProvider
from apps.accounts.waymarks import Step
from apps.audits.acts import Act
from apps.audits.models import Entry, Receipt
from apps.core.errors import NotFoundError

SHOWN = 20
LOOKED_THROUGH = 300  # entries of the organisation, of each of the two acts
ACTS = (Act.SIGNED_IN, Act.SIGN_IN_REFUSED)
# Rules that are asked while the answer comes in: what it belongs to is not settled yet.
AT_RETURN = frozenset({"state_known", "answer_issuer", "provider_agrees"})
TITLES = {
    Step.SENT: "Sent to the provider",
    Step.RETURNED: "Came back with an answer",
    Step.TOKEN: "Token fetched and verified",
    Step.RULES: "Let in by the rules of admission",
    Step.ROLE: "Role settled",
    Step.SESSION: "Session begun",
}


class Passage(StrEnum):
    """What became of one step."""

    PASSED = "passed"
    REFUSED = "refused here"
    NOT_REACHED = "not reached"
    UNKNOWN = "not on record"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One step of one sign-in."""

    step: Step
    passage: Passage
    at: datetime | None = None
    note: str = ""

    @property
    def title(self) -> str:
        return TITLES[self.step]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One sign-in through the provider, or one that was refused."""

    entry_id: UUID
    at: datetime
    who: str
    refused: bool
    code: str
    rule: str
    reference: str
    stages: tuple[Stage, ...]
    said: str = ""  # by the receipt

    @property
    def meaning(self) -> Meaning | None:
        """What the refusal means and what to do about it."""
        return meaning_of(self.code, self.rule) if self.refused else None


def attempts(
    provider: IdentityProvider, *, sees_people: bool, reference: str = ""
) -> list[Attempt]:
    """The newest, newest first, or those with this reference. Two queries of the trail, one of receipts."""
    rows = [row for act in ACTS for row in _newest(provider, act)]
    rows.sort(key=lambda row: (row.at, row.seq), reverse=True)
    found = [_attempt(row, sees_people=sees_people) for row in rows]
    if reference:
        found = [each for each in found if each.reference == reference.strip().lower()]
    return _with_receipts(provider, found[:SHOWN], sees_people=sees_people)


def attempt(
    provider: IdentityProvider, entry_id: UUID, *, sees_people: bool
) -> Attempt:
    """One of them, however old; raises NotFoundError for what is no sign-in through this provider."""
    row = Entry.objects.filter(
        pk=entry_id, organisation_id=provider.organisation_id, act__in=ACTS
    ).first()
    if row is None or not _is_through(provider, _body(row)):
        raise NotFoundError("There is no such sign-in through this provider.")
    found = [_attempt(row, sees_people=sees_people)]
    return _with_receipts(provider, found, sees_people=sees_people)[0]


def _newest(provider: IdentityProvider, act: Act) -> list[Entry]:
    rows = Entry.objects.filter(organisation_id=provider.organisation_id, act=act)
    newest = rows.order_by("-at")[:LOOKED_THROUGH]
    return [row for row in newest if _is_through(provider, _body(row))]


def _is_through(provider: IdentityProvider, body: Mapping[str, Any]) -> bool:
    return bool(_details(body).get("provider") == provider.provider_id)


def _body(row: Entry) -> Mapping[str, Any]:
    try:
        body = json.loads(row.body)
    except ValueError:
        return {}  # somebody altered it; audit_verify says so
    return body if isinstance(body, dict) else {}


def _details(body: Mapping[str, Any]) -> Mapping[str, Any]:
    details = body.get("details")
    return details if isinstance(details, dict) else {}


def _attempt(row: Entry, *, sees_people: bool) -> Attempt:
    body = _body(row)
    details = _details(body)
    refused = row.act == Act.SIGN_IN_REFUSED
    who = str(details.get("asserted") or "") if refused else str(body.get("actor", ""))
    rule = str(details.get("rule") or "")
    return Attempt(
        entry_id=row.pk,
        at=row.at,
        who=who if sees_people or not who else redaction.address(who),
        refused=refused,
        code=str(details.get("code") or ""),
        rule=rule,
        reference=str(details.get("receipt") or "")
        if refused
        else row.target.partition(":")[2],
        stages=tuple(_stages(row, details, rule if refused else "")),
    )


def _stages(row: Entry, details: Mapping[str, Any], rule: str) -> list[Stage]:
    marks = details.get("steps")
    if not isinstance(marks, dict):
        return [Stage(step=each, passage=Passage.UNKNOWN) for each in Step]
    if row.act == Act.SIGNED_IN:
        marks = {**marks, Step.SESSION.value: row.at.isoformat()}
        return [_stage(each, marks, details) for each in Step]
    end = refused_at(marks, rule)
    order = list(Step)
    before = order[: order.index(end)]
    after = order[order.index(end) + 1 :]
    return [
        *(_stage(each, marks, details) for each in before),
        Stage(step=end, passage=Passage.REFUSED, at=row.at, note=rule),
        *(Stage(step=each, passage=Passage.NOT_REACHED) for each in after),
    ]


def refused_at(marks: Mapping[str, Any], rule: str) -> Step:
    """The step that was not passed: the first without a mark after those that have one."""
    if rule in AT_RETURN:
        return Step.RETURNED
    if Step.RETURNED not in marks:
        return Step.SENT
    later = (Step.TOKEN, Step.RULES, Step.ROLE)
    return next((each for each in later if each not in marks), Step.SESSION)


def _stage(step: Step, marks: Mapping[str, Any], details: Mapping[str, Any]) -> Stage:
    told = marks.get(step)
    at = parse_datetime(told) if isinstance(told, str) else None
    if at is None:
        return Stage(step=step, passage=Passage.UNKNOWN)
    return Stage(step=step, passage=Passage.PASSED, at=at, note=_note(step, details))


def _note(step: Step, details: Mapping[str, Any]) -> str:
    if step is Step.ROLE:
        return str(details.get("role") or "")
    if step is Step.SESSION and details.get("second_factor"):
        return f"with a second factor: {details['second_factor']}"
    return ""


def _with_receipts(
    provider: IdentityProvider, found: list[Attempt], *, sees_people: bool
) -> list[Attempt]:
    """With what the refused person was told; addresses in it are masked for whoever may not see people."""
    wanted = [each.reference for each in found if each.refused and each.reference]
    if not wanted:
        return found
    rows = Receipt.objects.filter(
        organisation_id=provider.organisation_id, pk__in=wanted
    )
    said = {str(pk): text for pk, text in rows.values_list("pk", "explanation")}
    if not sees_people:
        said = {pk: redaction.sentence(text) for pk, text in said.items()}
    return [replace(each, said=said.get(each.reference, "")) for each in found]
