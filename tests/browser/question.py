"""Run beside a demo: puts a question of bob's on the page that his agent does not go on without.

Prints the thread. Bob's next attempt, once he has answered, is run by the server as any other.
"""

from __future__ import annotations

import os
import sys
import uuid
from pathlib import Path

import django

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "netra.settings")
django.setup()

from django.utils import timezone  # noqa: E402 - Django must be set up first

from apps.accounts.access import principal_for  # noqa: E402
from apps.accounts.models import User  # noqa: E402
from apps.chat import actions as chat  # noqa: E402
from apps.chat.actions import Question  # noqa: E402
from apps.core.actors import Actor  # noqa: E402
from apps.core.database import write_now  # noqa: E402
from apps.executions import actions, approvals, moves, queries  # noqa: E402
from apps.executions.errors import ApprovalRequest  # noqa: E402
from apps.executions.states import ExecutionState  # noqa: E402

WHY = "It may have <b>happened</b> already."


def put() -> uuid.UUID:
    """In one transaction, so that the server sees it only once it waits."""
    now = timezone.now()
    question = Question(text="please ask", agent="effect-turn")
    asked = chat.ask(principal=bob, question=question, now=now)
    standing = queries.standing_of(asked.execution_id)
    assert standing is not None
    claimed = actions.claim(standing, owner=uuid.uuid4(), now=now)
    assert claimed is not None
    running = moves.move(
        claimed, ExecutionState.RUNNING, actor=Actor.system("tests"), now=now, values={}
    )
    request = ApprovalRequest(
        call_id="note_ask:1", tool="note_ask", arguments={"text": "<i>"}, reason=WHY
    )
    approvals.ask(
        running, request, now=now, drafts=actions.start_event(standing, claimed)
    )
    return asked.thread_id


bob = principal_for(User.objects.get(email="bob@acme.example").pk, "acme")
sys.stdout.write(str(write_now(bob.scope, put)))
