"""Providers of the two companies, shared by the tests of signing in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.core.cache import cache

from apps.accounts.models import Domain, IdentityProvider, Organisation
from tests import factories
from tests.accounts.lying_provider import LyingProvider, Visitor, lying_provider
from tests.accounts.scim import Directory, directory_of
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
    }
    with TESTS:
        if not Domain.objects.filter(organisation=place).exists():
            factories.domain(place)
        row: IdentityProvider = IdentityProvider.objects.create(**(given | values))
    return row


@pytest.fixture
def acme_provider(acme: Organisation) -> IdentityProvider:
    return make_provider(acme)


@pytest.fixture
def globex_provider(globex: Organisation) -> IdentityProvider:
    return make_provider(globex)


@pytest.fixture
def okta(acme: Organisation) -> Directory:
    """Acme's directory."""
    return directory_of(acme)


@pytest.fixture
def foreign(globex: Organisation) -> Directory:
    """The stranger's directory."""
    return directory_of(globex)


@pytest.fixture
def liar() -> Iterator[LyingProvider]:
    """A provider of the test's own that can be made to lie."""
    cache.clear()
    with lying_provider() as provider:
        yield provider


@pytest.fixture
def visitor(acme: Organisation, liar: LyingProvider) -> Visitor:
    """Somebody who signs in at acme, whose provider is the lying one."""
    make_provider(acme, issuer=liar.url)
    return Visitor(liar)
