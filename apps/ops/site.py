"""The admin site."""

from __future__ import annotations

from unfold.sites import UnfoldAdminSite


class NetraAdminSite(UnfoldAdminSite):  # type: ignore[misc]  # unfold ships no types
    """Where support lives."""
