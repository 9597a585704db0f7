"""Every way to reach a tenant's row, as each app declares it. The audit that tries them lives in audits.

An app's `surfaces` module registers what it has: the canaries it plants and the surfaces it opens.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import import_module
from typing import Any
from uuid import UUID

from django.apps import apps as django_apps
from django.db import models
from django.urls import get_resolver
from django.utils.module_loading import module_has_submodule

from apps.core.errors import NetraError

Ids = dict[str, str]


class Kind(StrEnum):
    """What sort of door a surface is."""

    MODEL = "model"
    ACCESS = "access"
    ROUTE = "route"
    FRAME = "frame"
    TOOL = "tool"
    TASK = "task"
    ADMIN = "admin"
    CACHE = "cache"


class Deed(StrEnum):
    """What somebody tries at a surface with what is not theirs."""

    READ = "read"
    LIST = "list"
    CHANGE = "change"


class Login(StrEnum):
    """What a route is asked with."""

    NONE = "nothing"
    TOKEN = "token"  # noqa: S105 - what it is called
    SESSION = "session"
    DIRECTORY = "directory token"


@dataclass(frozen=True, slots=True, kw_only=True)
class Somebody:
    """A person of a canary organisation, and what they prove themselves with."""

    name: str  # owner, member
    user_id: UUID
    organisation_id: UUID
    token: str
    directory_token: str = ""


@dataclass(slots=True, kw_only=True)
class Canary:
    """One canary organisation: whoever plants adds people and the ids of what they planted."""

    organisation_id: UUID
    slug: str
    marker: str
    people: dict[str, Somebody] = field(default_factory=dict)
    ids: Ids = field(default_factory=dict)

    @property
    def owner(self) -> Somebody:
        return self.people["owner"]

    @property
    def member(self) -> Somebody:
        return self.people["member"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """An HTTP route and a verb. `{names}` in path and body are ids that the canaries planted."""

    verb: str
    path: str
    login: Login = Login.TOKEN
    deed: Deed = Deed.READ
    body: Mapping[str, object] | None = None
    # What its rightful person gets; None: nobody may, or it ends what it is tried with.
    control: int | None = 200
    shows: bool = True  # whether that answer holds the canary's marker
    shows_id: str = ""  # or the id of that name in its place
    personal: bool = True  # whether colleagues may not see it either

    @property
    def name(self) -> str:
        return f"{self.verb} {self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """A model, asked through its manager in the scope of another organisation."""

    label: str
    # Why rows of it may be seen beyond one organisation; empty: they may not.
    shared: str = ""

    @property
    def name(self) -> str:
        return self.label


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A function that takes ids from outside: access, a tool, a task's body, a cache's key."""

    kind: Kind
    name: str
    # What it gives, as text that is searched; it runs in the scope of whoever asks.
    run: Callable[[Somebody, Mapping[str, str]], object]
    needs: str = ""  # the id it is asked for; empty: it takes none and lists
    personal: bool = True
    shows: bool = True


Surface = Route | Rows | Call
Planter = Callable[[Canary], None]
Withdrawal = Callable[[UUID], None]


class SurfaceError(NetraError):
    """A surface was declared twice."""

    code = "surface_declared_twice"
    fix = "Give each surface one declaration."


_surfaces: dict[tuple[str, str], Surface] = {}
_planters: dict[str, Planter] = {}
_withdrawals: dict[str, Withdrawal] = {}
_exempt: dict[tuple[Kind, str], str] = {}


def kind_of(surface: Surface) -> Kind:
    if isinstance(surface, Route):
        return Kind.ROUTE
    return Kind.MODEL if isinstance(surface, Rows) else surface.kind


def register(*surfaces: Surface) -> None:
    """Declare surfaces; each kind and name once."""
    for surface in surfaces:
        key = (kind_of(surface).value, surface.name)
        if key in _surfaces:
            raise SurfaceError(f"{key[0]} {key[1]!r} is declared twice.")
        _surfaces[key] = surface


def exempt(kind: Kind, *names: str, why: str) -> None:
    """Declare doors that reach no tenant's row, and why. An audit lists them as such."""
    for name in names:
        _exempt[kind, name] = why


def plant_with(
    app: str, planter: Planter, withdrawal: Withdrawal | None = None
) -> None:
    """Let an app put its rows into each canary organisation, after the apps below it.

    `withdrawal` ends, after each audit, what could be used by others.
    """
    _planters[app] = planter
    if withdrawal is not None:
        _withdrawals[app] = withdrawal


def registered() -> list[Surface]:
    return [_surfaces[key] for key in sorted(_surfaces)]


def exempted() -> dict[tuple[Kind, str], str]:
    return dict(_exempt)


def planters() -> list[Planter]:
    """In the order in which the apps were loaded: from the lowest up."""
    return list(_planters.values())


def withdrawals() -> list[Withdrawal]:
    return list(_withdrawals.values())


def undeclared() -> list[tuple[Kind, str]]:
    """Models of tenants and routes of the API that no app declared or exempted."""
    known = {(kind_of(s), _plain(s.name)) for s in _surfaces.values()}
    known |= {(kind, _plain(name)) for kind, name in _exempt}
    there = [(Kind.MODEL, model._meta.label) for model in _models()]
    there += [(Kind.ROUTE, name) for name in routes_there()]
    return [(kind, name) for kind, name in there if (kind, _plain(name)) not in known]


def _models() -> list[type[models.Model]]:
    return [
        model
        for model in django_apps.get_models()
        if model.__module__.startswith("apps.")
    ]


AUDITED = ("api/v1/", "scim/v2/")
VERBS = ("get", "post", "put", "patch", "delete")


def routes_there() -> list[str]:
    """Each verb and path under the API and SCIM, as the address table has them."""
    return [
        f"{verb.upper()} /{path}"
        for path, view in _leaves(get_resolver(), "")
        if path.startswith(AUDITED)
        for verb in VERBS
        if hasattr(view, verb)
    ]


def _leaves(resolver: Any, prefix: str) -> Iterator[tuple[str, object]]:
    for pattern in resolver.url_patterns:
        path = prefix + str(pattern.pattern)
        if hasattr(pattern, "url_patterns"):
            yield from _leaves(pattern, path)
        else:
            yield path, getattr(pattern.callback, "cls", pattern.callback)


def _plain(name: str) -> str:
    """A route without its query, with one sign for whatever is filled in."""
    return re.sub(r"<[^>]*>|{[^}]*}", "*", name.partition("?")[0])


def load() -> None:
    """Let every app declare what it has; a second time changes nothing.

    Called by whoever audits: servers and workers need none of it.
    """
    if _surfaces:
        return
    for config in django_apps.get_app_configs():
        if config.name != __package__ and module_has_submodule(
            config.module, "surfaces"
        ):
            import_module(f"{config.name}.surfaces").declare()
