"""The doors of usage to an organisation's figures, for isolation audits; and a canary's call of a model."""

from __future__ import annotations

from apps.core.clock import clock
from apps.core.surfaces import Canary, Deed, Route, Rows, plant_with, register
from apps.usage import actions
from apps.usage.actions import Call

USAGE = "/api/v1/usage"


def declare() -> None:
    """Called once, when the app is ready."""
    plant_with("usage", plant_call)
    register(
        Rows(label="usage.Record"),
        Route(verb="GET", path=f"{USAGE}/?by=feature", deed=Deed.LIST, personal=False),
        Route(
            verb="POST",
            path=f"{USAGE}/",
            deed=Deed.CHANGE,
            body={"records": []},
            control=None,
        ),
    )


def plant_call(canary: Canary) -> None:
    """One call whose feature is the canary's marker."""
    call = Call(
        id=canary.marker,
        at=clock.now(),
        provider="openai",
        model="gpt-4.1-mini",
        feature=canary.marker,
        input_tokens=1,
    )
    actions.record_usage([call])
