"""Each organisation's receipts, trail and grants are seen in its own scope. PostgreSQL only."""

from __future__ import annotations

from django.db import migrations

from apps.core.policies import structures


class Migration(migrations.Migration):
    dependencies = [("audits", "0002_trail_and_grants")]
    operations = [
        structures(
            "audits_receipt",
            "audits_entry",
            "audits_head",
            "audits_checkpoint",
            "audits_accessgrant",
        ),
    ]
