"""Key files: made at first start, mode 0700/0600, each named by purpose and number.

Knows files and bytes only; settings say where they lie.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

PURPOSES = ("secret", "fields-1", "trail-1", "signing-1")


class KeyStoreError(Exception):
    """A key is missing, unreadable, or may not be made here."""


class KeyStore:
    """The keys in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def ensure(self, *, may_create: bool) -> None:
        """Check that every key is there; make the missing ones where that is allowed."""
        missing = [name for name in PURPOSES if not self.all(name.removesuffix("-1"))]
        if missing and not may_create:
            raise KeyStoreError(
                f"the keys {', '.join(missing)} are missing in {self.folder}; in production they "
                "are never made by themselves. Restore them, or run once with NETRA_DEBUG=1."
            )
        for name in missing:
            self._create(name)

    def read(self, name: str) -> bytes:
        try:
            key = (self.folder / name).read_bytes().strip()
        except OSError as error:
            raise KeyStoreError(
                f"cannot read the key {name!r}: {error.strerror}"
            ) from error
        if not key:
            raise KeyStoreError(f"the key {name!r} in {self.folder} is empty")
        return key

    def newest(self, purpose: str) -> str:
        """The name of the newest key of `purpose`, for example 'fields-2'."""
        names = self.all(purpose)
        if not names:
            raise KeyStoreError(f"there is no {purpose} key in {self.folder}")
        return names[0]

    def all(self, purpose: str) -> list[str]:
        """The names of all keys of `purpose`, the newest first; the first secret has no number."""
        numbers = [
            int(path.name.rpartition("-")[2])
            for path in self.folder.glob(f"{purpose}-*")
            if path.name.rpartition("-")[2].isdigit()
        ]
        names = [f"{purpose}-{number}" for number in sorted(numbers, reverse=True)]
        return [*names, purpose] if (self.folder / purpose).exists() else names

    def add(self, purpose: str) -> str:
        """Make the next key of `purpose` and return its name; the older ones stay."""
        newest = self.newest(purpose)
        number = newest.rpartition("-")[2]
        name = f"{purpose}-{int(number) + 1 if number.isdigit() else 2}"
        self._create(name)
        return name

    def _create(self, name: str) -> None:
        """Write a new key beside its place and link it there: whole, or not at all."""
        draft = self.folder / f".{name}.{secrets.token_hex(4)}"
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_hex(32))
                file.flush()
                os.fsync(file.fileno())  # what it seals may outlive a power cut
            with contextlib.suppress(FileExistsError):  # another process was first
                os.link(draft, self.folder / name)
            draft.unlink()
            self._sync_folder()
        except OSError as error:
            raise KeyStoreError(
                f"cannot make the key {name!r} in {self.folder}: {error.strerror}"
            ) from error

    def _sync_folder(self) -> None:
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
