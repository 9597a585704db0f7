"""`manage.py rotate_keys`: a new key, and everything sealed anew with it. May be stopped and repeated."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, ProgrammingError

from apps.accounts import actions
from apps.accounts.actions.keys import Batch, Key
from apps.core.actors import Actor
from apps.core.database import write_now
from apps.core.errors import NetraError
from apps.core.keys import KeyStore, KeyStoreError
from apps.core.tenancy import system

ACTOR = Actor.system("rotate_keys")
SCOPE = system("accounts: a new key seals every organisation's secrets anew")
RESTART = {
    "fields": "Running servers use it at once.",
    "trail": "Running servers use it for their next entries; the older key verifies older ones: keep it.",
    "signing": "Running servers use it for their next checkpoints; keep the older key's public half.",
    "secret": "Restart the servers. What the older one signed stays valid until you remove its file.",
}


class Command(BaseCommand):
    """Makes the next key and seals with it what an older one sealed."""

    help = (
        "Makes the next key of a purpose. For 'fields' it also seals every encrypted value anew, in "
        "small batches. When values still name an older key (an earlier run was stopped, or you "
        "copied a new key file to several machines first), it makes no new key and finishes that."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--purpose", choices=sorted(RESTART), default="fields", help="which key"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        purpose: str = options["purpose"]
        if purpose == "secret" and os.environ.get("NETRA_SECRET_KEY"):
            raise CommandError(
                "NETRA_SECRET_KEY is set, so the secret is not a file of ours. Change it there."
            )
        try:
            if purpose != "fields" or not self._stale():
                self._make(purpose)
            if purpose == "fields":
                self._reseal()
        except (KeyStoreError, OSError) as error:
            raise CommandError(f"{error}.") from error
        except NetraError as error:
            raise CommandError(f"{error.message} {error.fix}") from error
        except (OperationalError, ProgrammingError) as error:
            raise CommandError(
                f"The database is not ready ({error}). Is it there, and migrated?"
            ) from error

    def _make(self, purpose: str) -> None:
        name = write_now(SCOPE, lambda: actions.make_key(actor=ACTOR, purpose=purpose))
        self.stdout.write(f"{name} is the new key. {RESTART[purpose]}")

    def _stale(self) -> int:
        newest, *older = KeyStore(settings.NETRA_KEYS).all("fields")
        left = _naming(older, newest)
        if left:
            self.stdout.write(
                f"{left} values still name a key older than {newest}: finishing that first."
            )
        return left

    def _reseal(self) -> None:
        newest = KeyStore(settings.NETRA_KEYS).newest("fields")
        sealed, lost = 0, list[str]()
        for what, batch in self._batches(newest):
            sealed += batch.sealed
            lost += batch.lost
            self.stdout.write(f"  {what}: {sealed} values sealed with {newest}")
        write_now(
            SCOPE,
            lambda: actions.note_resealed(
                actor=ACTOR, name=newest, values=sealed, lost=len(lost)
            ),
        )
        if lost:
            raise CommandError(
                f"{len(lost)} values could not be opened and stay as they are: {', '.join(lost[:20])}. "
                "Restore the key that they name, and run this again."
            )
        if left := _naming(KeyStore(settings.NETRA_KEYS).all("fields")[1:], newest):
            raise CommandError(
                f"{left} values were changed meanwhile by a server that has an older key only. Give "
                f"every server {newest}, and run this again."
            )
        self.stdout.write(
            f"Nothing names an older key than {newest}. Keep the old files as long as you keep backups "
            "that were made with them."
        )

    def _batches(self, newest: str) -> Iterator[tuple[str, Batch]]:
        for model, field in actions.sealed_columns():

            def column(after: Key, model: Any = model, field: Any = field) -> Batch:
                return actions.reseal_column(
                    actor=ACTOR, model=model, field=field, newest=newest, after=after
                )

            yield from _walk(f"{model._meta.db_table}.{field.attname}", column)

        def factors(after: Key) -> Batch:
            return actions.reseal_second_factors(
                actor=ACTOR, newest=newest, after=after
            )

        yield from _walk("second factors", factors)


def _naming(older: list[str], newest: str) -> int:
    """How many values name one of the older keys that we have."""
    with SCOPE:
        return sum(
            actions.stale(model, field, newest)
            .filter(stored__startswith=f"{name}:")
            .count()
            for model, field in actions.sealed_columns()
            for name in older
        )


def _walk(what: str, step: Callable[[Key], Batch]) -> Iterator[tuple[str, Batch]]:
    """One bounded unit after another, until there is none left."""
    after: Key = None
    while True:
        start = after
        batch = write_now(SCOPE, lambda start=start: step(start))  # type: ignore[misc]
        if batch.last is None:
            return
        yield what, batch
        after = batch.last
