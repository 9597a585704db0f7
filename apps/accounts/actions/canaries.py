"""The people of the canary organisations: made once, given new tokens for each isolation audit."""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction

from apps.accounts.access import digest
from apps.accounts.actions.directory import create_directory_user
from apps.accounts.actions.directory_groups import create_directory_group
from apps.accounts.actions.members import add_member, remove_member
from apps.accounts.actions.organisations import create_organisation
from apps.accounts.actions.people import create_person
from apps.accounts.actions.scim_tokens import create_scim_token, revoke_scim_token
from apps.accounts.actions.tokens import create_token, revoke_token
from apps.accounts.directory import Group, Person
from apps.accounts.models import (
    DirectoryGroup,
    DirectoryUser,
    Domain,
    Identity,
    IdentityProvider,
    Membership,
    Organisation,
    ScimToken,
    Token,
    User,
)
from apps.accounts.plans import Tier
from apps.core.actors import Actor
from apps.core.canaries import ADDRESSES
from apps.core.clock import clock
from apps.core.surfaces import Canary, Somebody

AUDIT = Actor.system("isolation audit")
TOKEN_LIFE = timedelta(hours=1)
ROLES = {
    "owner": Membership.Role.OWNER,
    "member": Membership.Role.MEMBER,
    "leaver": Membership.Role.MEMBER,
}


@transaction.atomic
def plant_canary(canary: Canary) -> None:
    """The organisation, its people with tokens, and its directory, provider and domain."""
    organisation = _organisation(canary)
    for name, role in ROLES.items():
        canary.people[name] = _somebody(canary, organisation, name, role)
    canary.ids["slug"] = canary.slug
    canary.ids["token_id"] = _token_id(canary.owner)
    _leave(organisation, canary.people["leaver"])
    _plant_directory(canary, organisation)
    _plant_sign_in(canary, organisation)


@transaction.atomic
def withdraw_canary(organisation_id: object) -> None:
    """Make every token of a canary useless; its people cannot sign in otherwise."""
    for token in Token.objects.filter(
        organisation_id=organisation_id, revoked_at__isnull=True
    ):
        revoke_token(actor=AUDIT, token=token)
    for scim_token in ScimToken.objects.filter(
        organisation_id=organisation_id, revoked_at__isnull=True
    ):
        revoke_scim_token(actor=AUDIT, token=scim_token)


def _organisation(canary: Canary) -> Organisation:
    found = Organisation.objects.filter(pk=canary.organisation_id).first()
    if found is not None:
        return found
    made = Organisation(
        pk=canary.organisation_id,
        slug=canary.slug,
        name=canary.slug.replace("-", " ").capitalize(),
        kind=Organisation.Kind.CANARY,
        tier=Tier.ENTERPRISE,
    )
    create_organisation(actor=AUDIT, organisation=made)
    return made


def _somebody(
    canary: Canary, organisation: Organisation, name: str, role: Membership.Role
) -> Somebody:
    email = f"{name}@{canary.slug}{ADDRESSES}"
    # Only what is the owner's carries the marker: colleagues see their own.
    shown = canary.marker if name == "owner" else f"{canary.slug} {name}"
    user = User.objects.filter(email=email).first() or create_person(
        actor=AUDIT, email=email, name=shown, organisation_id=organisation.pk
    )
    if user.name != shown:
        User.objects.filter(pk=user.pk).update(name=shown)
    add_member(actor=AUDIT, organisation=organisation, user=user, role=role)
    made = create_token(
        actor=AUDIT,
        user=user,
        organisation_id=organisation.pk,
        name=shown,
        lifetime=TOKEN_LIFE,
    )
    directory = ""
    if name == "owner":
        _, directory = create_scim_token(
            actor=AUDIT, organisation=organisation, name=canary.marker, days=1
        )
        canary.ids["directory_token_id"] = str(
            ScimToken.objects.get(digest=digest(directory)).pk
        )
    return Somebody(
        name=name,
        user_id=user.pk,
        organisation_id=organisation.pk,
        token=made,
        directory_token=directory,
    )


def _token_id(who: Somebody) -> str:
    return str(Token.objects.get(digest=digest(who.token)).pk)


def _leave(organisation: Organisation, who: Somebody) -> None:
    """Somebody who was removed, but still has what they came in with."""
    place = Membership.objects.get(organisation=organisation, user_id=who.user_id)
    remove_member(actor=AUDIT, membership=place)


def _plant_directory(canary: Canary, organisation: Organisation) -> None:
    DirectoryGroup.objects.filter(organisation=organisation).delete()
    DirectoryUser.objects.filter(organisation=organisation).delete()
    Domain.objects.get_or_create(
        organisation=organisation,
        domain=f"{canary.slug}.invalid",
        defaults={
            "created_at": clock.now(),
            "proved_at": clock.now(),
            "challenge": canary.marker,
        },
    )
    entry = create_directory_user(
        actor=AUDIT,
        person=Person(
            user_name=f"owner@{canary.slug}.invalid", display_name=canary.marker
        ),
    )
    group = create_directory_group(
        actor=AUDIT, group=Group(name=canary.marker, members=frozenset({entry.pk}))
    )
    canary.ids["directory_user_id"] = str(entry.pk)
    canary.ids["directory_group_id"] = str(group.pk)


def _plant_sign_in(canary: Canary, organisation: Organisation) -> None:
    provider, _ = IdentityProvider.objects.update_or_create(
        organisation=organisation,
        provider_id=canary.slug,
        defaults={
            "name": canary.marker,
            "issuer": f"https://{canary.slug}.invalid",
            "client_id": canary.marker,
            "enabled": False,
        },
    )
    Identity.objects.update_or_create(
        organisation=organisation,
        provider=provider,
        user_id=canary.owner.user_id,
        defaults={
            "sub": canary.marker,
            "email": f"owner@{canary.slug}.invalid",
            "linked_at": clock.now(),
        },
    )
