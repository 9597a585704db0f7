"""An organisation's agents are seen in its own scope. PostgreSQL only."""

from __future__ import annotations

from django.db import migrations

from apps.core.policies import structures


class Migration(migrations.Migration):
    dependencies = [("agents", "0002_while_busy")]
    operations = [
        structures("agents_agent"),
    ]
