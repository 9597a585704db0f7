"""What an organisation used is seen in its own scope. PostgreSQL only."""

from __future__ import annotations

from django.db import migrations

from apps.core.policies import structures


class Migration(migrations.Migration):
    dependencies = [("usage", "0001_initial")]
    operations = [
        structures("usage_record"),
    ]
