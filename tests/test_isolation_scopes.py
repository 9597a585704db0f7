"""That the tests of scopes can fail: each tenant's table is given the manager that Django would give it."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import models

from tests import test_models

pytestmark = pytest.mark.security
TENANTS = test_models.TENANTS


def compiled(rows: Any) -> str:
    """A query's text, for which no database is asked; ids only, since words have a guard beside."""
    return str(rows.values("pk").query)


@pytest.fixture(params=TENANTS, ids=[model._meta.label for model in TENANTS])
def open_model(request, monkeypatch) -> type[models.Model]:
    """A table whose rows are found without a scope."""
    model: type[models.Model] = request.param
    plain: Any = models.Manager()
    plain.model, plain.name = model, "objects"
    for name in ("default_manager", "base_manager"):
        monkeypatch.setitem(model._meta.__dict__, name, plain)
    return model


def test_a_query_outside_a_scope_is_noticed(open_model):
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        test_models.test_no_query_runs_outside_a_scope(open_model, compiled)


def test_a_query_that_names_no_tenant_is_noticed(open_model):
    with pytest.raises(AssertionError):
        test_models.test_a_tenants_query_names_that_tenant_and_no_other(open_model)


@pytest.mark.parametrize("model", TENANTS, ids=[model._meta.label for model in TENANTS])
def test_with_its_own_manager_both_are_content(model):
    test_models.test_no_query_runs_outside_a_scope(model, compiled)
    test_models.test_a_tenants_query_names_that_tenant_and_no_other(model)
