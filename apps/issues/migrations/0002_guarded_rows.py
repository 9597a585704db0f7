"""Issues and their evidence are seen in their organisation's scope. PostgreSQL only."""

from __future__ import annotations

from django.db import migrations

from apps.core.policies import Bind, Identify, structures


class Migration(migrations.Migration):
    dependencies = [("issues", "0001_initial"), ("executions", "0004_guarded_rows")]
    operations = [
        structures("issues_issue", "issues_evidence"),
        Identify("issues_issue"),
        Bind(
            "issues_evidence",
            issue_id="issues_issue",
            execution_id="executions_execution",
        ),
    ]
