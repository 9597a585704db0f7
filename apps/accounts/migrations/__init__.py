"""Migrations: named, one purpose each."""

from __future__ import annotations
