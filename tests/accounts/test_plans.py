"""The tier that a sign-up gives, and once a mail domain was proved."""

from __future__ import annotations

import pytest

from apps.accounts.plans import AT_SIGN_UP, SignUp, Tier, lifted, tier_at_sign_up


@pytest.mark.parametrize(
    ("source", "given", "proved"),
    [
        ("google", "free", "early"),
        ("github", "early", "mid"),
        ("linkedin", "mid", "mid"),
        ("microsoft", "free", "early"),
        ("other", "free", "early"),
    ],
)
def test_the_tier_follows_from_the_way_in_and_from_proof(source, given, proved):
    assert tier_at_sign_up(SignUp(source), proved_domain=False) == given
    assert tier_at_sign_up(SignUp(source), proved_domain=True) == proved


def test_every_way_in_has_a_tier_and_none_gives_enterprise():
    assert set(AT_SIGN_UP) == set(SignUp)
    assert {tier_at_sign_up(s, proved_domain=True) for s in SignUp} <= {"early", "mid"}


@pytest.mark.parametrize("source", SignUp)
def test_proving_a_second_time_lifts_no_further(source):
    once = lifted(tier_at_sign_up(source, proved_domain=False), source)

    assert lifted(once, source) == once


@pytest.mark.parametrize("tier", Tier)
def test_a_tier_that_was_chosen_stays(tier):
    assert lifted(tier, None) == tier
