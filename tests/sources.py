"""The product's own source, parsed once, for the tests that read it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# The column, upwards.
COLUMN = [
    "core", "audits", "accounts", "executions", "usage", "agents", "chat", "issues", "ops",
]  # fmt: skip


@dataclass(frozen=True)
class Source:
    """One Python file: its dotted name, its text and its syntax tree."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def file(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @property
    def module(self) -> str:
        return self.file.removesuffix(".py").replace("/", ".").removesuffix(".__init__")

    @property
    def app(self) -> str:
        parts = self.module.split(".")
        return parts[1] if parts[0] == "apps" and len(parts) > 1 else parts[0]

    def calls(self) -> Iterator[ast.Call]:
        return (node for node in ast.walk(self.tree) if isinstance(node, ast.Call))


def _read(folder: str) -> list[Source]:
    found = (
        sorted((ROOT / folder).rglob("*.py")) if folder != "." else [ROOT / "manage.py"]
    )
    texts = ((path, path.read_text(encoding="utf-8")) for path in found)
    return [Source(path, text, ast.parse(text, str(path))) for path, text in texts]


@cache
def product() -> list[Source]:
    """apps, netra and manage.py, without migrations."""
    everything = [*_read("apps"), *_read("netra"), *_read(".")]
    return [source for source in everything if "/migrations/" not in source.file]


@cache
def everything() -> list[Source]:
    """The product, its tests, bench and deploy."""
    return [*product(), *_read("tests"), *_read("bench"), *_read("deploy")]


def called(call: ast.Call) -> str:
    """The last part of what is called: 'update' for a.b.update(…)."""
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""
