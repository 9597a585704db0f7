"""Every address that the resolver knows, with sample ids filled in: real ones where there are rows."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from django.apps import apps
from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import RoutePattern
from django.utils.regex_helper import normalize

from tests.factories import TESTS

PARAMETER = re.compile(r"<(?:(?P<kind>\w+):)?(?P<name>\w+)>")
ABSENT = str(uuid.uuid5(uuid.NAMESPACE_URL, "absent"))
SAMPLES = {"uuid": ABSENT, "int": "1", "slug": "absent", "str": "absent", "path": "1"}


@dataclass(frozen=True)
class Route:
    """One pattern, and an address that it matches."""

    pattern: str
    path: str
    name: str
    view: object

    @property
    def is_admin(self) -> bool:
        return self.path.startswith("/admin/")


def routes(known: Mapping[str, str] | None = None) -> list[Route]:
    """All of them; `known` gives values for parameters by name."""
    return list(_walk(get_resolver().url_patterns, "/", "/", known or {}))


def _walk(
    patterns: list[URLPattern | URLResolver],
    pattern: str,
    path: str,
    known: Mapping[str, str],
) -> Iterator[Route]:
    for each in patterns:
        here = pattern + str(each.pattern)
        if isinstance(each, URLResolver):
            deeper = path + _filled(each, known)
            yield from _walk(each.url_patterns, here, deeper, known)
        else:
            name = str(each.name or "")
            yield Route(here, path + _filled(each, known), name, each.callback)


def _filled(each: URLPattern | URLResolver, known: Mapping[str, str]) -> str:
    name = str(getattr(each, "name", "") or "")
    if isinstance(each.pattern, RoutePattern):
        return PARAMETER.sub(lambda m: _value(m, name, known), str(each.pattern))
    candidate, parameters = normalize(each.pattern.regex.pattern)[0]
    return candidate % dict.fromkeys(parameters, "absent")


def _value(found: re.Match[str], route: str, known: Mapping[str, str]) -> str:
    name, kind = found["name"], found["kind"] or "str"
    if name == "object_id":
        return _row_of(route) or SAMPLES["uuid"]
    return known.get(name) or SAMPLES[kind]


def _row_of(route: str) -> str:
    """The id of some row of the model that a page of the admin is about."""
    for model in apps.get_models():
        if route.startswith(f"{model._meta.app_label}_{model._meta.model_name}_"):
            with TESTS:
                row = model._base_manager.order_by("pk").values_list("pk").first()
            return str(row[0]) if row else ""
    return ""
