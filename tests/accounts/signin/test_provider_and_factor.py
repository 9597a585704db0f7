"""A provider's answer and then a second factor; and how often one may go to a provider."""

from __future__ import annotations

import pytest

from apps.accounts.models import IdentityProvider
from tests.accounts.oidc import assert_signed_in
from tests.accounts.signin.test_second_factor import answer_code, code, with_totp
from tests.factories import TESTS

pytestmark = pytest.mark.security


def test_whoever_has_a_second_factor_is_asked_for_it_after_the_provider(visitor, alice):
    with_totp(alice)

    paused = visitor.sign_in()
    assert paused["Location"].startswith("/accounts/2fa/authenticate/")
    done = answer_code(visitor.client, code())

    assert done.status_code == 302
    assert_signed_in(visitor, done)


def test_a_provider_that_is_switched_off_at_the_code_page_lets_nobody_in(
    visitor, alice
):
    with_totp(alice)
    visitor.sign_in()
    with TESTS:
        IdentityProvider.objects.filter(provider_id="acme").update(enabled=False)

    done = answer_code(visitor.client, code())

    assert done.status_code < 500
    assert "_auth_user_id" not in visitor.client.session


def test_going_to_the_provider_has_a_limit(visitor, settings):
    settings.ACCOUNT_RATE_LIMITS = {"provider": "2/m/ip"}
    answers = [visitor.client.post(visitor.path).status_code for _ in range(3)]

    assert answers == [302, 302, 429]
