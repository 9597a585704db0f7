"""The API described for machines (OpenAPI) and for people (a page without script)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import (
    OpenApiJsonRenderer,
    OpenApiJsonRenderer2,
    OpenApiYamlRenderer,
    OpenApiYamlRenderer2,
)
from drf_spectacular.views import SpectacularAPIView
from rest_framework.permissions import IsAuthenticated

from apps.accounts.refusals import TITLES

METHODS = ("get", "post", "patch", "put", "delete")
TYPE = "application/problem+json"
ALWAYS = (400, 401, 403, 404, 405, 406, 429, 500, 503)
WITH_BODY = (409, 413, 415)
PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "What was refused, why, and what to do (RFC 9457).",
    "required": ["type", "title", "status", "detail", "code", "fix", "receipt_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "fix": {"type": "string"},
        "receipt_id": {"type": "string", "format": "uuid", "nullable": True},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "problem", "fix"],
                "properties": {
                    "field": {"type": "string"},
                    "problem": {"type": "string"},
                    "fix": {"type": "string"},
                },
            },
        },
    },
}
ORGANISATION: dict[str, Any] = {
    "in": "header",
    "name": "Netra-Organisation",
    "schema": {"type": "string"},
    "description": "The organisation to work in, by its slug; the oldest of yours, if left out.",
}


class SchemaView(SpectacularAPIView):
    """The OpenAPI document: JSON, or YAML for those who ask for it. For people of the installation."""

    permission_classes = [IsAuthenticated]
    renderer_classes = [
        OpenApiJsonRenderer2,
        OpenApiJsonRenderer,
        OpenApiYamlRenderer,
        OpenApiYamlRenderer2,
    ]


def add_problems(result: dict[str, Any], **_given: object) -> dict[str, Any]:
    """drf-spectacular's hook: what every operation may answer, and take, besides its own."""
    result["components"].setdefault("schemas", {})["Problem"] = PROBLEM
    for _path, method, operation in _operations(result):
        wanted = [*ALWAYS, 422]
        if method != "get":
            wanted += WITH_BODY
        for status in wanted:
            operation["responses"][str(status)] = _problem(status)
        operation.setdefault("parameters", []).append(ORGANISATION)
    return result


def _problem(status: int) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    title = TITLES.get(status, "Refused")
    return {"description": title, "content": {TYPE: {"schema": schema}}}


def _operations(schema: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, item[method])
        for path, item in sorted(schema["paths"].items())
        for method in METHODS
        if method in item
    ]


@login_required
def docs(request: HttpRequest) -> HttpResponse:
    """The same document as a page."""
    context = {"sections": _sections(), "problems": sorted(TITLES.items())}
    return render(request, "api/docs.html", context)


@lru_cache(maxsize=1)
def _sections() -> list[dict[str, Any]]:
    """Operations by resource, with their fields."""
    generator: Any = SchemaGenerator
    schema: dict[str, Any] = generator().get_schema(request=None, public=True)
    schemas = schema["components"]["schemas"]
    sections: dict[str, list[dict[str, Any]]] = {}
    for path, method, operation in _operations(schema):
        name = path.removeprefix("/api/v1/").partition("/")[0]
        sections.setdefault(name, []).append(
            {
                "path": path,
                "method": method.upper(),
                "id": operation["operationId"],
                "words": operation.get("description", ""),
                "parameters": [
                    p
                    for p in operation["parameters"]
                    if p["name"] != ORGANISATION["name"]
                ],
                "body": _fields(_of_json(operation.get("requestBody", {})), schemas),
                "answers": _answers(operation, schemas),
            }
        )
    return [{"name": name, "operations": found} for name, found in sections.items()]


def _answers(
    operation: dict[str, Any], schemas: dict[str, Any]
) -> list[dict[str, object]]:
    return [
        {"status": status, "fields": _fields(_of_json(response), schemas)}
        for status, response in operation["responses"].items()
        if status.startswith("2")
    ]


def _of_json(holder: dict[str, Any]) -> dict[str, Any]:
    found = holder.get("content", {}).get("application/json", {})
    schema: dict[str, Any] = found.get("schema", {})
    return schema


def _fields(schema: dict[str, Any], schemas: dict[str, Any]) -> list[dict[str, Any]]:
    """The fields of one object, of what a list holds, or of what a page lists."""
    named = _resolved(schema, schemas)
    if named.get("type") == "array":
        return _fields(named["items"], schemas)
    properties = named.get("properties", {})
    if {"next", "results"} <= properties.keys():
        return _fields(properties["results"], schemas)
    required = named.get("required", [])
    return [
        {
            "name": name,
            "type": _kind(field, schemas),
            "required": name in required,
            "words": field.get("description", ""),
        }
        for name, field in properties.items()
    ]


def _resolved(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    for choice in (*schema.get("allOf", ()), *schema.get("oneOf", ())):
        if "$ref" in choice:
            return _resolved(choice, schemas)
    if "$ref" not in schema:
        return schema
    found: dict[str, Any] = schemas[schema["$ref"].rpartition("/")[2]]
    return found


def _kind(field: dict[str, Any], schemas: dict[str, Any]) -> str:
    named = _resolved(field, schemas)
    if choices := named.get("enum"):
        return " | ".join(str(choice) for choice in choices)
    kind = str(named.get("format") or named.get("type", "any"))
    if kind == "array":
        kind = f"list of {_kind(named['items'], schemas)}"
    return f"{kind}, or null" if field.get("nullable") else kind
