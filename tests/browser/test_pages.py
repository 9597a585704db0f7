"""Foreign addresses, phones, dark colours, and what axe finds on the pages."""

from __future__ import annotations

import re
from typing import Any

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page, expect

from tests.browser.talk import (
    ALICE,
    GOLDEN_TEXT,
    MALLORY,
    SUPPORT,
    ask,
    await_state,
    box_of,
    prose_in,
    thread_of,
)

PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "is_mobile": True,
    "has_touch": True,
    "device_scale_factor": 2,
}
ANALYST_QUESTION = "What did we spend last month?"


def answered(page: Page) -> str:
    """A conversation with one short answer; returns its thread."""
    page.goto("/chat/")
    ask(page, "alice's own words", "golden-turn")
    await_state(page, "completed")
    return thread_of(page)


@pytest.mark.security
def test_somebody_elses_conversation_is_a_page_that_does_not_exist(as_person, witness):
    witness.expect(r"the server responded with a status of 404 .*/chat/")
    thread_id = answered(as_person(ALICE))
    mallory = as_person(MALLORY)
    absent = "00000000-0000-4000-8000-000000000000"

    pages = []
    for wanted in (thread_id, absent):
        response = mallory.goto(f"/chat/{wanted}/")
        assert response
        assert response.status == 404
        expect(mallory.get_by_role("heading")).to_have_text("There is no such page")
        pages.append(response.text())

    assert "own words" not in pages[0]
    assert pages[0] == pages[1]
    mallory.goto("/chat/")
    expect(box_of(mallory)).to_be_visible()
    assert thread_id not in mallory.content()


def test_on_a_phone_the_list_is_a_drawer_and_asking_works(as_person):
    page = as_person(ALICE, **PHONE)
    page.goto("/chat/")
    drawer = page.locator("#threads")
    expect(drawer).not_to_be_in_viewport()

    ask(page, "from a phone", "golden-turn")
    await_state(page, "completed")
    expect(prose_in(page)).to_have_text(GOLDEN_TEXT)
    expect(prose_in(page)).to_be_in_viewport()
    expect(box_of(page)).to_be_in_viewport()

    page.get_by_role("button", name="Conversations", exact=True).tap()
    expect(drawer).to_be_in_viewport()
    expect(drawer.locator(".thread", has_text="from a phone").first).to_be_visible()
    page.get_by_role("button", name="Close conversations").tap()
    expect(drawer).not_to_be_in_viewport()
    width = "[document.documentElement.scrollWidth, innerWidth]"
    wide, window = page.evaluate(width)
    assert wide <= window


def test_dark_colours_follow_the_system_and_can_be_switched(as_person):
    page = as_person(ALICE, color_scheme="dark")
    page.goto("/chat/")
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    dark = page.evaluate(ground)
    assert brightness(dark) < 60

    page.get_by_role("button", name="Dark colours").click()
    assert brightness(page.evaluate(ground)) > 200
    page.reload()
    assert brightness(page.evaluate(ground)) > 200
    page.get_by_role("button", name="Dark colours").click()
    assert page.evaluate(ground) == dark


def brightness(colour: str) -> float:
    """Of `rgb(r, g, b)`, 0 to 255."""
    red, green, blue = map(float, re.findall(r"[\d.]+", colour)[:3])
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def axe(page: Page) -> list[str]:
    """What axe calls serious or critical, with the places."""
    page.evaluate(AXE_SCRIPT)
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [
        f"{one['impact']}: {one['id']} at {node['target']}: {node['failureSummary']}"
        for one in found["violations"]
        if one["impact"] in {"serious", "critical"}
        for node in one["nodes"]
    ]


SCHEMES = pytest.mark.parametrize("scheme", ["light", "dark"])


@SCHEMES
def test_axe_finds_nothing_on_the_way_in(new_page, scheme):
    page = new_page(color_scheme=scheme)
    page.goto("/accounts/login/")
    expect(page.get_by_role("heading", name="Sign in to Netra")).to_be_visible()

    assert axe(page) == []


@SCHEMES
def test_axe_finds_nothing_in_the_chat(as_person, scheme):
    page = as_person(ALICE, color_scheme=scheme)
    page.goto("/chat/")
    expect(page.get_by_role("heading", name="What would you like")).to_be_visible()
    assert axe(page) == []

    ask(page, ANALYST_QUESTION, "analyst")
    await_state(page, "completed")
    page.locator(".work summary").first.click()
    assert axe(page) == []

    ask(page, "fail", "failing-turn")
    await_state(page, "failed")
    assert axe(page) == []


def test_axe_finds_nothing_in_the_admin(as_person):
    page = as_person(SUPPORT)
    page.goto("/admin/executions/execution/")
    expect(page.locator("#result_list")).to_be_visible()
    assert axe(page) == []

    page.locator("#result_list").get_by_role("link", name="analyst").first.click()
    expect(page.locator("#inspector")).to_be_visible()
    assert axe(page) == []
