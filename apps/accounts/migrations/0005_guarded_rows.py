"""Who belongs to an organisation, and how they come in, is seen in its own scope. PostgreSQL only."""

from __future__ import annotations

from django.db import migrations

from apps.core.policies import Bind, Identify, structures


class Migration(migrations.Migration):
    dependencies = [("accounts", "0004_proved_domains")]
    operations = [
        structures(
            "accounts_membership",
            "accounts_identityprovider",
            "accounts_domain",
            "accounts_identity",
            "accounts_directoryuser",
            "accounts_directorygroup",
            "accounts_directorymember",
            "accounts_token",
            "accounts_scimtoken",
        ),
        Identify(
            "accounts_identityprovider",
            "accounts_directoryuser",
            "accounts_directorygroup",
        ),
        Bind("accounts_identity", provider_id="accounts_identityprovider"),
        Bind(
            "accounts_directorymember",
            group_id="accounts_directorygroup",
            person_id="accounts_directoryuser",
        ),
    ]
