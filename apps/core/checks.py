"""System checks of the ground: what can be known wrong before the first request."""

from __future__ import annotations
