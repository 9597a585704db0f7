"""Sees everything, is seen by nobody: the admin site, pages that join apps, health, commands.

Owns no tables yet.
"""

from __future__ import annotations
