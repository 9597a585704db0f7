"""System checks of the ground: what can be known wrong before the first request."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.checks import Warning as Caution
from django.db import Error as DatabaseFailure
from django.db import connection

from apps.core import roles
from apps.core.flags import SWITCHES
from apps.core.keys import KeyStore, KeyStoreError
from apps.core.models import Flag

SAFE_SQLITE = (3, 51, 3)
SHARED = frozenset({"core_flag"})  # read before anybody is known
LOOPBACK = {"127.0.0.1", "localhost", "::1"}


@register(Tags.security)
def check_model(**_: Any) -> list[CheckMessage]:
    """The name of the model has the form that pydantic-ai reads."""
    provider, separator, name = settings.NETRA_MODEL.partition(":")
    if settings.NETRA_MODEL == "offline" or (provider and separator and name):
        return []
    return [
        Error(
            f"NETRA_MODEL is {settings.NETRA_MODEL!r}, which names no model.",
            hint="Use 'offline', or provider:model, for example openai:gpt-4.1-mini.",
            id="netra.E001",
        )
    ]


@register(Tags.security)
def check_keys(**_: Any) -> list[CheckMessage]:
    """Each key that encrypts or signs is 32 bytes in hex."""
    store = KeyStore(settings.NETRA_KEYS)
    found: list[CheckMessage] = []
    for purpose in ("fields", "trail", "signing"):
        try:
            name = store.newest(purpose)
            whole = len(bytes.fromhex(store.read(name).decode())) == 32
        except (KeyStoreError, ValueError):
            name, whole = f"{purpose}-N", False
        if not whole:
            found.append(
                Error(
                    f"The key {name} in {store.folder} is missing or malformed.",
                    hint="Restore it from your copy; it must be 64 hexadecimal digits.",
                    id="netra.E002",
                )
            )
    return found


@register(Tags.security)
def check_key_modes(**_: Any) -> list[CheckMessage]:
    """Nobody but the server's own user reads the keys."""
    folder = Path(settings.NETRA_KEYS)
    open_to_others = [
        path.name
        for path in (folder, *sorted(folder.glob("*")))
        if stat.S_IMODE(path.stat().st_mode) & 0o077
    ]
    if not open_to_others:
        return []
    return [
        Caution(
            f"Other users of this machine can reach {', '.join(open_to_others)} in {folder}.",
            hint=f"chmod -R go= {folder}",
            id="netra.W001",
        )
    ]


@register(Tags.security)
def check_public_url(**_: Any) -> list[CheckMessage]:
    """A public address is served without debug pages, over HTTPS, for named hosts."""
    url = urlsplit(settings.NETRA_PUBLIC_URL)
    if url.hostname in LOOPBACK:
        return []
    found: list[CheckMessage] = []
    if settings.DEBUG:
        found.append(
            Caution(
                f"NETRA_DEBUG is on while NETRA_PUBLIC_URL is {settings.NETRA_PUBLIC_URL}.",
                hint="Debug pages show settings and code to visitors: leave NETRA_DEBUG out.",
                id="netra.W002",
            )
        )
    if url.scheme != "https":
        found.append(
            Caution(
                f"NETRA_PUBLIC_URL is {settings.NETRA_PUBLIC_URL}: passwords travel in the open.",
                hint="Put a TLS proxy in front and use https://…",
                id="netra.W003",
            )
        )
    if "*" in settings.ALLOWED_HOSTS:
        found.append(
            Caution(
                "NETRA_ALLOWED_HOSTS admits every host name.",
                hint="Name the hosts, separated by commas.",
                id="netra.W004",
            )
        )
    return found


@register(Tags.database, deploy=True)
def check_sqlite(**_: Any) -> list[CheckMessage]:
    """SQLite before 3.51.3 may, very rarely, damage a WAL database with several connections."""
    if not settings.SQLITE or sqlite3.sqlite_version_info >= SAFE_SQLITE:
        return []
    return [
        Caution(
            f"SQLite {sqlite3.sqlite_version} has the WAL-reset fault that 3.51.3 mends.",
            hint="Install a newer SQLite (3.51.3 or later) for this Python, or use PostgreSQL. "
            "Netra works meanwhile: keep backups (manage.py backup).",
            id="netra.W005",
        )
    ]


@register(Tags.database)
def check_flag_names(databases: Any = None, **_: Any) -> list[CheckMessage]:
    """Each flag row switches a path that this release has."""
    if not databases:
        return []
    try:
        names = set(Flag.objects.order_by().values_list("name", flat=True).distinct())
    except DatabaseFailure:
        return []  # before the first migration there is no table, and so no wrong name
    unknown = sorted(names.difference(SWITCHES))
    if not unknown:
        return []
    return [
        Caution(
            f"Flag rows name what is no switch: {', '.join(unknown)}.",
            hint=f"They switch nothing; remove them. Switches are: {', '.join(SWITCHES)}.",
            id="netra.W006",
        )
    ]


@register(Tags.database, deploy=True)
def check_database_role(databases: Any = None, **_: Any) -> list[CheckMessage]:
    """The application's role is one that row-level security holds, and so are all its tables."""
    if settings.SQLITE or not databases:
        return []
    found: list[CheckMessage] = []
    held = roles.standing(connection)
    kind = Error if settings.PRODUCTION else Caution
    if held.faults:
        found.append(
            kind(
                f"The database role {held.name!r} {' and '.join(held.faults)}.",
                hint="Row-level security does not hold it. Run manage.py db_roles, and name in "
                "NETRA_DATABASE_URL the role that it makes.",
                id="netra.E005" if kind is Error else "netra.W008",
            )
        )
    found += [
        Caution(
            f"The role {owner!r} owns tables whose rows it does not see: migrations that change "
            "rows would find none, and say that all went well.",
            hint=f"Let a superuser run: ALTER ROLE {owner} BYPASSRLS",
            id="netra.W009",
        )
        for owner in roles.blind_owners(connection)
    ]
    open_tables = roles.unguarded(connection, apart=SHARED)
    if open_tables:
        found.append(
            Error(
                f"Tables of organisations without row-level security: {', '.join(open_tables)}.",
                hint="Run manage.py migrate; if that changes nothing, somebody disabled it.",
                id="netra.E006",
            )
        )
    return found
