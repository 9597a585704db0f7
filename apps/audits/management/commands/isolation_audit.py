"""`manage.py isolation_audit`: tries every door from one canary organisation to another."""

from __future__ import annotations

import logging
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.audits.isolation import bundle, story
from apps.audits.isolation.actions import AuditRunningError
from apps.audits.models import IsolationAudit, Probe
from apps.core.actors import Actor

EXIT = {"passed": 0, "breached": 1, "inconclusive": 2}
WIDTH = 30  # characters of the bar
SHOWN = 50  # probes that are named


@contextmanager
def _quietly() -> Iterator[None]:
    """An audit is made of refusals: none of them is news to the log."""
    log = logging.getLogger("django.request")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(before)


class Command(BaseCommand):
    """Proves that no organisation sees another's rows, or names where one does."""

    help = (
        "Audits this installation's isolation: as one canary organisation against another, over every "
        "declared surface. Exit code 0: all passed; 1: something was breached; 2: something could "
        "not be proved."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--out", metavar="FILE", type=Path, help="write the signed bundle there"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        actor = Actor.system("command isolation_audit")
        try:
            with _quietly():
                audit = story.conduct(actor=actor, trigger="command", watch=self._watch)
        except AuditRunningError as error:
            raise CommandError(f"{error.message} {error.fix}", returncode=2) from error
        self._clear()
        with story.OWN:
            self._tell(audit)
            if options["out"] is not None:
                self._write(audit, options["out"])
        sys.exit(EXIT[audit.verdict])

    def _tell(self, audit: IsolationAudit) -> None:
        rows = Probe.objects.filter(audit_id=audit.pk).exclude(outcome="held")
        for probe in rows[:SHOWN]:
            self.stdout.write(
                f"{probe.outcome}: {probe.surface}: {probe.check_name}: {probe.request}: "
                f"expected {probe.expected}, got {probe.got}."
            )
        seconds = (
            (audit.ended_at - audit.began_at).total_seconds() if audit.ended_at else 0
        )
        self.stdout.write(
            f"{audit.get_verdict_display()}: {audit.held} probes held, {audit.breached} were breached, "
            f"{audit.inconclusive} proved nothing; {audit.surfaces} surfaces, {seconds:.0f} s."
        )

    def _write(self, audit: IsolationAudit, file: Path) -> None:
        try:
            file.write_text("".join(f"{line}\n" for line in bundle.lines(audit)))
        except OSError as error:
            raise CommandError(
                f"The bundle could not be written: {error}.", returncode=2
            ) from error
        self.stdout.write(f"The signed bundle is in {file}.")

    def _watch(self, done: int, whole: int, name: str) -> None:
        if self.stderr.isatty():
            bar = "#" * (WIDTH * done // whole)
            told = f"\r[{bar:<{WIDTH}}] {done} of {whole} {name[:40]:<40}"
            self.stderr.write(told, ending="")

    def _clear(self) -> None:
        if self.stderr.isatty():
            self.stderr.write("\r" + " " * (WIDTH + 70) + "\r", ending="")
