"""Between SCIM's resources and our values: creations, replacements, patches. Pure.

Members of groups are changed as sets of ids, so that a patch of one costs the same in a large group.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from uuid import UUID

from scim2_models import (
    Context,
    InvalidPathException,
    InvalidSyntaxException,
    InvalidValueException,
    PatchOp,
    Path,
    TooManyException,
)
from scim2_models.path import (
    CompareOperator,
    Comparison,
    FilterNode,
    LogicalExpr,
    LogicalOperator,
)

from apps.accounts.directory import (
    BadValueError,
    Group,
    GroupChange,
    Person,
    PersonChange,
)
from apps.accounts.scim import schemas

OPERATIONS_MOST = 1_000  # in one patch
# A patch of a person runs inside the transaction, and each operation looks through all e-mails.
PERSON_OPERATIONS_MOST = 100
EMAILS_MOST = 20
LENGTHS = {
    "userName": 254,
    "emails": 254,
    "externalId": 255,
    "displayName": 150,
    "name.givenName": 150,
    "name.familyName": 150,
}
GROUP_NAME_LENGTH = 200
_READ_ONLY = frozenset({"id", "schemas", "meta", "groups"})
_DELETE = 0x7F


def person_in(body: object, context: Context) -> Person:
    """The person that a creation describes; active, unless it says otherwise."""
    return _person(schemas.User.model_validate(body, scim_ctx=context), active=True)


def person_replacement(body: object) -> PersonChange:
    """The change that a replacement describes; who says nothing of `active` leaves it as it is."""
    resource = schemas.User.model_validate(
        body, scim_ctx=Context.RESOURCE_REPLACEMENT_REQUEST
    )
    _person(
        resource, active=False
    )  # what is wrong with it is told before any row is locked
    return lambda person: _person(resource, active=person.active)


def group_in(body: object, context: Context) -> Group:
    """The group that a creation or replacement describes, members and all."""
    resource = schemas.Group.model_validate(body, scim_ctx=context)
    members = resource.members or []
    named = _group(resource)
    return replace(named, members=frozenset(_member_id(m.value) for m in members))


def person_patch(body: object) -> PersonChange:
    """The change that a patch of a user describes; raises for what no user could take."""
    tolerated = _tolerated(body, most=PERSON_OPERATIONS_MOST)
    _check_number(sum(_emails_listed(tolerated)))
    patch = PatchOp[schemas.User].model_validate(
        tolerated, scim_ctx=Context.RESOURCE_PATCH_REQUEST
    )

    def change(person: Person) -> Person:
        resource = user_resource(person)
        patch.patch(resource, scim_policy=schemas.POLICY)
        return _person(resource, active=person.active)

    return change


def group_patch(body: object) -> GroupChange:
    """The change that a patch of a group describes."""
    tolerated = _tolerated(body, most=OPERATIONS_MOST)
    PatchOp[schemas.Group].model_validate(
        tolerated, scim_ctx=Context.RESOURCE_PATCH_REQUEST
    )
    steps = [_group_step(operation) for operation in _split(tolerated)]

    def change(group: Group) -> Group:
        for step in steps:
            group = step(group)
        return group

    return change


def user_resource(person: Person) -> schemas.User:
    """A person as a resource, without what only the row knows."""
    name = schemas.Name(
        given_name=person.given_name or None, family_name=person.family_name or None
    )
    email = schemas.Email(value=person.email, type="work", primary=True)
    return schemas.User(
        user_name=person.user_name,
        external_id=person.external_id or None,
        display_name=person.display_name or None,
        name=name if name.given_name or name.family_name else None,
        active=person.active,
        emails=[email] if person.email else None,
    )


# -- values ----------------------------------------------------------------------------


def _person(resource: schemas.User, *, active: bool) -> Person:
    """`active`: what holds where the resource says nothing."""
    name = resource.name or schemas.Name()
    if resource.emails:
        _check_number(len(resource.emails))
    return Person(
        user_name=_text("userName", resource.user_name, required=True).lower(),
        email=_text("emails", _primary(resource.emails or [])).lower(),
        external_id=_text("externalId", resource.external_id),
        display_name=_text("displayName", resource.display_name),
        given_name=_text("name.givenName", name.given_name),
        family_name=_text("name.familyName", name.family_name),
        active=active if resource.active is None else resource.active,
    )


def _check_number(emails: int) -> None:
    if emails > EMAILS_MOST:
        raise BadValueError(
            f"A person has at most {EMAILS_MOST} e-mail addresses.", field="emails"
        )


def _group(resource: schemas.Group) -> Group:
    return Group(
        name=_text(
            "displayName",
            resource.display_name,
            required=True,
            longest=GROUP_NAME_LENGTH,
        ),
        external_id=_text("externalId", resource.external_id),
    )


def _primary(emails: list[schemas.Email]) -> str | None:
    """The address that counts: the primary one, else that for work, else the first."""
    marked = [email.value for email in emails if email.value and email.primary]
    work = [email.value for email in emails if email.value and email.type == "work"]
    rest = [email.value for email in emails if email.value]
    return next(iter(marked + work + rest), None)


def _text(
    name: str, value: str | None, *, required: bool = False, longest: int = 0
) -> str:
    text = (value or "").strip()
    if required and not text:
        raise BadValueError(f"{name} is empty.", field=name)
    if len(text) > (longest or LENGTHS[name]):
        raise BadValueError(f"{name} is too long.", field=name)
    if any(c < " " or ord(c) == _DELETE or "\ud800" <= c <= "\udfff" for c in text):
        raise BadValueError(f"{name} holds a character that is no text.", field=name)
    return text


def _member_id(value: object) -> UUID:
    try:
        return UUID(str(value))
    except ValueError as error:
        raise BadValueError(
            "A member is named by the id of its user.", field="members"
        ) from error


# -- patches ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Operation:
    """One operation of a patch of a group."""

    op: str
    path: str
    value: object


@dataclass(frozen=True, slots=True, kw_only=True)
class _MemberChange:
    """What one operation does to who is in a group."""

    added: frozenset[UUID] = frozenset()
    removed: frozenset[UUID] = frozenset()
    replaced: bool = False

    def of(self, members: frozenset[UUID]) -> frozenset[UUID]:
        return (self.added if self.replaced else members | self.added) - self.removed


def _tolerated(body: object, *, most: int) -> dict[str, object]:
    """The patch without what clients send although it changes nothing, and in a form all understand.

    Okta repeats the id among the values; Entra puts paths with filters where names of attributes go.
    """
    if not isinstance(body, Mapping):
        raise InvalidSyntaxException(detail="The body must be a JSON object.")
    operations = body.get("Operations", body.get("operations"))
    if not isinstance(operations, list):
        raise InvalidSyntaxException(detail="Operations must be a list.")
    told = [part for operation in operations for part in _parts(operation)]
    if len(told) > most:
        raise TooManyException(detail=f"Send at most {most:,} operations at once.")
    if operations and not told:  # nothing but read-only values: nothing to do
        told = [{"op": "add", "value": {}}]
    return {"schemas": body.get("schemas") or [], "Operations": told}


def _parts(operation: object) -> Iterator[object]:
    value = operation.get("value") if isinstance(operation, Mapping) else None
    if (
        not isinstance(operation, Mapping)
        or operation.get("path")
        or not isinstance(value, Mapping)
    ):
        yield operation
        return
    plain = {
        name: item
        for name, item in value.items()
        if name.lower() not in _READ_ONLY and "[" not in name
    }
    if plain or not value:
        yield {**operation, "value": plain}
    for name, item in value.items():
        if "[" in name:
            yield {**operation, "path": name, "value": item}


def _emails_listed(body: Mapping[str, object]) -> Iterator[int]:
    """How many e-mails each operation lists; what is no list selects, or is refused later."""
    operations = body["Operations"]
    assert isinstance(operations, list)
    for told in operations:
        if not isinstance(told, Mapping):
            continue
        path, value = str(told.get("path") or ""), told.get("value")
        named = value if isinstance(value, Mapping) and not path else {path: value}
        for name, item in named.items():
            if "emails" in name.lower() and isinstance(item, list):
                yield len(item)


def _split(body: Mapping[str, object]) -> Iterator[_Operation]:
    """The operations of a valid patch of a group, those without a path by attribute."""
    operations = body["Operations"]
    assert isinstance(operations, list)
    for told in operations:
        op, path, value = str(told["op"]).lower(), told.get("path"), told.get("value")
        if path:
            yield _Operation(op, path, value)
            continue
        if not isinstance(value, Mapping):
            raise InvalidPathException(detail="Say with a path what it is done to.")
        for name, item in value.items():
            yield _Operation(op, name, item)


def _group_step(operation: _Operation) -> GroupChange:
    if _field(operation.path) == "members":
        change = _member_change(operation)
        return lambda group: replace(group, members=change.of(group.members))
    patch = PatchOp[schemas.Group].model_validate({"Operations": [asdict(operation)]})

    def step(group: Group) -> Group:
        resource = schemas.Group(
            display_name=group.name, external_id=group.external_id or None
        )
        patch.patch(resource, scim_policy=schemas.POLICY)
        return replace(_group(resource), members=group.members)

    return step


def _field(path: str) -> str | None:
    binding = Path[schemas.Group](path).resolve()
    return binding.field_name if binding else None


def _member_change(operation: _Operation) -> _MemberChange:
    path = Path[schemas.Group](operation.path)
    if len(path.parts) > 1:  # else 'members.display' would stand for all members
        raise InvalidPathException(detail="Members are added and removed as a whole.")
    selection = path.value_filter
    if selection is not None:
        if operation.op != "remove":
            raise InvalidPathException(
                detail="Members are added by a list of ids, without a filter."
            )
        return _MemberChange(removed=frozenset(_selected(selection)))
    if operation.op == "remove" and operation.value is None:
        return _MemberChange(replaced=True)
    told = frozenset(_listed(operation.value))
    if operation.op == "remove":
        return _MemberChange(removed=told)
    return _MemberChange(added=told, replaced=operation.op == "replace")


def _listed(value: object) -> Iterator[UUID]:
    for member in value if isinstance(value, list) else [value]:
        if not isinstance(member, Mapping) or "value" not in member:
            raise InvalidValueException(
                detail='Members are listed as [{"value": "the id of a user"}].'
            )
        yield _member_id(member["value"])


def _selected(node: FilterNode) -> Iterable[UUID]:
    """The ids that a filter such as `value eq "…" or value eq "…"` names."""
    if isinstance(node, LogicalExpr) and node.op is LogicalOperator.or_:
        return [found for term in node.terms for found in _selected(term)]
    if (
        isinstance(node, Comparison)
        and node.op is CompareOperator.eq
        and node.attr_path.attr.lower() == "value"
    ):
        return [_member_id(node.value)]
    raise InvalidPathException(detail='Members are selected by value eq "id".')
