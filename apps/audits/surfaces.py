"""The rows of the trail, of receipts, grants and isolation audits themselves, for isolation audits."""

from __future__ import annotations

from apps.core.surfaces import Kind, Rows, exempt, register


def declare() -> None:
    """Called once, when the app is ready."""
    register(
        *(Rows(label=f"audits.{name}") for name in _OWN),
        Rows(label="core.Flag", shared="switches; read before anybody is known"),
    )
    exempt(Kind.ROUTE, "GET /api/v1/schema/", why="describes the API, the same for all")


_OWN = (
    "Receipt",
    "Entry",
    "Head",
    "Checkpoint",
    "AccessGrant",
    "IsolationAudit",
    "Probe",
)
