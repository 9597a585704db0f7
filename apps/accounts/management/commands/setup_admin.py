"""First start outside the demo: the first platform admin and Netra's own organisation."""

from __future__ import annotations

import getpass
import sys
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.accounts import actions
from apps.core.actors import Actor
from apps.core.database import write_now
from apps.core.errors import ConflictError
from apps.core.tenancy import system


class Command(BaseCommand):
    """Asks for what it was not told."""

    help = "Create the first platform admin and Netra's own organisation."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--email")
        parser.add_argument("--name")
        parser.add_argument(
            "--password-stdin", action="store_true", help="read the password from stdin"
        )

    def handle(
        self,
        *args: Any,
        email: str | None,
        name: str | None,
        password_stdin: bool,
        **options: Any,
    ) -> None:
        email = email or _ask("E-mail address: ")
        name = name if name is not None else _ask("Name: ")
        password = (
            sys.stdin.readline().rstrip("\n") if password_stdin else _ask_password()
        )
        try:
            validate_password(password)
            user = write_now(
                system("accounts: the first platform admin"),
                lambda: actions.create_platform_admin(
                    actor=Actor.system("manage.py setup_admin"),
                    email=email,
                    name=name,
                    password=password,
                ),
            )
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        except ConflictError as error:
            raise CommandError(f"{error.message} {error.fix}") from error
        self.stderr.write(
            f"{user.email} may now sign in at /accounts/login/ and open /admin/."
        )


def _ask(question: str) -> str:
    if not sys.stdin.isatty():
        raise CommandError("Not a terminal: pass --email, --name and --password-stdin.")
    return input(question).strip()


def _ask_password() -> str:
    if not sys.stdin.isatty():
        raise CommandError(
            "Not a terminal: pass --password-stdin and send the password on stdin."
        )
    first = getpass.getpass("Password: ")
    if first != getpass.getpass("Password again: "):
        raise CommandError("The two passwords differ.")
    return first
