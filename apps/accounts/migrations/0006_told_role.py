"""What a provider's claims gave at the last sign-in, beside the identity: groups are weighed against it."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0005_guarded_rows")]
    operations = [
        migrations.AddField(
            model_name="identity",
            name="role",
            field=models.CharField(
                blank=True,
                choices=[
                    ("owner", "Owner"),
                    ("admin", "Admin"),
                    ("member", "Member"),
                    ("viewer", "Viewer (reads, asks nothing)"),
                ],
                db_default="",
                default="",
                help_text="What the provider's claims gave at the last sign-in; empty: it maps no roles.",
                max_length=16,
            ),
        ),
        migrations.AddConstraint(
            model_name="identity",
            constraint=models.CheckConstraint(
                condition=models.Q(("role__in", ["", "admin", "member", "viewer"])),
                name="accounts_identity_never_makes_owners",
            ),
        ),
    ]
