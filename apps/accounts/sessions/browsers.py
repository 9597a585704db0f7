"""The name that a browser sends of itself, in the few words that a person knows it by.

Pure. Nothing is decided by it: whoever asks writes it.
"""

from __future__ import annotations

# The first that is found counts: most browsers name their ancestors too.
BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("CriOS/", "Chrome"),
    ("FxiOS/", "Firefox"),
    ("Safari/", "Safari"),
)
SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)
LENGTH = 40


def named(agent: str) -> str:
    """For example "Firefox on Linux"; what is no browser by its first word."""
    browser = next((name for mark, name in BROWSERS if mark in agent), "")
    system = next((name for mark, name in SYSTEMS if mark in agent), "")
    if browser and system:
        return f"{browser} on {system}"
    first = agent.split(" ", maxsplit=1)[0].split("/", maxsplit=1)[0][:LENGTH]
    return browser or first or "An unknown client"
