"""Bodies that are made to hurt: deep, wide, long, or of another kind. Each is refused by name."""

from __future__ import annotations

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from tests.doors import API, JSON, api_client, problem_of

pytestmark = [pytest.mark.security, pytest.mark.integration]

TOKENS = f"{API}tokens/"
LOGIN = "/accounts/login/"


@pytest.fixture
def api(bob_principal) -> Client:
    return api_client(bob_principal)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"[" * 100_000, 400, "malformed"),
        (b'{"a":' * 100_000, 400, "malformed"),
        (b"[" * 100_000 + b"]" * 100_000, 400, "malformed"),
        (b'{"name": "' + b"a" * 2_200_000 + b'"}', 413, "too_large"),
        (b'{"days": 1' + b"0" * 5000 + b"}", 400, "malformed"),
        (b'{"days": 1e999}', 422, "invalid"),
        (b'{"days": NaN}', 400, "malformed"),
        (b"\xff\xfe\x00", 400, "malformed"),
    ],
    ids=["arrays", "objects", "closed", "long", "digits", "infinite", "nan", "bytes"],
)  # fmt: skip
def test_a_body_that_is_made_to_hurt_is_refused_by_name(
    api, body, status, code
) -> None:
    problem = problem_of(api.post(TOKENS, body, content_type=JSON))

    assert (problem["status"], problem["code"]) == (status, code)


@pytest.mark.parametrize(
    "kind",
    [
        "text/xml",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/html",
    ],
)
def test_other_kinds_of_body_are_not_read(api, kind: str) -> None:
    assert problem_of(api.post(TOKENS, b"<a/>", content_type=kind))["status"] == 415


def test_a_form_with_too_many_fields_is_refused(db) -> None:
    response = Client().post(LOGIN, {f"field{n}": "1" for n in range(600)})

    assert response.status_code == 400


def test_files_are_not_taken(db) -> None:
    files = {f"file{n}": SimpleUploadedFile(f"{n}.txt", b"x") for n in range(3)}

    assert Client().post(LOGIN, files).status_code == 400


def test_a_form_larger_than_the_limit_is_refused(db) -> None:
    assert Client().post(LOGIN, {"login": "a" * 2_200_000}).status_code in {400, 413}
