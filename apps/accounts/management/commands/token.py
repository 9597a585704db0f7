"""Print a new API bearer token."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.accounts import actions
from apps.accounts.access import principal_for
from apps.accounts.models import User
from apps.core.actors import Actor
from apps.core.database import write_now
from apps.core.errors import NetraError, NotAllowedError


class Command(BaseCommand):
    """The secret alone goes to stdout; everything for people goes to stderr."""

    help = "Print a new API bearer token of one person in one organisation."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email")
        parser.add_argument(
            "--organisation", metavar="SLUG", help="default: the one joined first"
        )
        parser.add_argument(
            "--name", default="Command line", help="how the token is listed"
        )

    def handle(
        self,
        *args: Any,
        email: str,
        organisation: str | None,
        name: str,
        **options: Any,
    ) -> None:
        user = User.objects.filter(email__iexact=email.strip(), is_active=True).first()
        if user is None:
            raise CommandError(f"There is no active user {email!r}.")
        try:
            principal = principal_for(user.pk, organisation)
        except NotAllowedError as error:
            where = (
                f"the organisation {organisation!r}"
                if organisation
                else "any active organisation"
            )
            raise CommandError(f"{user.email} does not belong to {where}.") from error
        make = partial(
            actions.create_token,
            actor=Actor.system("manage.py token"),
            user=user,
            organisation_id=principal.organisation_id,
            name=name,
        )
        try:
            secret = write_now(principal.scope, make)
        except NetraError as error:
            raise CommandError(f"{error.message} {error.fix}") from error
        self.stdout.write(secret)
        self.stderr.write(
            f"Token of {user.email} in {principal.organisation_name}. It is shown only now."
        )
