"""Commands of the command line, each a short second writer."""

from __future__ import annotations
