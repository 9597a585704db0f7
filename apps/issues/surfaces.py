"""The doors of issues, which only staff may open, for isolation audits."""

from __future__ import annotations

from uuid import UUID

from apps.core.clock import clock
from apps.core.surfaces import Canary, Deed, Route, Rows, plant_with, register
from apps.core.tenancy import system
from apps.issues import actions

NUMBERS = system("surfaces: a canary's issue takes a number of the common row")

ISSUES = "/api/v1/issues"


def declare() -> None:
    """Called once, when the app is ready."""
    plant_with("issues", plant_issue)
    register(
        Rows(label="issues.Issue"),
        Rows(label="issues.Evidence"),
        Route(verb="GET", path=f"{ISSUES}/", deed=Deed.LIST, control=None),
        Route(verb="GET", path=f"{ISSUES}/{{issue_number}}/", control=None),
    )


def plant_issue(canary: Canary) -> None:
    """One issue whose evidence is the canary's own execution."""
    with NUMBERS:  # numbers are shared by all organisations
        issue = actions.plant_canary_issue(
            organisation_id=canary.organisation_id,
            title=canary.marker,
            execution_id=UUID(canary.ids["execution_id"]),
            now=clock.now(),
        )
    canary.ids["issue_number"] = str(issue.number)
