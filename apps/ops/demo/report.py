"""What the demo command prints: what was made, and how to sign in."""

from __future__ import annotations

from django.conf import settings

from apps.ops.demo import passwords
from apps.ops.demo.cast import COMPANIES, PEOPLE, Person
from apps.ops.demo.seed import Made

HINT = "To see the logins again: make demo"
UNKNOWN = "(not made by the demo)"


def summary(made: Made) -> str:
    if not made.anything:
        return f"The demo is there already; nothing was added. {HINT}"
    parts = (
        (made.organisations, "organisations"),
        (made.people, "people"),
        (made.records, "usage records"),
        (made.executions, "past executions"),
        (made.exhibits, "exhibits that stay alive"),
    )
    added = ", ".join(f"{count:,} {name}" for count, name in parts if count)
    return f"The demo was seeded: {added}.\n{HINT}"


def logins() -> str:
    """A table of who can sign in, and where."""
    known = passwords.kept()
    rows = [_row(person, known.get(person.email, UNKNOWN)) for person in PEOPLE]
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    table = [
        "  "
        + "  ".join(
            cell.ljust(width) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]
    return "\n".join((*_where(), "", *table))


def _row(person: Person, password: str) -> tuple[str, str, str, str]:
    company = next(
        company.name for company in COMPANIES if company.slug == person.company
    )
    return person.email, password, company, person.duty


def _where() -> tuple[str, ...]:
    return (
        f"Sign in at {settings.NETRA_PUBLIC_URL}/accounts/login/ with an e-mail address and its password.",
        f"Acme and Globex can also sign in through their company ({settings.NETRA_OIDC_URL}): no password.",
        f"Staff land in the admin: {settings.NETRA_PUBLIC_URL}/admin/",
    )
