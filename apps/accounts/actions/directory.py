"""What a directory does to people: entries, and the accounts and memberships that follow from them.

One request is one call and one transaction. Groups: directory_groups.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db.models import QuerySet
from django.utils import timezone

from apps.accounts.access import proved_domains
from apps.accounts.actions.members import add_member, change_role, remove_member
from apps.accounts.actions.people import create_person, follow_address
from apps.accounts.callers import is_known_elsewhere
from apps.accounts.directory import (
    DECISIONS,
    ROLES_MOST,
    BadValueError,
    ForeignAccountError,
    ForeignAddressError,
    NotUniqueError,
    Person,
    PersonChange,
    SharedAccountError,
    TooManyRolesError,
    UnknownEntryError,
)
from apps.accounts.domains.names import domain_of, normal_address
from apps.accounts.models import (
    DirectoryMember,
    DirectoryUser,
    Identity,
    IdentityProvider,
    Membership,
    Organisation,
    User,
)
from apps.accounts.roles import highest
from apps.audits import receipts, trail
from apps.audits.acts import Act, Outcome
from apps.audits.chain import Value
from apps.audits.receipts import Refusal
from apps.core.actors import Actor
from apps.core.errors import ConflictError, NetraError
from apps.core.tenancy import current_scope

ADDRESS_LENGTH = 254


def create_directory_user(
    *, actor: Actor, person: Person, now: datetime | None = None
) -> DirectoryUser:
    """Take a person in: entry, account and, where active, membership."""
    now = now or timezone.now()
    organisation = _organisation()
    _check_addresses(organisation.pk, person.addresses)
    _check_free(person.user_name)
    user = _account(actor, organisation, person)
    if DirectoryUser.objects.filter(user=user).exists():
        raise NotUniqueError("There is an entry for this person already.")
    entry: DirectoryUser = DirectoryUser.objects.create(
        organisation=organisation,
        user=user,
        created_at=now,
        changed_at=now,
        **_columns(person),
    )
    _settle_membership(actor, organisation, entry)
    _record(actor, entry, change="created", active=entry.active)
    return entry


def change_directory_user(
    *, actor: Actor, entry_id: UUID, change: PersonChange, now: datetime | None = None
) -> DirectoryUser:
    """Replace what is known of a person by what `change` makes of it; no change writes nothing."""
    organisation = _organisation()
    entry = _locked(entry_id)
    before = described(entry, is_member=_membership(entry) is not None)
    wanted = change(before)
    if wanted == before:
        return entry
    if wanted.active or wanted.addresses != before.addresses:
        _check_addresses(organisation.pk, wanted.addresses)
    if wanted.user_name != before.user_name:
        _check_free(wanted.user_name)
    if wanted.active and not before.active:
        _check_return(organisation, entry.user)
    _follow(actor, organisation, entry.user, before, wanted)
    for name, value in _columns(wanted).items():
        setattr(entry, name, value)
    entry.changed_at = now or timezone.now()
    entry.save(update_fields=[*_columns(wanted), "changed_at"])
    _settle_membership(actor, organisation, entry)
    changed = [
        name
        for name, value in _columns(before).items()
        if _columns(wanted)[name] != value
    ]
    _record(actor, entry, change="changed", active=entry.active, fields=changed)
    return entry


def remove_directory_user(*, actor: Actor, entry_id: UUID) -> None:
    """Take the entry and the membership away. The account stays, with its history."""
    entry = _locked(entry_id)
    membership = _membership(entry)
    if membership is not None:
        remove_member(actor=actor, membership=membership)
    DirectoryUser.objects.filter(pk=entry.pk).delete()
    _record(actor, entry, change="deleted")


def is_decision(error: NetraError) -> bool:
    """Whether a rule of safety refused. Other errors leave no trace, and open no transaction."""
    return isinstance(error, (*DECISIONS, ConflictError))


def refuse_directory_change(*, actor: Actor, error: NetraError, rule: str) -> UUID:
    """Keep on record that a directory was refused by a rule of safety; the receipt's id.

    In a transaction of its own, after the roll-back. Only for what `is_decision`.
    """
    organisation_id = current_scope().tenant_id
    receipt = receipts.record(
        Refusal.of(error, organisation_id=organisation_id, user_id=None, rule=rule)
    )
    trail.record(
        Act.DIRECTORY_CHANGED,
        actor=actor,
        organisation_id=organisation_id,
        outcome=Outcome.REFUSED,
        code=error.code,
        rule=rule,
        receipt=str(receipt),
    )
    return receipt


def described(entry: DirectoryUser, *, is_member: bool) -> Person:
    """An entry as a value. Active is who is a member, also where that was ended or given by hand."""
    return Person(
        user_name=entry.user_name,
        email=entry.email,
        external_id=entry.external_id,
        display_name=entry.display_name,
        given_name=entry.given_name,
        family_name=entry.family_name,
        active=is_member,
    )


def settle_roles(actor: Actor, organisation_id: UUID, entry_ids: Iterable[UUID]) -> int:
    """Give these people the roles that provider and groups give; owners stay owners. How many changed."""
    # Named, not left to the scope: staff call this too, and see all organisations.
    # Locked: whoever comes back at this moment gets a role by the groups of before or after.
    entries = DirectoryUser.objects.select_for_update(no_key=True).filter(
        organisation=organisation_id, pk__in=list(entry_ids)
    )
    people = dict(entries.order_by("pk").values_list("user_id", "pk"))
    # All are locked before the first change seals an entry: the trail's head comes last.
    places = list(
        Membership.objects.select_for_update()
        .filter(organisation=organisation_id, user__in=people)
        .exclude(role=Membership.Role.OWNER)
        .order_by("pk")
    )
    given = _given_roles(organisation_id, people)
    changed = [row for row in places if row.role != given[row.user_id]]
    if len(changed) > ROLES_MOST:
        raise TooManyRolesError(f"{len(changed):,} roles would change at once.")
    for row in changed:
        change_role(actor=actor, membership=row, role=given[row.user_id])
    return len(changed)


def _organisation() -> Organisation:
    return Organisation.objects.get(pk=current_scope().tenant_id)


def _locked(entry_id: UUID) -> DirectoryUser:
    entry: DirectoryUser | None = (
        DirectoryUser.objects.select_for_update().filter(pk=entry_id).first()
    )
    if entry is None:
        raise UnknownEntryError("There is no such user here.")
    return entry


def _membership(entry: DirectoryUser) -> Membership | None:
    found: Membership | None = Membership.objects.filter(user=entry.user_id).first()
    return found


def _columns(person: Person) -> dict[str, str | bool]:
    return {
        "user_name": person.user_name,
        "external_id": person.external_id,
        "email": person.email,
        "display_name": person.display_name,
        "given_name": person.given_name,
        "family_name": person.family_name,
        "active": person.active,
    }


def _check_addresses(organisation_id: UUID, addresses: tuple[str, ...]) -> None:
    """A directory speaks for the domains that its organisation proved, and for no others."""
    proved = proved_domains(organisation_id)
    for address in addresses:
        normal = normal_address(address)
        try:
            validate_email(normal)
        except ValidationError as error:
            raise BadValueError(
                "The person has no valid e-mail address.", field="emails"
            ) from error
        if len(normal) > ADDRESS_LENGTH:
            raise BadValueError("The e-mail address is too long.", field="emails")
        if domain_of(address) not in proved:
            raise ForeignAddressError(
                f"{address} is not in a domain that the organisation proved.",
                field="emails",
                values={"asserted": address},
            )


def _check_free(user_name: str) -> None:
    if DirectoryUser.objects.filter(user_name=user_name).exists():
        raise NotUniqueError("There is a user with this userName already.")


def _account(actor: Actor, organisation: Organisation, person: Person) -> User:
    address = normal_address(person.address)
    user = User.objects.filter(email__iexact=address).first()
    if user is None:
        return create_person(
            actor=actor,
            email=address,
            name=person.full_name[:150],
            organisation_id=organisation.pk,
        )
    if not _may_take_in(organisation, user):
        raise ForeignAccountError(
            "An account outside this organisation uses the address already."
        )
    return user


def _may_take_in(organisation: Organisation, user: User) -> bool:
    """Whether an existing account is one of the organisation's own.

    Whoever left and comes back has no membership: then nobody else may hold a way into the account,
    a password least of all, since it may have been chosen before the address was proved.
    """
    if not user.is_active or _is_foreign_staff(organisation, user):
        return False
    if Membership.objects.filter(user=user).exists():
        return True
    return not user.has_usable_password() and not is_known_elsewhere(
        user, organisation.pk
    )


def _check_return(organisation: Organisation, user: User) -> None:
    """Refuse to give back a membership in an account that is no longer the organisation's own.

    With it the organisation's provider would have a way into an account that others rely on.
    """
    if (
        not user.is_active
        or _is_foreign_staff(organisation, user)
        or is_known_elsewhere(user, organisation.pk)
    ):
        raise ForeignAccountError


def _is_foreign_staff(organisation: Organisation, user: User) -> bool:
    return user.is_staff and organisation.kind != Organisation.Kind.PLATFORM


def _follow(
    actor: Actor, organisation: Organisation, user: User, before: Person, wanted: Person
) -> None:
    """Let the account follow its entry: its address and its name, where it is nobody else's."""
    address = normal_address(wanted.address)
    moved = address not in {normal_address(before.address), user.email}
    renamed = wanted.full_name != before.full_name
    if not moved and not renamed:
        return
    shared = _is_foreign_staff(organisation, user) or is_known_elsewhere(
        user, organisation.pk
    )
    if moved and shared:
        raise SharedAccountError
    if moved and not follow_address(
        actor=actor, user=user, email=address, organisation_id=organisation.pk
    ):
        raise ForeignAccountError("Another account uses the address already.")
    if renamed and not shared:
        user.name = wanted.full_name[:150]
        user.save(update_fields=["name"])


