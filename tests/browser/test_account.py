"""One's own account in a real browser: second factor, sessions, tokens, under the strict policy."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page, expect

from tests.browser.talk import BOB, sign_in_through_company

LEAD = "lead@netra.example"
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "is_mobile": True}


def code(secret: str) -> str:
    """What the app shows now."""
    return str(format_hotp_value(hotp_value(secret, int(time.time()) // 30)))


def password(page: Page, person: str, secret: str, at: str = "") -> None:
    page.goto(f"{at}/accounts/login/")
    page.get_by_label("E-mail", exact=True).fill(person)
    page.get_by_role("textbox", name="Password").fill(secret)
    page.get_by_role("button", name="Sign in", exact=True).click()


def sign_out(page: Page, at: str = "") -> None:
    page.goto(f"{at}/accounts/logout/")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/accounts/login/")


def faults_of(page: Page) -> list[str]:
    page.evaluate(AXE_SCRIPT)
    found = page.evaluate("axe.run()")
    return [f"{fault['id']}: {fault['help']}" for fault in found["violations"]]


def test_an_authenticator_app_is_set_up_asked_for_and_removed(new_page, demo):
    page = new_page()
    password(page, LEAD, demo.password_of(LEAD))
    page.wait_for_url("**/admin/")
    page.goto("/accounts/2fa/")
    page.get_by_role("link", name="Set up an authenticator app").click()
    picture = page.get_by_alt_text("QR code")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.naturalWidth") > 0
    secret = page.get_by_label("Key, for typing in by hand").input_value()
    page.get_by_label("Authenticator code").fill(code(secret))
    page.get_by_role("button", name="Set it up").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    codes = page.locator(".codes li").all_inner_texts()
    assert len(codes) == 10

    sign_out(page)
    password(page, LEAD, demo.password_of(LEAD))
    expect(page.get_by_role("heading", name="Your second factor")).to_be_visible()
    assert faults_of(page) == []
    page.get_by_label("Code").first.fill(codes[0])
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url("**/admin/")

    page.goto("/accounts/2fa/totp/deactivate/")
    page.get_by_role("button", name="Remove it").click()
    expect(page.get_by_role("link", name="Set up an authenticator app")).to_be_visible()


def test_a_security_key_is_added_and_used(new_page, demo, witness):
    """With Chromium's own virtual authenticator; keys know hosts by name, not by number."""
    at = demo.url.replace("127.0.0.1", "localhost")
    witness.expect(f"^request: {at}/")
    page = new_page()
    devices = page.context.new_cdp_session(page)
    devices.send("WebAuthn.enable")
    devices.send(
        "WebAuthn.addVirtualAuthenticator",
        {
            "options": {
                "protocol": "ctap2",
                "transport": "usb",
                "hasResidentKey": True,
                "hasUserVerification": True,
                "isUserVerified": True,
            }
        },
    )
    password(page, LEAD, demo.password_of(LEAD), at)
    page.wait_for_url("**/admin/")
    page.goto(f"{at}/accounts/2fa/webauthn/add/")
    page.get_by_role("button", name="Add the key").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()

    sign_out(page, at)
    password(page, LEAD, demo.password_of(LEAD), at)
    page.get_by_role("button", name="Use a security key").click()
    page.wait_for_url("**/admin/")

    page.goto(f"{at}/accounts/2fa/webauthn/")
    page.get_by_role("link", name="Remove").click()
    page.get_by_role("button", name="Remove it").click()
    expect(page.get_by_text("You have none.")).to_be_visible()


def test_sessions_are_listed_and_ended(new_page):
    here, there = new_page(), new_page(**PHONE)
    for page in (here, there):
        sign_in_through_company(page, BOB)
    here.goto("/accounts/sessions/")
    expect(here.get_by_text("This session")).to_have_count(1)
    assert faults_of(here) == []
    there.goto("/accounts/sessions/")
    assert there.evaluate("document.documentElement.scrollWidth") <= 390
    there.goto("/chat/")
    expect(there.get_by_role("textbox", name="Message")).to_be_visible()

    here.get_by_role("button", name="End all other sessions").click()

    expect(here.get_by_role("status")).to_contain_text("Ended elsewhere")
    expect(there.get_by_role("link", name="Sign in again")).to_be_visible(timeout=8000)


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_a_token_is_made_copied_and_revoked(new_page, colours):
    page = new_page(color_scheme=colours)
    sign_in_through_company(page, BOB)
    page.goto("/accounts/tokens/")
    page.get_by_label("Name").fill("CI")
    page.get_by_role("button", name="Make the token").click()
    secret = page.locator(".secret code").inner_text()
    assert re.fullmatch(r"ntr_[\w-]{20,}", secret)
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert faults_of(page) == []
    page.get_by_role("button", name="Revoke CI").first.click()
    expect(page.get_by_role("status")).to_contain_text("revoked")
