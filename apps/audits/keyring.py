"""The trail's keys, read once each: a new newest key is seen without a restart.

Where keys lie and how they are made is told by core.keys.
"""

from __future__ import annotations

import os
import re
import time
from functools import lru_cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from django.conf import settings

from apps.core.keys import KeyStore, KeyStoreError

TRAIL, SIGNING = "trail", "signing"
NAME = re.compile(r"[a-z]+-[0-9]{1,9}")
KEPT = 64  # keys in memory
SETTLED = 1_000_000_000  # nanoseconds; a folder that changed just now may change again


class Keyring:
    """The keys of one folder. What a key file holds never changes; which files there are may."""

    def __init__(self, folder: Path) -> None:
        self._store, self._folder = KeyStore(folder), str(folder)
        self._keys: dict[str, bytes] = {}
        self._newest: dict[str, tuple[int, str]] = {}

    def newest(self, purpose: str) -> str:
        """The name of the newest key of a purpose; the folder's own time says when to look anew."""
        changed = os.stat(self._folder).st_mtime_ns  # noqa: PTH116 - asked for each entry
        known = self._newest.get(purpose)
        if known is not None and known[0] == changed:
            return known[1]
        name = self._store.newest(purpose)
        if time.time_ns() - changed > SETTLED:
            self._newest[purpose] = changed, name
        return name

    def key(self, name: str) -> bytes:
        """The key's bytes. Raises KeyStoreError where there is none of that name."""
        known = self._keys.get(name)
        if known is not None:
            return known
        if not NAME.fullmatch(name):
            raise KeyStoreError(f"{name!r} is no name of a key")
        key = bytes.fromhex(self._store.read(name).decode())
        if len(self._keys) >= KEPT:
            self._keys.clear()
        self._keys[name] = key
        return key

    def find(self, name: str) -> bytes | None:
        """The key's bytes, or None where the folder has none of that name."""
        try:
            return self.key(name)
        except KeyStoreError:
            return None


@lru_cache(maxsize=4)
def _of(folder: Path) -> Keyring:
    return Keyring(folder)


def keyring() -> Keyring:
    """The installation's."""
    return _of(settings.NETRA_KEYS)


def trail_key(name: str) -> bytes | None:
    """The key that seals entries under this name; None where it is not here, or seals none."""
    return keyring().find(name) if name.startswith(f"{TRAIL}-") else None


def sign(name: str, text: str) -> bytes:
    """The Ed25519 signature of a text by the key of that name."""
    return Ed25519PrivateKey.from_private_bytes(keyring().key(name)).sign(text.encode())


def public_key(name: str) -> Ed25519PublicKey | None:
    """The public half of a signing key; None where there is no such key here."""
    if not name.startswith(f"{SIGNING}-"):
        return None
    key = keyring().find(name)
    return Ed25519PrivateKey.from_private_bytes(key).public_key() if key else None
