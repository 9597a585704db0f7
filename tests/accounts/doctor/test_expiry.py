"""What ends soon: told in time, of the right organisation, in one query, and nothing when nothing is near."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.accounts import actions
from apps.accounts.doctor import expiry
from apps.accounts.doctor.findings import Grade
from apps.accounts.models import (
    Domain,
    IdentityProvider,
    Organisation,
    ScimToken,
    Token,
)
from apps.accounts.oidc import keywatch
from apps.accounts.oidc.errors import ProviderRefusedError
from apps.accounts.oidc.metadata import keys_of
from tests import factories
from tests.accounts.conftest import make_provider
from tests.accounts.lying_provider import KEYS, answer_json, public_jwk
from tests.factories import TESTER, TESTS
from tests.staff import staff

pytestmark = pytest.mark.security
DAY = timedelta(days=1)


@pytest.fixture
def now() -> datetime:
    return timezone.now()


def found(provider: IdentityProvider | None = None, now: datetime | None = None):
    with TESTS:
        return expiry.endings(provider, now=now)


def kinds(*given) -> list[str]:
    return [each.kind.value for each in found(*given)]


def secret_ends(provider: IdentityProvider, at: datetime) -> None:
    with TESTS:
        IdentityProvider.objects.filter(pk=provider.pk).update(secret_expires_at=at)


# -- how near --------------------------------------------------------------------------


def test_nothing_is_told_when_nothing_is_near(acme_provider, now):
    assert found(now=now) == []

    secret_ends(acme_provider, now + 31 * DAY)

    assert found(now=now) == []


@pytest.mark.parametrize(
    ("left", "limit", "grade"),
    [
        (30 * DAY, expiry.MONTH, Grade.WARN),
        (7 * DAY + timedelta(seconds=1), expiry.MONTH, Grade.WARN),
        (7 * DAY, expiry.WEEK, Grade.WARN),
        (1 * DAY + timedelta(seconds=1), expiry.WEEK, Grade.WARN),
        (1 * DAY, expiry.DAY, Grade.FAIL),
        (timedelta(), timedelta(), Grade.FAIL),
        (-400 * DAY, timedelta(), Grade.FAIL),
    ],
)
def test_a_secret_is_told_a_month_a_week_and_a_day_before(
    acme_provider, now, left, limit, grade
):
    secret_ends(acme_provider, now + left)

    (each,) = found(now=now)

    assert (each.within, each.grade, each.at) == (limit, grade, now + left)
    assert each.said == f"The client secret of Acme {'ends' if limit else 'ended'}"
    assert each.organisation == "Acme"


def test_a_provider_that_is_switched_off_warns_of_nothing(acme_provider, now):
    secret_ends(acme_provider, now + DAY)
    with TESTS:
        IdentityProvider.objects.update(enabled=False)

    assert found(now=now) == []


@pytest.mark.parametrize("change", [{"status": "suspended"}, {"kind": "canary"}])
def test_organisations_that_nobody_signs_in_for_warn_of_nothing(
    acme_provider, acme, now, change
):
    secret_ends(acme_provider, now + DAY)
    Organisation.objects.filter(pk=acme.pk).update(**change)

    assert found(now=now) == []


# -- domains ---------------------------------------------------------------------------


def test_a_domain_is_told_before_and_after_it_is_suspended(acme_provider, now):
    with TESTS:
        Domain.objects.update(failures=1, look_again_at=now + 2 * DAY)
    (before,) = found(now=now)
    with TESTS:
        Domain.objects.update(failures=2, suspended_at=now - DAY)
    (after,) = found(now=now)

    assert "suspended if it is missing again" in before.said
    assert (before.is_over, before.grade) == (False, Grade.WARN)
    assert "was suspended" in after.said
    assert (after.is_over, after.grade) == (True, Grade.FAIL)


def test_a_domain_whose_look_up_is_late_is_not_yet_suspended(acme_provider, now):
    with TESTS:
        Domain.objects.update(failures=1, look_again_at=now - DAY)

    (each,) = found(now=now)

    assert not each.is_over


def test_a_claim_that_was_never_proved_ends_nothing(acme_provider, now):
    with TESTS:
        Domain.objects.update(failures=1, proved_at=None)

    assert found(now=now) == []


# -- tokens ----------------------------------------------------------------------------


def test_tokens_are_told_while_somebody_may_miss_them(acme_provider, acme, alice, now):
    with TESTS:
        actions.create_token(actor=TESTER, user=alice, organisation_id=acme.pk)
        actions.create_scim_token(actor=TESTER, organisation=acme)
        for left, told in ((8 * DAY, 2), (-6 * DAY, 2), (-8 * DAY, 0), (31 * DAY, 0)):
            for model in (Token, ScimToken):
                model.objects.update(expires_at=now + left)
            assert len(expiry.endings(now=now)) == told, left
        Token.objects.update(expires_at=now + DAY)
        ScimToken.objects.update(expires_at=now + DAY)

    assert [each.kind.value for each in found(now=now)] == ["scim_token", "token"]
    with TESTS:
        Token.objects.update(revoked_at=now)
        ScimToken.objects.update(revoked_at=now)
    assert found(now=now) == []


def test_the_few_that_stop_everybody_stand_first(acme_provider, acme, alice, now):
    with TESTS:
        actions.create_token(actor=TESTER, user=alice, organisation_id=acme.pk)
        Token.objects.update(expires_at=now)
        Domain.objects.update(suspended_at=now)
    secret_ends(acme_provider, now + 20 * DAY)

    assert [each.kind.value for each in found(now=now)] == ["secret", "domain", "token"]


# -- whose -----------------------------------------------------------------------------


def test_a_provider_tells_of_its_own_organisation_only(
    acme, acme_provider, globex_provider, now
):
    second = make_provider(acme, provider_id="acme-2", client_id="2", name="Second")
    for row in (acme_provider, globex_provider, second):
        secret_ends(row, now + DAY)
    with TESTS:
        Domain.objects.update(suspended_at=now)

    told = [(each.kind.value, each.organisation) for each in found(acme_provider, now)]

    assert told == [("secret", "Acme"), ("domain", "Acme")]
    assert len(found(now=now)) == 5


@pytest.mark.performance
def test_it_is_one_bounded_query(acme, acme_provider, now, monkeypatch):
    monkeypatch.setattr(expiry, "MOST", 3)
    for number in range(6):
        row = make_provider(acme, provider_id=f"p-{number}", client_id=f"c-{number}")
        secret_ends(row, now + number * timedelta(hours=1))

    with TESTS, CaptureQueriesContext(connection) as asked:
        rows = expiry.endings(now=now)

    assert len([q for q in asked if "identityprovider" in q["sql"]]) == 1
    assert len(rows) == 4


# -- signing keys ----------------------------------------------------------------------


@pytest.fixture
def row(acme, liar) -> IdentityProvider:
    return make_provider(acme, issuer=liar.url)


def test_keys_that_cannot_be_fetched_are_told_until_they_can(row, liar):
    liar.behave[KEYS] = lambda handler: answer_json(handler, {}, status=500)
    with pytest.raises(ProviderRefusedError):
        keys_of(row)

    (each,) = found(row)
    assert each.said == "The signing keys of Acme cannot be fetched"
    assert each.grade is Grade.FAIL

    del liar.behave[KEYS]
    keys_of(row)
    assert found(row) == []


def test_keys_that_are_none_are_told(row, liar):
    liar.behave[KEYS] = lambda handler: answer_json(handler, {"keys": "none"})
    with pytest.raises(ProviderRefusedError):
        keys_of(row)

    assert kinds(row) == ["keys"]


def test_a_change_with_an_overlap_is_no_news(row, liar):
    keys_of(row)
    liar.keys = [public_jwk(), public_jwk(name="second")]
    keys_of(row, unknown=True)
    keywatch.note_keys(row, [public_jwk(name="second")])

    assert found(row) == []


def test_a_change_without_one_is_told_for_a_week(row, liar, later):
    keys_of(row)
    liar.keys = [public_jwk(name="second")]
    keys_of(row, unknown=True)

    (each,) = found(row)
    assert each.said == "Acme changed all its signing keys at once"
    assert each.grade is Grade.WARN
    later(timedelta(days=8))
    assert found(row) == []


@pytest.fixture
def later(monkeypatch):
    """Moves the clock of the watch."""

    def move(by: timedelta) -> None:
        then = timezone.now() + by
        monkeypatch.setattr(keywatch.timezone, "now", lambda: then)

    return move


def test_only_so_many_providers_are_remembered(acme, monkeypatch):
    monkeypatch.setattr(keywatch, "MOST", 2)
    rows = [
        make_provider(acme, provider_id=f"p-{n}", client_id=f"c-{n}") for n in range(3)
    ]
    for each in rows:
        keywatch.note_failure(each)

    assert set(keywatch.troubles()) == {rows[1].pk, rows[2].pk}


# -- where it is shown -----------------------------------------------------------------


def test_the_providers_page_shows_it_with_what_to_do(client, netra, acme_provider):
    secret_ends(acme_provider, timezone.now() + 3 * DAY)
    client.force_login(staff("security_auditor", netra))

    page = client.get(
        f"/admin/accounts/identityprovider/{acme_provider.pk}/change/"
    ).content.decode()

    assert "The client secret of Acme ends" in page
    assert "in 3 days" in page
    assert "Make a new one at the provider" in page
    assert factories.PASSWORD not in page
