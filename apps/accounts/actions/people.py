"""Accounts of people: made by operators, by providers, by directories; changed, closed, opened again."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction

from apps.accounts.access import memberships_of
from apps.accounts.actions.changes import CHANGED, differences
from apps.accounts.actions.members import add_member, keep_an_owner
from apps.accounts.domains.names import normal_address
from apps.accounts.models import Membership, Organisation, User
from apps.accounts.plans import Tier
from apps.audits import trail
from apps.audits.acts import Act, Outcome
from apps.audits.chain import Value
from apps.core.actors import Actor
from apps.core.errors import ConflictError

FACTS = ("email", "name", "is_active", "password")
POWERS = ("is_staff", "is_superuser")


@transaction.atomic
def create_person(
    *,
    actor: Actor,
    email: str,
    name: str,
    password: str | None = None,
    organisation_id: UUID | None = None,
) -> User:
    """Make an account; without a password it can only sign in through a provider.

    `organisation_id` says in whose trail it stands: its first organisation's, else the platform's.
    """
    user = User.objects.create_user(normal_address(email), password, name=name)
    record_creation(actor=actor, user=user, organisation_id=organisation_id)
    return user


def record_creation(
    *, actor: Actor, user: User, organisation_id: UUID | None = None
) -> None:
    """Tell the trail of a new account; what it may do in the admin is told apart."""
    trail.record(
        Act.PERSON_CREATED,
        actor=actor,
        organisation_id=organisation_id,
        target=f"user:{user.pk}",
        person=user.email,
        has_password=user.has_usable_password(),
    )


@transaction.atomic
def save_new_person(*, actor: Actor, user: User) -> None:
    """Store an account that a form of the admin filled in and checked."""
    user.email = normal_address(user.email)
    user.save()
    record_creation(actor=actor, user=user)


@transaction.atomic
def change_person(*, actor: Actor, user: User) -> None:
    """Store what was changed of an account. Who is an organisation's last owner is not closed.

    Stands in the trail of each organisation of theirs, so it needs a scope that reaches them all;
    powers over the admin stand in the platform's.
    """
    before = User.objects.select_for_update(no_key=True).get(pk=user.pk)
    user.email = normal_address(user.email)
    facts, powers = differences(before, user, FACTS), differences(before, user, POWERS)
    if not facts and not powers:
        return
    if before.is_active and not user.is_active:
        _keep_owners(user)
    user.save(update_fields=[*facts, *powers])
    if facts:
        _record_facts(actor, user, before.email, facts)
    if powers:
        trail.record(
            Act.STAFF_ROLE_CHANGED,
            actor=actor,
            organisation_id=None,
            target=f"user:{user.pk}",
            outcome=Outcome.DONE,
            person=before.email,
            **powers,
        )


@transaction.atomic
def record_new_password(*, actor: Actor, user: User) -> None:
    """Tell the trail that somebody else set a person's password; the admin's form stored it."""
    _record_facts(actor, user, user.email, {"password": CHANGED})


@transaction.atomic
def set_staff_roles(*, actor: Actor, user: User, before: list[str]) -> None:
    """Tell the trail which groups of staff a person joined or left; the admin's form stored them."""
    after = sorted(user.groups.values_list("name", flat=True))
    if after != before:
        trail.record(
            Act.STAFF_ROLE_CHANGED,
            actor=actor,
            organisation_id=None,
            target=f"user:{user.pk}",
            person=user.email,
            groups={"before": before, "after": after},
        )


@transaction.atomic
def follow_address(
    *, actor: Actor, user: User, email: str, organisation_id: UUID
) -> bool:
    """Give an account the address that its provider tells now; False where it is somebody else's."""
    if User.objects.filter(email__iexact=email).exclude(pk=user.pk).exists():
        return False
    before, user.email = user.email, email
    user.save(update_fields=["email"])
    trail.record(
        Act.PERSON_CHANGED,
        actor=actor,
        organisation_id=organisation_id,
        target=f"user:{user.pk}",
        person=before,
        email={"before": before, "after": email},
    )
    return True


@transaction.atomic
def create_platform_admin(
    *, actor: Actor, email: str, name: str, password: str
) -> User:
    """Make Netra's own organisation, where it is missing, and its first operator."""
    if User.objects.filter(is_superuser=True).exists():
        raise ConflictError(
            "There is a platform admin already.",
            fix="Sign in as that person and add others in the admin.",
        )
    platform, made = Organisation.objects.get_or_create(
        kind=Organisation.Kind.PLATFORM,
        defaults={"slug": "netra", "name": "Netra", "tier": Tier.PLATFORM},
    )
    user = User.objects.create_superuser(email, password, name=name)
    target = f"user:{user.pk}"
    add_member(
        actor=actor, organisation=platform, user=user, role=Membership.Role.OWNER
    )
    record_creation(actor=actor, user=user)
    trail.record(
        Act.STAFF_ROLE_CHANGED,
        actor=actor,
        organisation_id=None,
        target=target,
        is_superuser={"before": False, "after": True},
    )
    if made:
        trail.record(
            Act.ORGANISATION_CREATED,
            actor=actor,
            organisation_id=platform.pk,
            target=f"organisation:{platform.pk}",
            slug=platform.slug,
        )
    return user


def _record_facts(
    actor: Actor, user: User, email: str, facts: dict[str, Value]
) -> None:
    """One entry in the trail of each organisation of theirs, in a fixed order; else in the platform's."""
    places = sorted(
        Membership.objects.filter(user=user).values_list("organisation_id", flat=True)
    )
    for place in places or [None]:
        trail.record(
            Act.PERSON_CHANGED,
            actor=actor,
            organisation_id=place,
            target=f"user:{user.pk}",
            outcome=Outcome.DONE,
            person=email,
            **facts,
        )


def _keep_owners(user: User) -> None:
    owned = [
        row.organisation_id
        for row in memberships_of(user.pk)
        if row.role == Membership.Role.OWNER
    ]
    for organisation_id in sorted(owned):
        keep_an_owner(organisation_id, without=user.pk)
