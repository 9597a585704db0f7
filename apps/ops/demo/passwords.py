"""The demo's random passwords: made once, kept in one file that only the owner may read."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from django.conf import settings
from django.contrib.auth.hashers import PBKDF2PasswordHasher, get_hasher, make_password

NAME = "demo-passwords.json"
RANDOM_BYTES = 12
# 96 random bits need no stretching; seven slow hashes would cost seconds. The first login
# replaces each by one of full strength (Django upgrades hashes by itself).
ITERATIONS = 10_000


def kept() -> dict[str, str]:
    """E-mail address → password, as stored; empty when the demo was never seeded here."""
    try:
        known = json.loads(_path().read_text())
    except FileNotFoundError:
        return {}
    return {str(email): str(password) for email, password in known.items()}


def ensure(emails: Iterable[str]) -> dict[str, str]:
    """Passwords for `emails`: kept ones stay, missing ones are made and stored before use."""
    known = kept()
    made = {
        email: secrets.token_urlsafe(RANDOM_BYTES)
        for email in emails
        if email not in known
    }
    if made:
        known |= made
        _store(known)
    return known


def hashed(password: str) -> str:
    """The password as the user's row holds it."""
    hasher = get_hasher()
    if isinstance(hasher, PBKDF2PasswordHasher):
        return hasher.encode(password, hasher.salt(), ITERATIONS)
    return make_password(password)


def _path() -> Path:
    return Path(settings.NETRA_VAR) / NAME


def _store(known: dict[str, str]) -> None:
    path = _path()
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(known, file, indent=2)
    fresh.replace(path)
