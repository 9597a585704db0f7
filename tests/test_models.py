"""Rules for every table of Netra: whose its rows are, where its keys point, what guards it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.db import models
from django_scopes.exceptions import ScopeError

from apps.core.tenancy import (
    NoScopeError,
    Scope,
    ScopeKind,
    TenantModel,
    current_scope,
    staff,
    system,
    tenant,
)
from tests.sources import COLUMN

OURS = [
    model
    for model in apps.get_models(include_auto_created=True)
    if model.__module__.startswith("apps.")
]
# Tables that belong to no single organisation.
SHARED = {
    "User", "User_groups", "User_user_permissions", "Organisation", "Breaker", "Flag",
    "SignIn",
}  # fmt: skip
TENANTS = [model for model in OURS if model.__name__ not in SHARED]
ids = [model._meta.label for model in TENANTS]
A, B = uuid.uuid4(), uuid.uuid4()


def organisation_field(model: type[models.Model]) -> str:
    return "organisation" if issubclass(model, TenantModel) else "organisation_id"


def test_there_are_tables_to_check() -> None:
    assert {"executions.Execution", "chat.Message", "audits.Receipt"} <= set(ids)


@pytest.mark.parametrize("model", TENANTS, ids=ids)
def test_every_row_names_its_organisation(model: type[models.Model]) -> None:
    field = model._meta.get_field(organisation_field(model))

    assert not field.null
    assert model._meta.base_manager_name == "objects"
    assert type(model._default_manager) is type(model._base_manager)


def _keys(model: type[models.Model]) -> list[Any]:
    return [
        field
        for field in model._meta.get_fields()
        if field.concrete and field.is_relation and field.related_model in OURS
    ]


@pytest.mark.parametrize("model", OURS, ids=[m._meta.label for m in OURS])
def test_foreign_keys_point_down_and_are_not_seen_from_below(
    model: type[models.Model],
) -> None:
    own = COLUMN.index(model._meta.app_label)
    for field in _keys(model):
        target = field.related_model._meta.app_label

        assert COLUMN.index(target) <= own, f"{field} points up"
        if target != model._meta.app_label:
            assert field.remote_field.related_name == "+", (
                f"{field} can be followed from below"
            )


@pytest.mark.parametrize(
    "model", [m for m in OURS if m._meta.app_label == "audits"], ids=str
)
def test_the_tables_of_audits_hold_values_and_no_foreign_keys(
    model: type[models.Model],
) -> None:
    assert _keys(model) == []


QUERIES: dict[str, Callable[[Any], object]] = {
    "all": lambda rows: list(rows.all()),
    "first": lambda rows: rows.first(),
    "count": lambda rows: rows.count(),
    "exists": lambda rows: rows.exists(),
    "exclude": lambda rows: rows.exclude(pk=None).exists(),
    "distinct": lambda rows: rows.distinct().exists(),
    "get": lambda rows: rows.get(pk=uuid.uuid4()),
    "in_bulk": lambda rows: rows.in_bulk([uuid.uuid4()]),
    "values": lambda rows: list(rows.values("pk")),
    "aggregate": lambda rows: rows.aggregate(n=models.Count("pk")),
    "update": lambda rows: rows.update(pk=uuid.uuid4()),
    "delete": lambda rows: rows.all().delete(),
    "create": lambda rows: rows.create(),
    "bulk_create": lambda rows: rows.bulk_create([]),
    "raw": lambda rows: list(rows.raw("SELECT 1")),
    "subquery": lambda rows: str(rows.exclude(pk=None).query),
}


@pytest.mark.mission_critical
@pytest.mark.security
@pytest.mark.parametrize("ask", QUERIES.values(), ids=QUERIES)
@pytest.mark.parametrize("model", TENANTS, ids=ids)
def test_no_query_runs_outside_a_scope(
    model: type[models.Model], ask: Callable[[Any], object]
) -> None:
    for manager in (model._default_manager, model._base_manager):
        with pytest.raises(ScopeError):
            ask(manager)


@pytest.mark.django_db
@pytest.mark.security
@pytest.mark.parametrize("model", TENANTS, ids=ids)
def test_no_row_is_saved_or_deleted_outside_a_scope(model: type[models.Model]) -> None:
    row = model(pk=uuid.uuid4())

    with pytest.raises(ScopeError):
        row.save(force_update=True)
    if issubclass(model, TenantModel):
        with pytest.raises((ScopeError, NoScopeError)):
            row.delete()
    with pytest.raises(ScopeError):
        row.refresh_from_db()


@pytest.mark.mission_critical
@pytest.mark.security
@pytest.mark.parametrize("model", TENANTS, ids=ids)
def test_a_tenants_query_names_that_tenant_and_no_other(
    model: type[models.Model],
) -> None:
    with tenant(A):
        mine = model._default_manager.filter(pk=uuid.uuid4()).query.sql_with_params()[1]
    with tenant(A), tenant(B):
        inner = model._base_manager.all().query.sql_with_params()[1]

    assert any(A.hex in str(value).replace("-", "") for value in mine)
    assert any(B.hex in str(value).replace("-", "") for value in inner)
    assert not any(A.hex in str(value).replace("-", "") for value in inner)


def test_a_tenant_inside_a_system_scope_is_a_tenant_again() -> None:
    model = TENANTS[0]
    with system("a test"), tenant(A):
        values = model._default_manager.all().query.sql_with_params()[1]

        assert any(A.hex in str(value).replace("-", "") for value in values)
        assert current_scope().tenant_id == A


@pytest.mark.security
def test_a_scope_ends_even_when_its_block_fails() -> None:
    with pytest.raises(ZeroDivisionError), tenant(A):
        1 / 0  # noqa: B018

    with pytest.raises(NoScopeError):
        current_scope()
    with pytest.raises(ScopeError):
        TENANTS[0]._default_manager.exists()


@pytest.mark.security
@pytest.mark.parametrize(
    "scope",
    [
        Scope(ScopeKind.TENANT),
        Scope(ScopeKind.TENANT, A, "x"),
        Scope(ScopeKind.STAFF, None, "x"),
    ],  # type: ignore[arg-type]
    ids=["no organisation", "no person", "no staff"],
)
def test_a_scope_that_cannot_be_told_to_the_database_is_not_left_open(scope) -> None:
    with pytest.raises((NoScopeError, AttributeError)):
        scope.__enter__()

    with pytest.raises(NoScopeError):
        current_scope()
    with pytest.raises(ScopeError):
        TENANTS[0]._default_manager.exists()


@pytest.mark.security
@pytest.mark.parametrize(
    "value", [None, "", "acme", "00000000-0000-4000-8000-000000000001", 1, [], {}]
)
def test_a_tenants_scope_takes_one_uuid_and_nothing_else(value: object) -> None:
    with pytest.raises(TypeError):
        tenant(value)


def test_scopes_without_an_organisation_or_a_user_say_so() -> None:
    with pytest.raises(NoScopeError):
        _ = staff(uuid.uuid4()).tenant_id
    with pytest.raises(NoScopeError):
        _ = tenant(A).person_id


# -- constraints -----------------------------------------------------------------------


@pytest.mark.parametrize("model", OURS, ids=[m._meta.label for m in OURS])
def test_every_constraint_and_index_has_a_speaking_name(
    model: type[models.Model],
) -> None:
    for constraint in model._meta.constraints:
        assert constraint.name.startswith(f"{model._meta.app_label}_")
    for index in model._meta.indexes:
        assert index.name.startswith(model._meta.app_label)
