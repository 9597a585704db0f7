"""Staff who test a provider, before one that can be made to lie."""

from __future__ import annotations

import pytest
from django.core.cache import cache

from apps.accounts.models import IdentityProvider, User
from tests.accounts.conftest import make_provider
from tests.accounts.doctor.examiner import Examiner
from tests.staff import staff


@pytest.fixture
def operator(netra) -> User:
    """Staff who may change providers."""
    return staff("platform_admin", netra)


@pytest.fixture
def row(acme, liar) -> IdentityProvider:
    cache.clear()
    return make_provider(acme, issuer=liar.url)


@pytest.fixture
def tester(operator, liar, row) -> Examiner:
    made = Examiner(liar, row)
    made.client.force_login(operator)
    return made
