"""Each system check complains about what it is for, with a hint, and about nothing else."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from django.core.checks import CheckMessage
from django.core.checks.registry import registry

from apps.core import checks
from apps.core.keys import KeyStore


def ids(found: list[CheckMessage]) -> list[str]:
    assert all(message.hint for message in found)
    return [str(message.id) for message in found]


@pytest.fixture
def keys(tmp_path: Path, settings) -> Path:
    settings.NETRA_KEYS = tmp_path / "keys"
    KeyStore(settings.NETRA_KEYS).ensure(may_create=True)
    return settings.NETRA_KEYS


def test_the_settings_of_the_tests_pass_every_check() -> None:
    found = [
        message
        for check in registry.get_checks(include_deployment_checks=False)
        if check.__module__.startswith("apps.")
        for message in check(app_configs=None, databases=None)
    ]

    assert found == []


@pytest.mark.parametrize("name", ["offline", "openai:gpt-4.1-mini", "anthropic:claude"])
def test_model_names_that_are_accepted(name: str, settings) -> None:
    settings.NETRA_MODEL = name

    assert checks.check_model() == []


@pytest.mark.parametrize("name", ["gpt-4", "openai:", ":gpt-4", "Offline"])
def test_e001_a_model_name_of_another_form_is_an_error(name: str, settings) -> None:
    settings.NETRA_MODEL = name

    found = checks.check_model()

    assert ids(found) == ["netra.E001"]
    assert repr(name) in found[0].msg


@pytest.mark.parametrize("key", ["fields-1", "trail-1", "signing-1"])
@pytest.mark.parametrize("content", ["", "not hex", "ab" * 31, None])
def test_e002_a_key_that_is_missing_or_malformed_is_an_error(
    key: str, content: str | None, keys: Path
) -> None:
    if content is None:
        (keys / key).unlink()
    else:
        (keys / key).write_text(content)

    found = checks.check_keys()

    assert ids(found) == ["netra.E002"]
    assert key.partition("-")[0] in found[0].msg


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_w001_a_key_that_others_may_read_is_a_warning(mode: int, keys: Path) -> None:
    (keys / "signing-1").chmod(mode)

    found = checks.check_key_modes()

    assert ids(found) == ["netra.W001"]
    assert "signing-1" in found[0].msg


def test_w001_a_folder_of_keys_that_others_may_open_is_a_warning(keys: Path) -> None:
    keys.chmod(0o755)

    assert ids(checks.check_key_modes()) == ["netra.W001"]


def test_keys_as_they_are_made_are_private_whatever_the_umask(keys: Path) -> None:
    assert checks.check_key_modes() == []
    assert checks.check_keys() == []


def test_a_public_https_address_without_debug_is_fine(settings) -> None:
    settings.NETRA_PUBLIC_URL, settings.DEBUG = "https://netra.example", False

    assert checks.check_public_url() == []


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("DEBUG", True, "netra.W002"),
        ("NETRA_PUBLIC_URL", "http://netra.example", "netra.W003"),
        ("ALLOWED_HOSTS", ["*"], "netra.W004"),
    ],
)
def test_w002_to_w004_a_careless_public_address_is_a_warning(
    name: str, value: object, expected: str, settings
) -> None:
    settings.NETRA_PUBLIC_URL, settings.DEBUG = "https://netra.example", False
    setattr(settings, name, value)

    assert ids(checks.check_public_url()) == [expected]


def test_on_this_machine_alone_debug_and_http_are_fine(settings) -> None:
    settings.NETRA_PUBLIC_URL, settings.DEBUG = "http://127.0.0.1:8000", True

    assert checks.check_public_url() == []


@pytest.mark.parametrize(
    ("version", "sqlite", "expected"),
    [
        ((3, 51, 2), True, ["netra.W005"]),
        ((3, 51, 3), True, []),
        ((3, 40, 1), False, []),
    ],
)
def test_w005_an_sqlite_with_the_wal_reset_fault_is_a_warning(
    version, sqlite, expected, settings, monkeypatch
) -> None:
    settings.SQLITE = sqlite
    monkeypatch.setattr(sqlite3, "sqlite_version_info", version)

    assert ids(checks.check_sqlite()) == expected
