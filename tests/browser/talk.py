"""What a person does on Netra's pages."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect

ALICE, BOB = "alice@acme.example", "bob@acme.example"
MALLORY = "mallory@globex.example"
SUPPORT = "support@netra.example"
THREAD = re.compile(r"/chat/([0-9a-f-]{36})/$")
SLOW_TEXT = " ".join(f"tok{n}" for n in range(100))
GOLDEN_TEXT = " ".join(f"tok{n}" for n in range(20))


def sign_in_through_company(page: Page, person: str) -> None:
    """Over the page of the company's own identity provider, as anybody would."""
    page.goto("/")
    page.get_by_role("button", name=f"Continue as {person}").click()
    expect(page.get_by_role("heading")).to_have_text("Your company’s sign-in")
    page.get_by_role("button", name=f"Continue as {person}").click()
    page.wait_for_url("**/chat/")


def sign_in_with_password(page: Page, person: str, password: str) -> None:
    page.goto("/")
    page.get_by_label("E-mail", exact=True).fill(person)
    page.get_by_role("textbox", name="Password").fill(password)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url("**/admin/")


def box_of(page: Page) -> Locator:
    return page.get_by_role("textbox", name="Message")


def ask(page: Page, text: str, agent: str = "") -> None:
    if agent:
        page.get_by_label("Agent").select_option(agent)
    box_of(page).fill(text)
    box_of(page).press("Enter")


def reply_in(page: Page) -> Locator:
    """The newest answer on the page."""
    return page.locator(".log > .reply").last


def prose_in(page: Page) -> Locator:
    return reply_in(page).locator(".prose")


def await_state(page: Page, state: str, *, patience: float = 20_000) -> None:
    expect(reply_in(page)).to_have_attribute("data-state", state, timeout=patience)


def thread_of(page: Page) -> str:
    """The thread that the page shows, from its address."""
    page.wait_for_url(THREAD)
    found = THREAD.search(page.url)
    assert found
    return found[1]
