"""What settings say in production, at home, and behind proxies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from apps.core.keys import KeyStore

pytestmark = [pytest.mark.security, pytest.mark.integration]

ROOT = Path(__file__).resolve().parents[2]
ASKED = (
    "SESSION_COOKIE_NAME", "SESSION_COOKIE_SECURE", "SESSION_COOKIE_HTTPONLY",
    "SESSION_COOKIE_SAMESITE", "SESSION_COOKIE_PATH", "SESSION_COOKIE_DOMAIN",
    "CSRF_COOKIE_NAME", "CSRF_COOKIE_SECURE", "CSRF_COOKIE_SAMESITE", "CSRF_COOKIE_PATH",
    "CSRF_COOKIE_DOMAIN", "MESSAGE_STORAGE", "SECURE_HSTS_SECONDS", "SECURE_HSTS_INCLUDE_SUBDOMAINS",
    "SECURE_SSL_REDIRECT", "SECURE_PROXY_SSL_HEADER", "USE_X_FORWARDED_HOST", "NETRA_PROXIES",
    "ALLAUTH_TRUSTED_PROXY_COUNT", "DEBUG", "ACCOUNT_RATE_LIMITS",
)  # fmt: skip
PRINT = (
    "import json; from netra import settings as s; "
    f"print(json.dumps({{n: getattr(s, n) for n in {ASKED!r}}}))"
)


def python(
    folder: Path, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    KeyStore(folder / "keys").ensure(may_create=True)
    environment = {
        n: v for n, v in os.environ.items() if not n.startswith(("NETRA_", "DJANGO_"))
    }
    environment |= {"NETRA_VAR": str(folder), **variables}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def settings_of(folder: Path, **variables: str) -> dict[str, Any]:
    run = python(folder, "-c", PRINT, **variables)
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def test_production_passes_djangos_own_check_without_a_warning(tmp_path: Path) -> None:
    run = python(
        tmp_path,
        *("manage.py", "check", "--deploy", "--fail-level", "WARNING"),
        NETRA_PUBLIC_URL="https://netra.example",
        NETRA_DATABASE_URL="postgres://netra@127.0.0.1/netra",
    )

    assert (run.returncode, run.stderr) == (0, ""), run.stderr
    assert "0 silenced" in run.stdout


def test_over_tls_cookies_are_the_hosts_own(tmp_path: Path) -> None:
    told = settings_of(tmp_path, NETRA_PUBLIC_URL="https://netra.example")

    for kind in ("SESSION", "CSRF"):
        assert told[f"{kind}_COOKIE_NAME"].startswith("__Host-")
        assert told[f"{kind}_COOKIE_SECURE"] is True
        assert told[f"{kind}_COOKIE_PATH"] == "/"
        assert told[f"{kind}_COOKIE_DOMAIN"] is None
        assert told[f"{kind}_COOKIE_SAMESITE"] == "Lax"
    assert told["SESSION_COOKIE_HTTPONLY"] is True
    assert told["MESSAGE_STORAGE"] == "netra.hardening.MessageStorage"
    assert told["SECURE_HSTS_SECONDS"] >= 31_536_000
    assert told["SECURE_HSTS_INCLUDE_SUBDOMAINS"] is told["SECURE_SSL_REDIRECT"] is True
    assert told["DEBUG"] is False
    assert told["ACCOUNT_RATE_LIMITS"]


def test_at_home_cookies_have_plain_names_that_browsers_take(tmp_path: Path) -> None:
    told = settings_of(tmp_path)

    assert (told["SESSION_COOKIE_NAME"], told["CSRF_COOKIE_NAME"]) == (
        "sessionid",
        "csrftoken",
    )
    assert told["SESSION_COOKIE_HTTPONLY"] is True
    assert told["SECURE_HSTS_SECONDS"] == 0


@pytest.mark.parametrize(
    ("url", "proxies", "believed"),
    [
        ("http://127.0.0.1:8000", None, 0),
        ("http://127.0.0.1:8000", "1", 1),
        ("https://netra.example", None, 1),  # something must end TLS
        ("https://netra.example", "2", 2),
        ("https://netra.example", "0", 0),
    ],
)
def test_only_counted_proxies_are_believed(
    tmp_path: Path, url: str, proxies: str | None, believed: int
) -> None:
    given = {} if proxies is None else {"NETRA_PROXIES": proxies}

    told = settings_of(tmp_path, NETRA_PUBLIC_URL=url, **given)

    assert told["NETRA_PROXIES"] == told["ALLAUTH_TRUSTED_PROXY_COUNT"] == believed
    tls = url.startswith("https") and believed > 0
    assert (told["SECURE_PROXY_SSL_HEADER"] is not None) == tls
    assert told["USE_X_FORWARDED_HOST"] is False


@pytest.mark.parametrize("proxies", ["-1", "10", "many", "1.5"])
def test_a_number_of_proxies_that_is_none_stops_the_start(
    tmp_path: Path, proxies: str
) -> None:
    run = python(tmp_path, "manage.py", "check", NETRA_PROXIES=proxies)

    assert run.returncode == 2
    assert "NETRA_PROXIES" in run.stderr


def test_messages_travel_in_a_cookie_that_neighbours_cannot_set() -> None:
    from netra.hardening import HostCookieStorage, MessageStorage

    assert HostCookieStorage.cookie_name.startswith("__Host-")
    assert MessageStorage.storage_classes[0] is HostCookieStorage