def _settle_membership(
    actor: Actor, organisation: Organisation, entry: DirectoryUser
) -> None:
    """While an entry is active its person belongs to the organisation, and no longer."""
    membership = _membership(entry)
    if entry.active and membership is None:
        role = _given_roles(organisation.pk, {entry.user_id: entry.pk})[entry.user_id]
        add_member(actor=actor, organisation=organisation, user=entry.user, role=role)
    elif not entry.active and membership is not None:
        remove_member(actor=actor, membership=membership)


def _given_roles(organisation_id: UUID, people: Mapping[UUID, UUID]) -> dict[UUID, str]:
    """The role of each (account → entry): the highest of what providers and groups give.

    A provider gives what it told at the last sign-in; one that tells no roles, its usual one.
    """
    told: dict[UUID, list[str]] = defaultdict(list)
    for user_id, role in _told_roles(organisation_id, people):
        told[user_id].append(role)
    usual = _usual_role(organisation_id)
    roles = {user_id: told[user_id] or [usual] for user_id in people}
    rows = DirectoryMember.objects.filter(person__in=list(people.values()))
    for user_id, role in rows.exclude(group__role="").values_list(
        "person__user_id", "group__role"
    ):
        roles[user_id].append(role)
    return {user_id: highest(given) or usual for user_id, given in roles.items()}


def _told_roles(
    organisation_id: UUID, user_ids: Iterable[UUID]
) -> QuerySet[Identity, tuple[UUID, str]]:
    rows: QuerySet[Identity] = Identity.objects.filter(
        organisation=organisation_id,
        user__in=list(user_ids),
        status=Identity.Status.ACTIVE,
        provider__enabled=True,
    )
    mapped = rows.exclude(role="").exclude(provider__role_claim="")
    return mapped.exclude(provider__role_map={}).values_list("user_id", "role")


def _usual_role(organisation_id: UUID) -> str:
    providers = IdentityProvider.objects.filter(
        organisation=organisation_id, enabled=True
    ).order_by("created_at", "id")
    first = providers.values_list("default_role", flat=True).first()
    return str(first or Membership.Role.MEMBER.value)


def _record(actor: Actor, entry: DirectoryUser, **details: Value) -> None:
    trail.record(
        Act.DIRECTORY_CHANGED,
        actor=actor,
        organisation_id=entry.organisation_id,
        target=f"directory_user:{entry.pk}",
        person=str(entry.user_id),
        outcome=Outcome.DONE,
        **details,
    )
