"""The card on which an agent asks: usable with the keyboard, the same after a reload, text only."""

from __future__ import annotations

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page, expect

from tests.browser.demo import Demo
from tests.browser.talk import BOB, await_state, box_of, reply_in


@pytest.fixture
def asked(demo: Demo, as_person) -> Page:
    """bob before an answer that waits for him."""
    page: Page = as_person(BOB)
    page.goto(f"/chat/{demo.put_question()}/")
    return page


def card(page: Page):
    return reply_in(page).get_by_role("group", name="Question about note_ask")


def test_an_approval_from_the_keyboard_lets_the_agent_go_on(asked):
    expect(reply_in(asked).locator(".turn-state")).to_have_text(
        "Waiting for your decision"
    )
    expect(card(asked)).to_contain_text("It may have <b>happened</b> already.")
    expect(card(asked)).to_contain_text("refused in 60 minutes")
    expect(card(asked).locator("b, i")).to_have_count(0)
    box_of(asked).focus()

    for name in ("Refuse", "Approve"):
        asked.keyboard.press("Shift+Tab")
        expect(card(asked).get_by_role("button", name=name)).to_be_focused()
    asked.keyboard.press("Enter")

    await_state(asked, "completed")
    expect(reply_in(asked).locator("summary").first).to_be_focused()
    for _ in range(2):
        reply_in(asked).locator("summary").first.click()
        expect(card(asked)).to_contain_text("Approved by you.")
        expect(card(asked).get_by_role("button")).to_have_count(0)
        asked.reload()


def test_a_refusal_is_seen_in_every_tab_and_stays(asked):
    second = asked.context.new_page()
    second.goto(asked.url)
    asked.evaluate(AXE_SCRIPT)
    found = asked.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    assert [one["id"] for one in found["violations"]] == []

    card(second).get_by_role("button", name="Refuse").click()

    for page in (asked, second):
        await_state(page, "completed")
        reply_in(page).locator("summary").first.click()
        expect(card(page)).to_contain_text("Refused by you.")
    asked.reload()
    reply_in(asked).locator("summary").first.click()
    expect(card(asked)).to_contain_text("Refused by you.")
