"""What the SCIM service offers: the attributes it keeps, and what it announces of itself.

Attributes that are not declared here are ignored, and so is a password: it is never even read.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field
from scim2_models import (
    URN,
    AuthenticationScheme,
    Bulk,
    CaseExact,
    ChangePassword,
    ComplexAttribute,
    ETag,
    Filter,
    Mutability,
    Patch,
    Reference,
    Required,
    Resource,
    ScimPolicy,
    ScimProvider,
    ServiceProviderConfig,
    Sort,
    Uniqueness,
)

PAGE_MOST = 200
PAGE_USUAL = 100


class Name(ComplexAttribute):
    """A person's name in its parts."""

    given_name: str | None = None
    """The given name."""

    family_name: str | None = None
    """The family name."""


class Email(ComplexAttribute):
    """One of a person's addresses. Only the primary one is kept."""

    value: str | None = None
    """The address, in a domain that the organisation proved."""

    type: str | None = None
    """What it is used for."""

    primary: bool | None = None
    """Whether it is the one that counts."""


class Membership(ComplexAttribute):
    """A group that a person is in."""

    value: Annotated[str | None, Mutability.read_only, CaseExact.true] = None
    """The id of the group."""

    display: Annotated[str | None, Mutability.read_only] = None
    """The name of the group."""


class User(Resource[Any]):
    """A person of the directory."""

    __schema__ = URN("urn:ietf:params:scim:schemas:core:2.0:User")

    user_name: Annotated[str | None, Uniqueness.server, Required.true] = None
    """The name in the directory; an e-mail address, unless one is given in emails."""

    name: Name | None = None
    """The name in its parts."""

    display_name: str | None = None
    """The name as it is shown."""

    active: bool | None = None
    """Whether the person is a member of the organisation."""

    emails: list[Email] | None = None
    """The addresses; the primary one is kept."""

    groups: Annotated[list[Membership] | None, Mutability.read_only] = None
    """The groups that the person is in."""


class GroupMember(ComplexAttribute):
    """A person in a group; groups inside groups are not supported."""

    value: Annotated[str | None, Mutability.immutable, CaseExact.true] = None
    """The id of the user."""

    ref: Annotated[Reference[User] | None, Mutability.immutable] = Field(
        None, serialization_alias="$ref", validation_alias="$ref"
    )
    """The address of the user."""

    display: Annotated[str | None, Mutability.read_only] = None
    """The name of the user."""


class Group(Resource[Any]):
    """A group of the directory."""

    __schema__ = URN("urn:ietf:params:scim:schemas:core:2.0:Group")

    display_name: Annotated[str | None, Uniqueness.server, Required.true] = None
    """The name of the group."""

    members: list[GroupMember] | None = None
    """Who is in it."""


# What Okta and Entra send beyond the standard is understood; what nobody keeps is ignored.
POLICY = ScimPolicy(
    unknown=ScimPolicy.Unknown.ignore,
    remove_value_as_filter=ScimPolicy.RemoveValue.apply,
    unmatched_path_filter=ScimPolicy.UnmatchedPathFilter.create,
)
CONFIG = ServiceProviderConfig(
    patch=Patch(supported=True),
    bulk=Bulk(supported=False, max_operations=0, max_payload_size=0),
    filter=Filter(supported=True, max_results=PAGE_MOST),
    change_password=ChangePassword(supported=False),
    sort=Sort(supported=False),
    etag=ETag(supported=False),
    authentication_schemes=[
        AuthenticationScheme(
            type=AuthenticationScheme.Type.oauthbearertoken,
            name="Bearer token",
            description="A token of the organisation, made in Netra by an owner or admin.",
            primary=True,
        )
    ],
)
SERVICE = ScimProvider(models=[User, Group], config=CONFIG, policy=POLICY)
