"""The admin of people: who they are, where they belong, how they sign in."""

from __future__ import annotations

from apps.accounts.admin import (
    directory,
    domains,
    organisations,
    people,
    providers,
    signins,
    tokens,
)

__all__ = [
    "directory",
    "domains",
    "organisations",
    "people",
    "providers",
    "signins",
    "tokens",
]
