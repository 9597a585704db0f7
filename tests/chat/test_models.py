"""What the tables of chat refuse by themselves, whatever code asks."""

from __future__ import annotations

import uuid

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.chat.models import IdempotencyKey, Message
from tests.chat.questions import ask
from tests.factories import TESTS


def message(who, asked, **values) -> Message:
    given = {
        "organisation_id": who.organisation_id,
        "thread_id": asked.thread_id,
        "role": "user",
        "text": "hello",
        "created_at": timezone.now(),
    }
    return Message(**(given | values))


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"role": "system"}, "chat_message_role_known"),
        ({"text": ""}, "chat_message_text_present"),
        ({"partial": True}, "chat_message_only_replies_partial"),
    ],
)
def test_a_message_that_makes_no_sense_is_refused(alice_principal, values, rule):
    asked = ask(alice_principal)

    with TESTS, pytest.raises(IntegrityError, match=rule), transaction.atomic():
        message(alice_principal, asked, **values).save()


def test_an_execution_has_one_reply(alice_principal):
    asked = ask(alice_principal)
    reply = {"role": "assistant", "execution_id": asked.execution_id}

    with TESTS:
        message(alice_principal, asked, **reply).save()
        with pytest.raises(IntegrityError), transaction.atomic():
            message(alice_principal, asked, **reply).save()


def test_a_persons_message_id_is_there_once(alice_principal, bob_principal):
    def key(who, name: str) -> IdempotencyKey:
        return IdempotencyKey(
            organisation_id=who.organisation_id,
            user_id=who.user_id,
            key=name,
            body_digest="d",
            answer={},
            created_at=timezone.now(),
        )

    with TESTS:
        key(alice_principal, "k").save()
        key(bob_principal, "k").save()
        with pytest.raises(IntegrityError), transaction.atomic():
            key(alice_principal, "k").save()
        with (
            pytest.raises(IntegrityError, match="chat_key_present"),
            transaction.atomic(),
        ):
            key(alice_principal, "").save()


def test_rows_say_what_they_are(alice_principal):
    asked = ask(alice_principal)
    row = message(alice_principal, asked, id=uuid.UUID(int=1))

    assert str(row) == "user message 00000000-0000-0000-0000-000000000001"
