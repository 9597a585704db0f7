"""One past time of support access, so that its pages show something: played, not written as rows."""

from __future__ import annotations

from uuid import UUID

from apps.accounts.access import Principal
from apps.accounts.models import Organisation
from apps.audits import grants
from apps.audits.grants import Wish
from apps.audits.models import AccessGrant
from apps.audits.readings import Subject
from apps.chat.models import Message, Thread
from apps.core.actors import Actor
from apps.ops import content

EXPLANATION = (
    "Alice asks why the answer names another month than her invoice. "
    "I compare the question with what the agent was given."
)


def play(organisation: Organisation, asker: Principal, second: Principal) -> bool:
    """Ask, agree, read a conversation and its execution, end; once. In the organisation's scope."""
    if AccessGrant.objects.exists():
        return False
    thread_id = (
        Thread.objects.order_by("created_at", "id").values_list("pk", flat=True).first()
    )
    if thread_id is None:
        return False
    staff = Actor.staff(asker.user_id, asker.email)
    wish = Wish(
        organisation_id=organisation.pk,
        reach=AccessGrant.Reach.THREAD,
        reach_id=thread_id,
        reason=AccessGrant.Reason.CUSTOMER_ASKED,
        explanation=EXPLANATION,
        ticket="SUP-2041",
        minutes=30,
    )
    consent = AccessGrant.Consent.SECOND_PERSON
    row = grants.ask(actor=staff, wish=wish, consent=consent)
    lead = Actor.staff(second.user_id, second.email)
    grants.approve(actor=lead, grant_id=row.pk, consent=consent)
    _read(organisation.pk, thread_id, staff)
    grants.end(actor=staff, grant_id=row.pk)
    return True


def _read(organisation_id: UUID, thread_id: UUID, staff: Actor) -> None:
    """Two looks, on record as any other; nothing is shown to anybody."""
    subject = Subject(organisation_id=organisation_id, thread_id=thread_id)
    shown = content.newest_messages(subject)
    grants.begin_reading(
        actor=staff, subject=subject, fields=content.THREAD_FIELDS, ids=shown
    )
    answers = Message.objects.filter(thread_id=thread_id, execution_id__isnull=False)
    execution_id = answers.values_list("execution_id", flat=True).first()
    if execution_id is not None:
        grants.begin_reading(
            actor=staff,
            subject=Subject(
                organisation_id=organisation_id,
                thread_id=thread_id,
                execution_id=execution_id,
            ),
            fields=content.EXECUTION_FIELDS,
        )
