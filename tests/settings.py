"""Settings of the tests: the product's own, in a folder of their own, with a fast password hasher.

NETRA_TEST_DATABASE_URL runs the same tests on PostgreSQL. No other variable of the caller counts.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

DATABASE_URL = os.environ.get("NETRA_TEST_DATABASE_URL", "")
_KEPT = {"NETRA_TEST_DATABASE_URL", "NETRA_TEST_REDIS_URL", "NETRA_CI"}
for _name in [name for name in os.environ if name.startswith("NETRA_")]:
    if _name not in _KEPT:
        del os.environ[_name]
for _name in (
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_BASE_URL",
):
    os.environ.pop(_name, None)

FOLDER = Path(tempfile.mkdtemp(prefix="netra-tests-"))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
os.environ["NETRA_VAR"] = str(FOLDER)
(FOLDER / "staticfiles").mkdir()  # whitenoise warns when it is missing
os.environ["NETRA_DEMO"] = "1"
if DATABASE_URL:
    os.environ["NETRA_DATABASE_URL"] = DATABASE_URL

from netra.settings import *  # noqa: E402, F403
from netra.settings import DATABASES, SQLITE  # noqa: E402

_TEST: dict[str, Any] = DATABASES["default"].setdefault("TEST", {})
if SQLITE:
    # A file, since reader and writer threads need connections of their own to it.
    _TEST["NAME"] = str(FOLDER / "tests.sqlite3")
    _OPTIONS = DATABASES["default"]["OPTIONS"]
    _OPTIONS["init_command"] = _OPTIONS["init_command"].replace(
        "synchronous=NORMAL", "synchronous=OFF"
    )
else:
    _TEST["NAME"] = f"test_netra_{os.getpid()}"

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
