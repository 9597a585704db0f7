"""The one domain of each provider becomes a proved domain of its organisation."""

from __future__ import annotations

import secrets
from datetime import timedelta

from django.db import migrations
from django.utils import timezone

# Nobody has set a record for them yet: so long their owners have until it is looked up.
GRACE = timedelta(days=30)


def carry_over(apps, schema_editor):
    Domain = apps.get_model("accounts", "Domain")
    providers = apps.get_model("accounts", "IdentityProvider").objects
    now = timezone.now()
    for provider in providers.exclude(email_domain="").order_by("created_at"):
        name = provider.email_domain.strip().lower()
        if Domain.objects.filter(domain=name).exists():
            continue
        Domain.objects.create(
            organisation_id=provider.organisation_id,
            domain=name,
            challenge="netra-domain=" + secrets.token_urlsafe(24),
            proved_at=now,
            look_again_at=now + GRACE,
            created_at=now,
        )


def leave(apps, schema_editor):
    """Going back keeps nothing: the column that the rows came from is still there."""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0003_sign_in")]
    operations = [migrations.RunPython(carry_over, leave)]
