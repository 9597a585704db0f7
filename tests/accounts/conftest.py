"""Providers of the two companies, shared by the tests of signing in."""

from __future__ import annotations

import pytest

from apps.accounts.models import IdentityProvider, Organisation
from tests.factories import TESTS

ISSUER = "http://127.0.0.1:9400"


def make_provider(place: Organisation, **values: object) -> IdentityProvider:
    given: dict[str, object] = {
        "organisation": place,
        "provider_id": place.slug,
        "name": place.name,
        "issuer": ISSUER,
        "client_id": f"netra-{place.slug}",
        "secret": "never to be shown",
        "email_domain": f"{place.slug}.example",
    }
    with TESTS:
        row: IdentityProvider = IdentityProvider.objects.create(**(given | values))
    return row


@pytest.fixture
def acme_provider(acme: Organisation) -> IdentityProvider:
    return make_provider(acme)


@pytest.fixture
def globex_provider(globex: Organisation) -> IdentityProvider:
    return make_provider(globex)
