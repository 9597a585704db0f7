"""Isolation audits and their probes, seen in the platform's own scope."""

from __future__ import annotations

import uuid

from django.db import migrations, models

from apps.core.policies import structures


class Migration(migrations.Migration):
    dependencies = [
        ("audits", "0004_sealed_cuts"),
    ]

    operations = [
        migrations.CreateModel(
            name="IsolationAudit",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "organisation_id",
                    models.UUIDField(help_text="All zeroes: the platform's own."),
                ),
                (
                    "verdict",
                    models.CharField(
                        choices=[
                            ("running", "Running"),
                            ("passed", "Passed"),
                            ("breached", "Breached"),
                            ("inconclusive", "Inconclusive"),
                            ("interrupted", "Interrupted"),
                        ],
                        default="running",
                        max_length=16,
                    ),
                ),
                (
                    "trigger",
                    models.CharField(
                        help_text="command, admin, schedule", max_length=16
                    ),
                ),
                ("asked_by", models.CharField(blank=True, max_length=254)),
                ("release", models.CharField(max_length=64)),
                ("database", models.CharField(max_length=16)),
                ("began_at", models.DateTimeField()),
                (
                    "seen_at",
                    models.DateTimeField(help_text="When it was last heard of."),
                ),
                ("ended_at", models.DateTimeField(null=True)),
                ("surfaces", models.PositiveIntegerField(default=0)),
                ("held", models.PositiveIntegerField(default=0)),
                ("breached", models.PositiveIntegerField(default=0)),
                ("inconclusive", models.PositiveIntegerField(default=0)),
            ],
            options={
                "ordering": ["-began_at"],
                "default_permissions": ("view",),
                "base_manager_name": "objects",
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("verdict", "running")),
                        fields=("verdict",),
                        name="audits_isolationaudit_one_at_a_time",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "verdict__in",
                                [
                                    "running",
                                    "passed",
                                    "breached",
                                    "inconclusive",
                                    "interrupted",
                                ],
                            )
                        ),
                        name="audits_isolationaudit_verdict_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("verdict", "running"),
                            ("ended_at__isnull", False),
                            _connector="XOR",
                        ),
                        name="audits_isolationaudit_ends_when_over",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("verdict", "passed"), _negated=True),
                            models.Q(
                                ("breached", 0), ("inconclusive", 0), ("held__gte", 1)
                            ),
                            _connector="OR",
                        ),
                        name="audits_isolationaudit_passes_only_when_all_held",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Probe",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("organisation_id", models.UUIDField()),
                ("audit_id", models.UUIDField()),
                ("number", models.PositiveIntegerField()),
                ("kind", models.CharField(max_length=16)),
                ("surface", models.CharField(max_length=200)),
                ("check_name", models.CharField(max_length=16, verbose_name="check")),
                ("outcome", models.CharField(max_length=16)),
                ("request", models.CharField(max_length=300)),
                ("expected", models.CharField(max_length=200)),
                ("got", models.CharField(max_length=300)),
                (
                    "digest",
                    models.CharField(
                        blank=True, help_text="SHA-256 of the answer.", max_length=64
                    ),
                ),
            ],
            options={
                "ordering": ["number"],
                "default_permissions": ("view",),
                "base_manager_name": "objects",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("audit_id", "number"), name="audits_probe_numbered"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("outcome__in", ["held", "breached", "inconclusive"])
                        ),
                        name="audits_probe_outcome_known",
                    ),
                ],
            },
        ),
        structures("audits_isolationaudit", "audits_probe"),
    ]
