"""From an untrusted id to an execution of the open scope. Absent and foreign look the same."""

from __future__ import annotations

from uuid import UUID

from django.db.models import QuerySet

from apps.core.errors import NotFoundError
from apps.executions.models import Execution
from apps.executions.standing import Standing


def executions_of(user_id: UUID) -> QuerySet[Execution]:
    """The user's own executions in the open organisation."""
    rows: QuerySet[Execution] = Execution.objects.filter(user_id=user_id)
    return rows


def execution_for(user_id: UUID, execution_id: UUID) -> Execution:
    """The user's own execution in the open organisation; raises NotFoundError."""
    row = executions_of(user_id).filter(id=execution_id).first()
    if row is None:
        raise NotFoundError("There is no such execution.", field="execution_id")
    return row


def standing_for(user_id: UUID, execution_id: UUID) -> Standing:
    return Standing.of(execution_for(user_id, execution_id))
