"""Reloads, kills, stops, failures, several tabs: the page shows what is true, once."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.talk import (
    ALICE,
    BOB,
    GOLDEN_TEXT,
    SLOW_TEXT,
    ask,
    await_state,
    box_of,
    prose_in,
    reply_in,
    sign_in_through_company,
    thread_of,
)

BOTH = pytest.mark.parametrize("kind", ["daphne", "uvicorn"])
SLOW_PATIENCE = 30_000


@pytest.fixture
def talk(as_person) -> Page:
    """alice before an empty conversation."""
    page = as_person(ALICE)
    page.goto("/chat/")
    return page


def await_words(page: Page, word: str) -> None:
    expect(prose_in(page)).to_contain_text(word)


@BOTH
def test_a_reload_in_the_middle_of_an_answer_loses_nothing(talk, demo, kind):
    ask(talk, "slowly, please", "slow-turn")
    await_words(talk, "tok9")

    talk.reload()
    second = talk.context.new_page()
    second.goto(talk.url)
    await_words(talk, "tok9")
    await_state(talk, "running")
    await_state(second, "running")
    for tab in (talk, second):
        await_state(tab, "completed", patience=SLOW_PATIENCE)
        expect(prose_in(tab)).to_have_text(SLOW_TEXT)
        expect(tab.locator(".log > .turn")).to_have_count(2)

    assert demo.kinds_in_log(thread_of(talk))[-1] == "agent_completed"


@BOTH
@pytest.mark.mission_critical
def test_after_a_kill_the_page_comes_back_by_itself(talk, demo, kind, witness):
    witness.expect(r"WebSocket connection to 'ws://127\.0\.0\.1:\d+/ws/chat/")
    ask(talk, "slowly, please", "slow-turn")
    await_words(talk, "tok9")
    thread_id = thread_of(talk)

    demo.kill()
    expect(talk.locator(".banner")).to_contain_text("Your answer keeps going")
    demo.start()

    expect(talk.locator(".banner")).to_be_hidden()
    await_state(talk, "completed", patience=SLOW_PATIENCE)
    expect(prose_in(talk)).to_have_text(SLOW_TEXT)
    expect(talk.locator(".log > .turn")).to_have_count(2)
    expect(reply_in(talk).locator(".step-again")).to_have_count(1)
    kinds = demo.kinds_in_log(thread_id)
    assert kinds.count("attempt_started") == 1
    assert kinds.count("agent_completed") == 1
    talk.reload()
    expect(prose_in(talk)).to_have_text(SLOW_TEXT)


@BOTH
def test_stop_keeps_what_was_written_and_says_who_stopped(talk, kind):
    ask(talk, "slowly, please", "slow-turn")
    await_words(talk, "tok4")

    talk.get_by_role("button", name="Stop").click()
    await_state(talk, "cancelled")

    check_stopped(talk)
    kept = prose_in(talk).inner_text()
    talk.reload()
    check_stopped(talk)
    assert prose_in(talk).inner_text() == kept


def check_stopped(page: Page) -> None:
    expect(reply_in(page).locator(".turn-state")).to_have_text("Stopped by you")
    expect(reply_in(page).locator(".turn-note")).to_have_text(
        "This answer is incomplete."
    )
    expect(reply_in(page).locator(".problem")).to_be_hidden()
    text = prose_in(page).inner_text()
    assert text.startswith("tok0 tok1 tok2 tok3 tok4")
    assert SLOW_TEXT.startswith(text)
    assert text != SLOW_TEXT


@BOTH
def test_a_failure_says_what_happened_and_what_to_do(talk, kind):
    ask(talk, "fail, please", "failing-turn")
    await_state(talk, "failed")

    receipt = check_failure(talk)
    talk.reload()
    assert check_failure(talk) == receipt

    talk.get_by_role("button", name="Try again").click()
    expect(talk.locator(".log > .question .bubble")).to_have_text(["fail, please"] * 2)
    expect(talk.locator(".log > .reply[data-state=failed]")).to_have_count(2)
    assert check_failure(talk) != receipt


def check_failure(page: Page) -> str:
    """Message, fix and receipt; returns the receipt."""
    problem = reply_in(page).locator(".problem")
    expect(problem.locator(".problem-what")).to_contain_text("provider broke off")
    expect(problem.locator(".problem-fix")).to_contain_text("Try again")
    receipt = problem.locator("code").inner_text()
    assert len(receipt) == 36
    expect(problem.get_by_role("button", name="Copy receipt number")).to_have_attribute(
        "data-copy", receipt
    )
    return receipt


@BOTH
def test_two_tabs_of_one_conversation_show_the_same(talk, kind):
    ask(talk, "first", "golden-turn")
    await_state(talk, "completed")
    second = talk.context.new_page()
    second.goto(talk.url)

    ask(second, "second", "golden-turn")

    for tab in (talk, second):
        expect(tab.locator(".log > .reply[data-state=completed]")).to_have_count(2)
        expect(tab.locator(".bubble")).to_have_text(["first", "second"])
        expect(tab.locator(".log .prose")).to_have_text([GOLDEN_TEXT] * 2)


@BOTH
def test_everything_can_be_done_from_the_keyboard(talk, kind):
    box = box_of(talk)
    talk.get_by_label("Agent").select_option("slow-turn")
    box.focus()

    talk.keyboard.type("one line")
    talk.keyboard.press("Shift+Enter")
    talk.keyboard.type("another")
    talk.keyboard.press("Enter")
    await_words(talk, "tok2")
    expect(box).to_be_focused()
    expect(box).to_have_value("")
    talk.keyboard.press("Escape")
    await_state(talk, "cancelled")

    expect(box).to_be_focused()
    expect(talk.locator(".bubble")).to_have_text("one line\nanother")
    talk.keyboard.press("Enter")
    expect(talk.locator(".composer-notice")).to_have_text("Write a message first.")
    talk.keyboard.type("more")
    expect(talk.locator(".composer-notice")).to_be_hidden()
    expect(talk.locator(".log > .turn")).to_have_count(2)


def test_unsent_words_wait_for_their_own_writer(talk):
    """alice is signed out while she writes; bob of the same company signs in at the same tab."""
    talk.context.clear_cookies()
    box_of(talk).fill("alice's draft")

    sign_in_through_company(talk, BOB)
    expect(box_of(talk)).to_have_value("")
    talk.context.clear_cookies()
    sign_in_through_company(talk, ALICE)

    expect(box_of(talk)).to_have_value("alice's draft")
