"""`manage.py db_roles`: the rights of the role that servers and workers log in with."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from apps.core import roles

APPEND_ONLY = ("audits_entry", "audits_checkpoint")
DEFAULT = "netra_app"


class Command(BaseCommand):
    """Print or run what makes the application's role."""

    help = (
        "PostgreSQL: prints the statements that make a role which owns nothing and which "
        "row-level security holds; with --apply, runs them. Log in as the owner of the tables: "
        "NETRA_OWNER_DATABASE_URL, else NETRA_DATABASE_URL. Idempotent."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--apply", action="store_true", help="Run them.")
        parser.add_argument(
            "--role",
            default="",
            help=f"Its name; else the one in NETRA_DATABASE_URL, or {DEFAULT}.",
        )

    def handle(self, *_: Any, **options: Any) -> None:
        if settings.SQLITE:
            raise CommandError("SQLite has no roles; this is for PostgreSQL.")
        apart = bool(settings.NETRA_OWNER_DATABASE_URL)
        named = settings.NETRA_DATABASE_ROLE if apart else ""
        grants = roles.Grants(
            database=connection.settings_dict["NAME"],
            owner=roles.standing(connection).name,
            app=options["role"] or named or DEFAULT,
            append_only=APPEND_ONLY,
        )
        if grants.app == grants.owner:
            raise CommandError(
                f"{grants.app!r} is the role that owns the tables. Name another in "
                "NETRA_DATABASE_URL, and this one in NETRA_OWNER_DATABASE_URL."
            )
        if not options["apply"]:
            self.stdout.write("".join(f"{line};\n" for line in grants.statements()))
            return
        own = named == grants.app
        grants.apply(connection, settings.NETRA_DATABASE_PASSWORD if own else "")
        faults = roles.standing(connection, grants.app).faults
        if faults:
            raise CommandError(
                f"The role {grants.app!r} {' and '.join(faults)}: that is not changed here. "
                "Let a superuser alter it, or name a new role."
            )
        for owner in roles.blind_owners(connection):
            self.stderr.write(
                f"Warning: the role {owner!r} owns tables whose rows it does not see; migrations "
                f"that change rows would find none. Let a superuser run: ALTER ROLE {owner} BYPASSRLS"
            )
        if options["verbosity"]:
            self.stderr.write(
                f"The role {grants.app!r} may read and write, and no more."
            )
