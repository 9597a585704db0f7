"""The lock file: one server process for each SQLite installation."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from netra.env import ConfigurationError


class AlreadyRunningError(Exception):
    """Another server holds this installation."""


@contextmanager
def sole_process(folder: Path) -> Iterator[None]:
    """Hold the lock while the server runs; raises AlreadyRunningError. The system frees it on kill."""
    try:
        descriptor = os.open(folder / "netra.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ConfigurationError(
            f"NETRA_VAR is {str(folder)!r}, where nothing can be written ({error.strerror}); "
            "it must be a folder that may be written."
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = (
                os.read(descriptor, 20).decode(errors="replace").strip() or "unknown"
            )
            raise AlreadyRunningError(
                f"another Netra server (process {holder}) already uses {folder}. Stop it, or set NETRA_VAR."
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        yield
    finally:
        os.close(descriptor)
