"""Connections of Django to databases of their own, for tests that provoke what databases say."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from django.db import Error
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import ConnectionHandler

POSTGRES = os.environ.get(
    "NETRA_TEST_DATABASE_URL", "postgres://postgres@127.0.0.1:5432/postgres"
)


class AbsentError(Exception):
    """There is no PostgreSQL here."""


def on_sqlite(name: Path | str, *, timeout: float = 0.05, **options: Any):
    """A connection to a SQLite file, by the backend that Netra uses."""
    options = {"transaction_mode": "IMMEDIATE", "timeout": timeout, **options}
    options.setdefault(
        "init_command", "PRAGMA journal_mode=WAL;PRAGMA wal_autocheckpoint=0"
    )
    settings = {"ENGINE": "apps.core.sqlite", "NAME": str(name), "OPTIONS": options}
    return ConnectionHandler({"default": settings})["default"]


class Postgres:
    """A database of its own on the PostgreSQL server, and ways to connect to it."""

    def __init__(self) -> None:
        self.address = urlsplit(POSTGRES)
        self.name = f"netra_errors_{uuid.uuid4().hex[:10]}"
        self.role = f"{self.name}_role"

    def create(self) -> None:
        self.admin(f'CREATE DATABASE "{self.name}"')
        self.admin(f'CREATE ROLE "{self.role}" LOGIN CONNECTION LIMIT 0')

    def drop(self) -> None:
        self.admin(f'DROP DATABASE IF EXISTS "{self.name}" WITH (FORCE)')
        self.admin(f'DROP ROLE IF EXISTS "{self.role}"')

    def admin(self, statement: str) -> None:
        url = self.address._replace(scheme="postgresql", path="/postgres").geturl()
        try:
            with psycopg.connect(url, autocommit=True, connect_timeout=3) as server:
                server.execute(statement)  # type: ignore[arg-type]  # made here
        except psycopg.OperationalError as error:
            raise AbsentError(f"PostgreSQL is absent: {error}") from error

    def connect(self, **changes: Any) -> BaseDatabaseWrapper:
        settings = {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": self.name,
            "USER": self.address.username or "",
            "PASSWORD": self.address.password or "",
            "HOST": self.address.hostname or "",
            "PORT": str(self.address.port or 5432),
        }
        return ConnectionHandler({"default": settings | changes})["default"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run(database: BaseDatabaseWrapper, *statements: str) -> Any:
    """Run them one after the other; returns the rows of the last, if it has any."""
    with database.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return cursor.fetchall() if cursor.description else None


@contextmanager
def closing(*databases: BaseDatabaseWrapper) -> Iterator[None]:
    try:
        yield
    finally:
        for database in databases:
            database.close()


def error_of(call: Callable[[], object]) -> Error:
    """What Django raises for it."""
    try:
        call()
    except Error as error:
        return error
    raise AssertionError("nothing was refused")
