"""Canaries stand in no list of staff, and are looked at by audits alone."""

from __future__ import annotations

import pytest
from django.contrib import admin

from apps.core import canaries
from tests.factories import person

pytestmark = pytest.mark.security
SHOWN = sorted(
    model._meta.label_lower.replace(".", "/") for model in admin.site._registry
)


@pytest.mark.parametrize("name", SHOWN)
def test_no_list_of_the_admin_shows_a_canary(planted, client, netra, name: str):
    operator = person("admin@netra.example", netra, is_staff=True)
    operator.is_superuser = True
    operator.save()
    client.force_login(operator)
    canaries._admitted.clear()

    page = client.get(f"/admin/{name}/")

    assert page.status_code == 200
    assert "canary-" not in page.content.decode().lower()
    assert "canary a" not in page.content.decode().lower()
