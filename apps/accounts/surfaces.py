"""The doors of accounts to what belongs to an organisation or a person, for isolation audits."""

from __future__ import annotations

from apps.accounts.actions.canaries import plant_canary, withdraw_canary
from apps.core.surfaces import (
    Deed,
    Kind,
    Login,
    Route,
    Rows,
    exempt,
    plant_with,
    register,
)

API, SCIM = "/api/v1", "/scim/v2"


def declare() -> None:
    """Called once, when the app is ready."""
    plant_with("accounts", plant_canary, withdraw_canary)
    register(
        *(Rows(label=f"accounts.{name}") for name in _OWN),
        Rows(
            label="accounts.User",
            shared="one account for all organisations; no door lists them",
        ),
        Rows(label="accounts.Organisation", shared="names and plans; staff list them"),
        Rows(label="accounts.SignIn", shared="asked by person or session key only"),
        *_API_ROUTES,
        *_SCIM_ROUTES,
    )
    exempt(
        Kind.ROUTE,
        *(f"GET {SCIM}/{name}" for name in _DESCRIPTIONS),
        why="describes the protocol, the same for all",
    )


_OWN = (
    "Membership",
    "IdentityProvider",
    "Domain",
    "Identity",
    "DirectoryUser",
    "DirectoryGroup",
    "DirectoryMember",
    "Token",
    "ScimToken",
)
_DESCRIPTIONS = (
    "ServiceProviderConfig",
    "ResourceTypes",
    "ResourceTypes/{name}",
    "Schemas",
    "Schemas/{name}",
)
_API_ROUTES = (
    Route(verb="GET", path=f"{API}/me/", deed=Deed.LIST),
    Route(verb="GET", path=f"{API}/tokens/", deed=Deed.LIST),
    Route(
        verb="POST",
        path=f"{API}/tokens/",
        deed=Deed.CHANGE,
        body={"name": "x", "organisation": "{slug}", "days": 0},
        control=None,
    ),
    Route(
        verb="POST",
        path=f"{API}/directory-tokens/",
        deed=Deed.CHANGE,
        body={"name": "x", "organisation": "{slug}", "days": 0},
        control=None,
    ),
    Route(
        verb="DELETE",
        path=f"{API}/tokens/{{token_id}}/",
        deed=Deed.CHANGE,
        control=None,
    ),
    Route(verb="GET", path=f"{API}/directory-tokens/", deed=Deed.LIST),
    Route(
        verb="DELETE",
        path=f"{API}/directory-tokens/{{directory_token_id}}/",
        deed=Deed.CHANGE,
        control=None,
    ),
)


def _scim(
    verb: str, path: str, deed: Deed, control: int | None, **body: object
) -> Route:
    return Route(
        verb=verb,
        path=SCIM + path,
        login=Login.DIRECTORY,
        deed=deed,
        body=body or None,
        control=control,
    )


_PATCH = {
    "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
    "Operations": [{"op": "replace", "path": "displayName", "value": "taken over"}],
}
_SCIM_ROUTES = (
    _scim("GET", "/Users", Deed.LIST, 200),
    _scim("GET", "/Groups", Deed.LIST, 200),
    _scim(
        "GET",
        "/Users?filter=userName%20eq%20%22owner@{slug}.invalid%22",
        Deed.LIST,
        200,
    ),
    _scim("GET", "/Users/{directory_user_id}", Deed.READ, 200),
    _scim("GET", "/Groups/{directory_group_id}", Deed.READ, 200),
    _scim("PATCH", "/Users/{directory_user_id}", Deed.CHANGE, None, **_PATCH),
    _scim("PATCH", "/Groups/{directory_group_id}", Deed.CHANGE, None, **_PATCH),
    _scim("DELETE", "/Users/{directory_user_id}", Deed.CHANGE, None),
    _scim("DELETE", "/Groups/{directory_group_id}", Deed.CHANGE, None),
)
