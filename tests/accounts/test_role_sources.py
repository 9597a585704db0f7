"""One role, two sources: a provider's claims at sign-in and a directory's groups. The higher counts, in any order."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from apps.accounts import actions
from apps.accounts.access import memberships_of
from apps.accounts.models import DirectoryGroup, Identity, IdentityProvider
from apps.core.tenancy import tenant
from tests.accounts.conftest import make_provider
from tests.accounts.scim import Directory
from tests.accounts.signing import admit, claims, reread, suspend
from tests.factories import TESTER, TESTS

pytestmark = pytest.mark.security
MAP = {"netra-admins": "admin", "netra-readers": "viewer"}


@pytest.fixture
def mapping_provider(acme) -> IdentityProvider:
    return make_provider(acme, role_claim="groups", role_map=MAP)


class People:
    """Bob, as he stands in acme's directory and as his provider tells of him."""

    def __init__(self, directory: Directory, provider: IdentityProvider, email: str):
        self.directory, self.provider, self.email = directory, provider, email
        self.entry = directory.add_user(email)["id"]

    def sign_in(self, *groups: str) -> str:
        said = claims(self.email, attributes={"groups": list(groups)})
        return memberships_of(admit(reread(self.provider), said).pk)[0].role

    def join(self, role: str) -> str:
        """A group that gives this role takes him in; what his role is then."""
        made = self.directory.add_group(role)
        with TESTS:
            row = DirectoryGroup.objects.get(pk=made["id"])
        with tenant(row.organisation_id):
            actions.set_group_role(actor=TESTER, group=row, role=role)
        change = {"op": "add", "path": "members", "value": [{"value": self.entry}]}
        self.directory.patch(f"Groups/{made['id']}", change)
        return self.role

    @property
    def role(self) -> str:
        with TESTS:
            identity = Identity.objects.get(email=self.email)
        return memberships_of(identity.user_id)[0].role


@pytest.fixture
def bobs(okta, bob, mapping_provider) -> People:
    return People(okta, mapping_provider, bob.email)


@pytest.mark.parametrize(
    ("told", "group", "role"),
    [
        ("netra-admins", "viewer", "admin"),
        ("netra-readers", "admin", "admin"),
        ("netra-readers", "viewer", "viewer"),  # not the provider's usual one
        ("another", "viewer", "member"),  # nothing is mapped: the usual one
    ],
)
def test_the_higher_of_both_counts_whichever_came_last(
    bobs, told: str, group: str, role: str
) -> None:
    bobs.sign_in(told)

    assert bobs.join(group) == role
    assert bobs.sign_in(told) == role


def test_what_the_claims_no_longer_give_no_longer_counts(bobs) -> None:
    bobs.sign_in("netra-admins")
    bobs.sign_in()

    assert bobs.join("viewer") == "member"


@pytest.mark.parametrize(
    "change", [{"role_claim": ""}, {"role_map": {}}, {"enabled": False}]
)
def test_a_provider_that_maps_no_more_gives_its_usual_role(bobs, change) -> None:
    bobs.sign_in("netra-admins")
    with TESTS:
        IdentityProvider.objects.update(**change)

    assert bobs.join("viewer") == "member"


def test_a_suspended_sign_in_gives_no_role(bobs, bob) -> None:
    bobs.sign_in("netra-admins")
    suspend(bob)

    assert bobs.join("viewer") == "member"


def test_no_claim_is_kept_that_makes_an_owner(bobs) -> None:
    bobs.sign_in("netra-admins")

    with TESTS, pytest.raises(IntegrityError), transaction.atomic():
        Identity.objects.update(role="owner")
