"""Gives an installation of the live suites a provider of acme's: issuer, name and client as told.

Run as a program with the environment of that installation: foreign_seed.py ISSUER NAME SECRET.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import django

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    sys.path.insert(0, str(ROOT))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "netra.settings")
    django.setup()
    from django.utils import timezone

    from apps.accounts.models import Domain, IdentityProvider, Organisation
    from apps.core.tenancy import tenant

    issuer, name, secret = sys.argv[1:]
    acme = Organisation.objects.get(slug="acme")
    with tenant(acme.pk):
        Domain.objects.get_or_create(
            organisation=acme,
            domain="acme.example",
            defaults={"challenge": "proved by the tests", "proved_at": timezone.now()},
        )
        IdentityProvider.objects.create(
            organisation=acme,
            provider_id=f"acme-{name}",
            name=f"Acme {name}",
            issuer=issuer,
            client_id=f"netra-{name}",
            secret=secret,
        )


if __name__ == "__main__":
    main()
