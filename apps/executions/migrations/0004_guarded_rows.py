"""Executions are seen in their organisation's scope; what was said, by staff under a grant only. PostgreSQL only."""

from __future__ import annotations

from django.db import migrations

from apps.core.policies import Bind, Identify, contents, structures


class Migration(migrations.Migration):
    dependencies = [
        ("executions", "0003_claims_of_an_organisation"),
        ("audits", "0002_trail_and_grants"),
    ]
    operations = [
        structures(
            "executions_stream",
            "executions_execution",
            "executions_attempt",
            "executions_transition",
            "executions_phaseentry",
            "executions_event",
            "executions_refusedmove",
            "executions_step",
            "executions_approval",
        ),
        contents("executions_content"),
        Identify("executions_stream", "executions_execution"),
        Bind("executions_execution", stream_id="executions_stream"),
        Bind(
            "executions_event",
            stream_id="executions_stream",
            execution_id="executions_execution",
        ),
        Bind("executions_content", execution_id="executions_execution"),
        Bind("executions_attempt", execution_id="executions_execution"),
        Bind("executions_transition", execution_id="executions_execution"),
        Bind("executions_phaseentry", execution_id="executions_execution"),
        Bind("executions_refusedmove", execution_id="executions_execution"),
        Bind("executions_step", execution_id="executions_execution"),
        Bind("executions_approval", execution_id="executions_execution"),
    ]
