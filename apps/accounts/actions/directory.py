"""What a directory does to people: entries, and the accounts and memberships that follow from them.

One request is one call and one transaction. Groups: directory_groups.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
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


def refuse_directory_change(
    *, actor: Actor, error: NetraError, rule: str
) -> UUID | None:
    """Keep on record that a directory was refused by a rule of safety; the receipt's id.

    In a transaction of its own, after the roll-back. Other errors leave no trace.
    """
    if not isinstance(error, (*DECISIONS, ConflictError)):
        return None
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
    """An entry as a value. A membership that was ended by hand counts as not active."""
    return Person(
        user_name=entry.user_name,
        email=entry.email,
        external_id=entry.external_id,
        display_name=entry.display_name,
        given_name=entry.given_name,
        family_name=entry.family_name,
        active=entry.active and is_member,
    )


def settle_roles(actor: Actor, organisation_id: UUID, entry_ids: Iterable[UUID]) -> int:
    """Give these people the roles that their groups give; owners stay owners. How many changed."""
    # Named, not left to the scope: staff call this too, and see all organisations.
    entries = DirectoryUser.objects.filter(
        organisation=organisation_id, pk__in=list(entry_ids)
    )
    people = dict(entries.values_list("user_id", "pk"))
    # All are locked before the first change seals an entry: the trail's head comes last.
    places = list(
        Membership.objects.select_for_update()
        .filter(organisation=organisation_id, user__in=people)
        .exclude(role=Membership.Role.OWNER)
        .order_by("pk")
    )
    given = _given_roles(organisation_id, people.values())
    changed = [row for row in places if row.role != given[people[row.user_id]]]
    if len(changed) > ROLES_MOST:
        raise TooManyRolesError(f"{len(changed):,} roles would change at once.")
    for row in changed:
        change_role(actor=actor, membership=row, role=given[people[row.user_id]])
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
        try:
            validate_email(address)
        except ValidationError as error:
            raise BadValueError(
                "The person has no valid e-mail address.", field="emails"
            ) from error
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
        role = _given_roles(organisation.pk, [entry.pk])[entry.pk]
        add_member(actor=actor, organisation=organisation, user=entry.user, role=role)
    elif not entry.active and membership is not None:
        remove_member(actor=actor, membership=membership)


def _given_roles(organisation_id: UUID, entry_ids: Iterable[UUID]) -> dict[UUID, str]:
    """The role of each: the highest of the provider's usual one and those of their groups."""
    usual = (
        IdentityProvider.objects.filter(organisation=organisation_id, enabled=True)
        .order_by("created_at", "id")
        .values_list("default_role", flat=True)
        .first()
    ) or Membership.Role.MEMBER.value
    roles = {entry_id: [usual] for entry_id in entry_ids}
    rows = DirectoryMember.objects.filter(person__in=roles).exclude(group__role="")
    for entry_id, role in rows.values_list("person", "group__role"):
        roles[entry_id].append(role)
    return {entry_id: highest(given) or usual for entry_id, given in roles.items()}


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
