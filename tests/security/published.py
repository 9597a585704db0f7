"""The tables of docs/security.md that are made from the code: who may do what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from apps.accounts.permissions import MAY, Operation
from apps.ops.groups import ROLES

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "security.md"


def members() -> str:
    """What each role of an organisation may do in it."""
    return _table("operation", MAY, {str(each): str(each) for each in Operation})


def staff() -> str:
    """What each role of Netra's own staff may do in the admin."""
    found = {name: _said(name) for role in ROLES.values() for name in role}
    ordered = dict(
        sorted(found.items(), key=lambda pair: (pair[1].split()[1], pair[1]))
    )
    return _table("permission", ROLES, ordered)


def between(name: str) -> str:
    """What stands in the document under this mark."""
    text = DOCUMENT.read_text()
    return (
        text.split(f"<!-- {name} -->\n")[1].split(f"<!-- end of {name} -->")[0].strip()
    )


def _said(permission: str) -> str:
    app, _, rest = permission.partition(".")
    verb, _, model = rest.partition("_")
    return f"{verb} {app}.{model}"


def _table(
    first: str, roles: Mapping[str, Iterable[str]], rows: Mapping[str, str]
) -> str:
    lines = [f"| {first} | {' | '.join(roles)} |", "|---" * (len(roles) + 1) + "|"]
    for key, words in rows.items():
        cells = ["yes" if key in held else "" for held in map(set, roles.values())]
        lines.append(f"| `{words}` | {' | '.join(cells)} |")
    return "\n".join(lines)
