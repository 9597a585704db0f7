"""The API's own description: complete, valid, and readable without script."""

from __future__ import annotations

import json

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import get_resolver

from netra import api_urls
from tests.doors import API


@pytest.fixture
def client(bob):
    """Somebody of the installation: strangers are not told what it offers."""
    member = Client()
    member.force_login(bob)
    return member


@pytest.fixture
def schema(client):
    return client.get(f"{API}schema/").json()


def test_the_description_is_made_without_warning(tmp_path, db):
    out = tmp_path / "schema.json"

    call_command(
        "spectacular", "--fail-on-warn", "--validate", "--format", "openapi-json",
        "--file", str(out),
    )  # fmt: skip

    assert json.loads(out.read_text())["openapi"].startswith("3.")


def test_every_resource_is_described(schema):
    described = {path.replace("{", "").replace("}", "") for path in schema["paths"]}
    offered = {
        API
        + str(route.pattern).replace("<uuid:", "").replace("<int:", "").replace(">", "")
        for route in api_urls.urlpatterns
    }

    assert offered - described == {f"{API}schema/", f"{API}docs/"}
    assert get_resolver().resolve(f"{API}me/")


def test_every_operation_may_be_refused_with_a_problem(schema):
    for item in schema["paths"].values():
        for operation in item.values():
            for status in ("401", "404", "422", "429"):
                content = operation["responses"][status]["content"]
                assert list(content) == ["application/problem+json"]


@pytest.mark.security
def test_strangers_are_not_told_what_the_api_offers(db):
    schema, page = (Client().get(f"{API}{name}/") for name in ("schema", "docs"))

    assert schema.status_code == 401
    assert (page.status_code, page["Location"].partition("?")[0]) == (
        302,
        "/accounts/login/",
    )


def test_it_also_comes_as_yaml(client):
    response = client.get(
        f"{API}schema/", headers={"Accept": "application/vnd.oai.openapi"}
    )

    assert response.content.startswith(b"openapi:")


def test_the_page_lists_every_operation_and_loads_nothing_from_elsewhere(
    client, schema
):
    response = client.get(f"{API}docs/")

    page = response.content.decode()
    assert response.status_code == 200
    for path, item in schema["paths"].items():
        assert f"<code>{path}</code>" in page
        for operation in item.values():
            assert f'id="{operation["operationId"]}"' in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    assert "style=" not in page
    assert "'unsafe" not in response["Content-Security-Policy"]
