"""What usage hears."""

from __future__ import annotations
