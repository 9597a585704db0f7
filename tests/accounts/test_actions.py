"""Who belongs where, and through whom: every act stands in the trail, and no organisation is left without an owner."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from allauth.socialaccount.models import SocialAccount
from django.db import connection

from apps.accounts import actions
from apps.accounts.access import memberships_of
from apps.accounts.actions import identities, members
from apps.accounts.errors import LastOwnerError
from apps.accounts.events import AccessEnded, EndOfAccess
from apps.accounts.models import (
    Identity,
    Membership,
    Token,
    User,
)
from apps.audits import trail
from apps.audits.models import Entry
from apps.core.database import write_now
from apps.core.errors import InvalidInputError, NotFoundError
from apps.core.tenancy import tenant
from tests.accounts.signing import link, told
from tests.factories import TESTER, TESTS, person

pytestmark = pytest.mark.security


@pytest.fixture
def carol(acme) -> User:
    return person("carol@acme.example", acme, role="owner")


def place_of(user: User) -> Membership:
    return memberships_of(user.pk)[0]


def refused(act: Callable[[], object]) -> None:
    """The last owner stays, and nothing is told of what did not happen."""
    with TESTS:
        before = list(Membership.objects.order_by("id").values()), Entry.objects.count()
        with pytest.raises(LastOwnerError) as error:
            act()
        after = list(Membership.objects.order_by("id").values()), Entry.objects.count()
    assert after == before
    assert "Acme" in error.value.message
    assert error.value.fix


# -- the last owner --------------------------------------------------------------------


def lower(user: User) -> None:
    actions.change_role(actor=TESTER, membership=place_of(user), role="admin")


def take_out(user: User) -> None:
    actions.remove_member(actor=TESTER, membership=place_of(user))


def close(user: User) -> None:
    row = User.objects.get(pk=user.pk)
    row.is_active = False
    actions.change_person(actor=TESTER, user=row)


@pytest.mark.parametrize("act", [lower, take_out, close])
def test_the_last_owner_stays(alice, bob, act):
    refused(lambda: act(alice))

    alice.refresh_from_db()
    assert alice.is_active


@pytest.mark.parametrize("act", [lower, take_out, close])
def test_an_owner_goes_where_another_one_is(alice, carol, act):
    with TESTS:
        act(carol)

        owners = Membership.objects.filter(role="owner", user__is_active=True)
        assert [row.user for row in owners] == [alice]


@pytest.mark.parametrize("act", [lower, take_out, close])
def test_a_closed_account_is_no_owner_who_can_act(alice, carol, act):
    User.objects.filter(pk=carol.pk).update(is_active=False)

    refused(lambda: act(alice))


@pytest.mark.parametrize("act", [lower, take_out, close])
def test_an_owner_of_another_organisation_does_not_count(alice, mallory, act):
    refused(lambda: act(alice))


def test_an_owner_may_be_made_an_owner_again(alice):
    with TESTS:
        actions.change_role(actor=TESTER, membership=place_of(alice), role="owner")

    assert place_of(alice).role == "owner"


@pytest.mark.parametrize("acts", [(lower, lower), (take_out, lower), (close, take_out)])
def test_two_owners_who_go_at_once_do_not_both_go(
    acme, alice, carol, committed, acts, monkeypatch
):
    together, ends = threading.Barrier(2), []
    counted = threading.Barrier(2)
    real = members.keep_an_owner

    def slowly(organisation_id, *, without):
        real(organisation_id, without=without)
        # Whoever may go waits a moment before the change, so that the other one could look meanwhile.
        try:
            counted.wait(timeout=0.5)
        except threading.BrokenBarrierError:
            return

    for module in (members, actions.people):
        monkeypatch.setattr(module, "keep_an_owner", slowly)

    def run(act: Callable[[User], None], user: User) -> None:
        try:
            together.wait(timeout=20)
            write_now(TESTS, lambda: act(user))
            ends.append("gone")
        except LastOwnerError:
            ends.append("stays")
        finally:
            connection.close()

    threads = [
        threading.Thread(target=run, args=pair)
        for pair in zip(acts, (alice, carol), strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)

    assert sorted(ends) == ["gone", "stays"]
    with TESTS:
        left = Membership.objects.filter(
            organisation=acme, role="owner", user__is_active=True
        )
        assert left.count() == 1


# -- members ---------------------------------------------------------------------------


def test_a_member_comes_changes_and_goes_in_the_trail(acme, bob, globex):
    with TESTS:
        made = actions.add_member(
            actor=TESTER, organisation=globex, user=bob, role="viewer"
        )
        actions.add_member(actor=TESTER, organisation=globex, user=bob, role="admin")
        actions.change_role(actor=TESTER, membership=made, role="viewer")
        actions.change_role(actor=TESTER, membership=made, role="admin")
        actions.remove_member(actor=TESTER, membership=made)

    who = {"person": bob.email}
    assert told(globex.pk) == [
        ("member_added", who | {"role": "viewer"}),
        ("role_changed", who | {"role": {"before": "viewer", "after": "admin"}}),
        ("member_removed", who | {"role": "admin"}),
    ]
    assert told(acme.pk) == []


def test_an_entry_that_cannot_be_written_stops_the_act(bob, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("no trail")

    monkeypatch.setattr(trail, "record", broken)
    with TESTS, pytest.raises(RuntimeError):
        take_out(bob)

    assert place_of(bob).role == "member"


def test_a_membership_that_ended_is_not_ended_again(bob):
    place = place_of(bob)
    with TESTS:
        take_out(bob)
        with pytest.raises(NotFoundError):
            actions.remove_member(actor=TESTER, membership=place)
        with pytest.raises(NotFoundError):
            actions.change_role(actor=TESTER, membership=place, role="admin")


@pytest.mark.parametrize("role", ["king", "", "OWNER"])
def test_an_unknown_role_is_refused(bob, globex, role):
    with TESTS, pytest.raises(InvalidInputError):
        actions.change_role(actor=TESTER, membership=place_of(bob), role=role)
    with TESTS, pytest.raises(InvalidInputError):
        actions.add_member(actor=TESTER, organisation=globex, user=bob, role=role)


def test_removing_ends_tokens_and_ways_in_of_that_organisation_only(
    acme, globex, bob, acme_provider, globex_provider
):
    with TESTS:
        actions.add_member(actor=TESTER, organisation=globex, user=bob, role="member")
        for provider in (acme_provider, globex_provider):
            link(provider, bob)
            actions.create_token(
                actor=TESTER, user=bob, organisation_id=provider.organisation_id
            )
        take_out(bob)

        left = Identity.objects.filter(status="active")
        assert [row.provider for row in left] == [globex_provider]
        gone = Identity.objects.get(status="suspended")
        assert (gone.provider, gone.reason) == (acme_provider, "removed")
        live = Token.objects.filter(revoked_at__isnull=True)
        assert [row.organisation_id for row in live] == [globex.pk]


# -- identities ------------------------------------------------------------------------


@pytest.fixture
def published(monkeypatch) -> list[object]:
    events: list[object] = []
    monkeypatch.setattr(identities, "publish", events.append)
    return events


def test_suspending_an_identity_ends_access_and_is_told(
    acme, bob, acme_provider, published
):
    with TESTS:
        row = link(acme_provider, bob)
        for status in ("suspended", "suspended", "active"):
            actions.set_identity_status(actor=TESTER, identity=row, status=status)

    assert published == [
        AccessEnded(
            user_id=bob.pk,
            organisation_id=acme.pk,
            why=EndOfAccess.IDENTITY_SUSPENDED,
        )
    ]
    changes = [details["status"] for act, details in told(acme.pk)[1:]]
    assert changes == [
        {"before": "active", "after": "suspended"},
        {"before": "suspended", "after": "active"},
    ]


def test_unlinking_takes_allauths_record_along_and_is_told(
    acme, bob, acme_provider, published
):
    SocialAccount.objects.create(user=bob, provider="acme", uid="s-1")
    SocialAccount.objects.create(user=bob, provider="acme", uid="other")
    with TESTS:
        row = link(acme_provider, bob)
        actions.unlink_identity(actor=TESTER, identity=row)
        assert not Identity.objects.exists()
        with pytest.raises(NotFoundError):
            actions.unlink_identity(actor=TESTER, identity=row)

    assert [row.uid for row in SocialAccount.objects.all()] == ["other"]
    assert len(published) == 1
    act, details = told(acme.pk)[-1]
    assert act == "identity_unlinked"
    assert (details["sub"], details["user"]) == ("s-1", str(bob.pk))


def test_the_scope_of_a_tenant_is_enough_for_its_members(acme, bob, acme_provider):
    with tenant(acme.pk):
        link(acme_provider, bob)
        take_out(bob)

    assert [act for act, _ in told(acme.pk)] == ["identity_linked", "member_removed"]
