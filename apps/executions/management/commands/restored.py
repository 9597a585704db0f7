"""`manage.py restored`: what must be done once after a backup was put back, before the server starts."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from apps.core.database import write_now
from apps.core.tenancy import system
from apps.executions import epochs

RESTORED = system("restored: every log begins a new epoch")


class Command(BaseCommand):
    """Let clients notice that the logs are not the ones they know."""

    help = "Run once after a backup was restored: clients then load their threads anew."

    def handle(self, *args: Any, **options: Any) -> None:
        number = write_now(RESTORED, epochs.begin)
        self.stdout.write(f"{number} threads began a new epoch.")
        self.stdout.write(
            "Sessions and tokens are as they were when the backup was made: what was revoked "
            "after it is valid again. Revoke it anew before you let people in."
        )
