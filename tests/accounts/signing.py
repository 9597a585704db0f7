"""What the tests of admission share: claims, who is admitted, who is refused, what the trail tells."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest

from apps.accounts import actions, admission
from apps.accounts.access import memberships_of
from apps.accounts.admission import Claims, SignInRefusedError
from apps.accounts.models import Identity, IdentityProvider, Membership, User
from apps.audits.models import Entry
from apps.core.tenancy import tenant
from tests.factories import TESTER, TESTS


def claims(email: str = "alice@acme.example", sub: str = "s-1", **values) -> Claims:
    return Claims(sub=sub, emails=(email,), **values)


def admit(provider: IdentityProvider, said: Claims, **values) -> User:
    with tenant(provider.organisation_id):
        return admission.admit(provider, said, **values)


def refused(provider: IdentityProvider, said: Claims) -> str:
    """The rule that refuses, with nothing written."""
    before = footprint()
    with pytest.raises(SignInRefusedError) as error:
        admit(provider, said)
    assert error.value.fix
    assert footprint() == before
    return error.value.rule


def footprint() -> tuple[int, int, int]:
    with TESTS:
        return (
            User.objects.count(),
            Membership.objects.count(),
            Identity.objects.count(),
        )


def reread(provider: IdentityProvider) -> IdentityProvider:
    with TESTS:
        row: IdentityProvider = IdentityProvider.objects.select_related(
            "organisation"
        ).get(pk=provider.pk)
    return row


def remove(user: User) -> None:
    with TESTS:
        actions.remove_member(actor=TESTER, membership=memberships_of(user.pk)[0])


def suspend(user: User) -> None:
    with TESTS:
        row = Identity.objects.get(user=user)
        actions.set_identity_status(actor=TESTER, identity=row, status="suspended")


def link(provider: IdentityProvider, user: User, sub: str = "s-1") -> Identity:
    return actions.link_identity(
        actor=TESTER, provider=provider, user=user, sub=sub, email=user.email
    )


def told(organisation_id: UUID) -> list[tuple[str, dict[str, Any]]]:
    """Act and details of each entry in an organisation's trail, oldest first."""
    return [(act, details) for act, _, details in told_by(organisation_id)]


def told_by(organisation_id: UUID) -> list[tuple[str, str, dict[str, Any]]]:
    """The same with whoever acted."""
    with TESTS:
        rows = Entry.objects.filter(organisation_id=organisation_id).order_by("seq")
        bodies = [json.loads(row.body) for row in rows]
    return [(body["act"], body["actor"], body["details"]) for body in bodies]
