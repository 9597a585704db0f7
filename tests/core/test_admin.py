"""Lists in the admin: what cannot be asked of them by an address."""

from __future__ import annotations

import pytest

from apps.accounts.models import SignIn
from apps.audits import receipts
from apps.audits.receipts import Refusal
from apps.core.database import write_now
from tests.ops.support import signed_in
from tests.staff import SECRET, staff

pytestmark = [pytest.mark.django_db, pytest.mark.security]


def test_no_session_is_guessed_letter_by_letter(netra, alice):
    auditor = signed_in(staff("security_auditor", netra))
    signed_in(alice)
    key = SignIn.objects.get(user=alice).session_key

    for asked in (
        f"session_key__startswith={key[0]}",
        f"session_key={key}",
        f"session_key__gt={key[0]}",
        "stamp__startswith=a",
    ):
        assert auditor.get(f"/admin/accounts/signin/?{asked}").status_code == 400


@pytest.mark.parametrize("column", ["explanation", "fix", "values"])
def test_what_a_receipt_masks_is_not_found_by_its_words(netra, alice_principal, column):
    viewer = signed_in(staff("support_viewer", netra))
    refusal = Refusal(
        organisation_id=alice_principal.organisation_id,
        user_id=alice_principal.user_id,
        code="not_found",
        explanation=f"There is no agent '{SECRET}'.",
    )
    write_now(alice_principal.scope, lambda: receipts.record(refusal))

    found = viewer.get(f"/admin/audits/receipt/?{column}__icontains={SECRET[:4]}")

    assert found.status_code == 400


@pytest.mark.parametrize(
    "address",
    [
        "usage/record/?error__icontains=a",
        "chat/thread/?title__startswith=z",
        "executions/execution/?user__password__startswith=a",
    ],
)
def test_nothing_hidden_is_a_filter(netra, address):
    viewer = signed_in(staff("support_viewer", netra))

    assert viewer.get(f"/admin/{address}").status_code == 400


@pytest.mark.parametrize(
    "address",
    [
        "accounts/signin/?method__exact=password&ended_at__isempty=1",
        "accounts/signin/?provider__id__exact=00000000-0000-4000-8000-000000000001",
        "accounts/token/?revoked_at__isempty=1",
        "accounts/directoryuser/?active__exact=1&organisation=acme",
        "usage/record/?status__exact=ok&source__exact=netra&organisation=acme",
        "issues/issue/?status__exact=open&organisation=acme",
        "executions/execution/?show=stuck&organisation=acme",
        "audits/accessgrant/?stand=open",
        "audits/entry/?act=content_read&organisation=-",
        "audits/receipt/?organisation=acme",
        "chat/thread/?organisation=acme&q=",
    ],
)
def test_every_filter_that_is_offered_works(netra, acme, address):
    client = signed_in(staff("platform_admin", netra))

    assert client.get(f"/admin/{address}").status_code == 200
