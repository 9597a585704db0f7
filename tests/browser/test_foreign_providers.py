"""A real Chromium signs in through two providers that nobody here wrote: one in Python, one in Node."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import NewPage, Witness
from tests.browser.demo import Demo
from tests.browser.talk import sign_in_through_company
from tests.live import foreign

pytestmark = [pytest.mark.golden_path, pytest.mark.security]
SEED = Path(foreign.__file__).with_name("foreign_seed.py")
START = "/accounts/oidc/acme-node/login/"


@pytest.fixture
def node(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Acme has a second provider for the time of a test: the npm package oidc-provider."""
    back = f"{demo.url}{START}callback/"
    with foreign.node_provider(tmp_path_factory.mktemp("npm"), back) as issuer:
        demo._run(str(SEED), issuer, "node", foreign.SECRET)
        yield issuer
        renamed = "UPDATE accounts_identityprovider SET enabled = 0, provider_id = ?, client_id = ? WHERE provider_id = ?"
        assert demo.change(renamed, issuer[-5:], issuer[-5:], "acme-node")


def agree(page: Page, who: str) -> None:
    """Over Netra's page to the provider's own form, and back."""
    page.goto(START)
    page.get_by_role("button", name="Continue to Acme node").click()
    expect(page.get_by_role("heading")).to_have_text("Node sign-in")
    page.get_by_label("Who").fill(who)
    page.get_by_role("button", name="Sign in").click()


def test_a_member_signs_in_through_the_python_provider(new_page: NewPage) -> None:
    page = new_page()

    sign_in_through_company(page, "bob@acme.example")

    expect(page.get_by_role("heading", level=1)).to_have_text("New conversation")


def test_a_newcomer_signs_in_through_the_node_provider(
    new_page: NewPage, node: str
) -> None:
    page = new_page()

    agree(page, "nora@acme.example")

    page.wait_for_url("**/chat/")


def test_a_stranger_is_told_why_not_and_gets_a_reference(
    new_page: NewPage, node: str, demo: Demo, witness: Witness
) -> None:
    witness.expect("403")
    page = new_page(viewport={"width": 390, "height": 800}, color_scheme="dark")

    agree(page, "mallory@globex.example")

    expect(page.get_by_role("heading", level=1)).to_contain_text(
        "may not speak for mallory@globex.example"
    )
    expect(page.get_by_text("What to do:")).to_be_visible()
    receipt = page.locator("code.id").inner_text()
    assert demo.rows(
        "SELECT rule FROM audits_receipt WHERE id = ?", receipt.replace("-", "")
    ) == [("own_domain",)]
    page.goto("/chat/")
    page.wait_for_url("**/accounts/login/**")


def test_a_provider_that_is_gone_is_told(
    new_page: NewPage, node: str, demo: Demo, witness: Witness
) -> None:
    witness.expect("503")
    assert demo.change(
        "UPDATE accounts_identityprovider SET issuer = ? WHERE provider_id = ?",
        "http://127.0.0.1:1",
        "acme-node",
    )
    page = new_page()
    page.goto(START)
    page.get_by_role("button", name="Continue to Acme node").click()

    expect(page.get_by_role("heading", level=1)).to_have_text(
        "The sign-in of Acme node cannot be reached."
    )
    expect(page.get_by_text("Reference for support")).to_be_visible()
