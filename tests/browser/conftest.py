"""A real Chromium before real servers. In every test: no error in the console, no page error, no
request to another machine, nothing that the content security policy forbids.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Page,
    StorageState,
    expect,
    sync_playwright,
)

from tests.browser.demo import Demo
from tests.browser.talk import sign_in_through_company, sign_in_with_password

PATIENCE = 20_000
RESULTS = Path(__file__).resolve().parents[2] / "test-results"
NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)  # fmt: skip
# Chromium writes violations to the console too; this names what was refused.
TELL_VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy violated: ${event.violatedDirective} ${event.blockedURI}`));
"""
FAILED = pytest.StashKey[bool]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of these tests are live and drive a browser, and say so by their folder."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.live)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


# -- servers -------------------------------------------------------------------------


@pytest.fixture(scope="session")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Demo]]:
    """Starts a demo on a kind of server when it is first wanted; seeding takes place once."""
    seeded = Demo(tmp_path_factory.mktemp("demo"), server="daphne")
    running: dict[str, Demo] = {}

    def start(kind: str) -> Demo:
        if not running:
            seeded.seed()
        if kind not in running:
            running[kind] = Demo(tmp_path_factory.mktemp(kind), server=kind)
            running[kind].copy_of(seeded)
            running[kind].start()
        return running[kind]

    yield start
    for demo in running.values():
        demo.kill()


@pytest.fixture
def kind() -> str:
    """Under which server; a test for both names them itself."""
    return "daphne"


@pytest.fixture
def demo(
    kind: str, demos: Callable[[str], Demo], request: pytest.FixtureRequest
) -> Iterator[Demo]:
    installation = demos(kind)
    before = len(installation.said())
    yield installation
    said = installation.said()[before:]
    if said:
        request.node.add_report_section("teardown", f"log of {kind}", said)


# -- the browser ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for a file of tests: its loop would be in the way of asynchronous tests elsewhere."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("chromium is not installed; the pages are not driven")
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


class Witness:
    """Hears everything that a page should not say."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self._expected: list[str] = []

    def expect(self, pattern: str) -> None:
        """What this test provokes on purpose."""
        self._expected.append(pattern)

    def watch(self, context: BrowserContext) -> None:
        context.add_init_script(TELL_VIOLATIONS)
        context.on("console", self._console)
        context.on(
            "weberror", lambda error: self.faults.append(f"error: {error.error}")
        )
        context.on("request", self._request)

    def _console(self, message: Any) -> None:
        if message.type in {"error", "warning"}:
            place = message.location.get("url", "")
            self.faults.append(f"{message.type}: {message.text} ({place})")

    def _request(self, request: Any) -> None:
        if urlsplit(request.url).hostname not in {"127.0.0.1", None}:
            self.faults.append(f"request: {request.url}")

    def unexpected(self) -> list[str]:
        return [
            fault
            for fault in self.faults
            if not any(re.search(pattern, fault) for pattern in self._expected)
        ]


@pytest.fixture
def witness() -> Witness:
    return Witness()


@pytest.fixture(autouse=True)
def nothing_wrong(witness: Witness) -> Iterator[None]:
    yield
    assert witness.unexpected() == []


NewPage = Callable[..., Page]


@pytest.fixture
def new_page(
    chromium: Browser,
    witness: Witness,
    demo: Demo,
    nothing_wrong: None,
    request: pytest.FixtureRequest,
) -> Iterator[NewPage]:
    """Opens pages, each in a browser profile of its own."""
    contexts: list[BrowserContext] = []

    def open_one(**options: Any) -> Page:
        options = {"viewport": {"width": 1280, "height": 900}, **options}
        context = chromium.new_context(base_url=demo.url, **options)
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        witness.watch(context)
        return context.new_page()

    yield open_one
    if request.node.stash.get(FAILED, False):
        _keep_pictures(request.node.name, contexts)
    for context in contexts:
        context.close()


def _keep_pictures(name: str, contexts: list[BrowserContext]) -> None:
    RESULTS.mkdir(exist_ok=True)
    pages = [page for context in contexts for page in context.pages]
    for number, page in enumerate(pages, 1):
        plain = re.sub(r"\W+", "-", name).strip("-")
        page.screenshot(path=RESULTS / f"{plain}-{number}.png")


# -- people --------------------------------------------------------------------------


@pytest.fixture(scope="session")
def sessions() -> dict[tuple[str, str], StorageState]:
    """Cookies of those who have signed in already, by server and person."""
    return {}


@pytest.fixture
def as_person(
    new_page: NewPage, demo: Demo, sessions: dict[tuple[str, str], StorageState]
) -> NewPage:
    """Opens a page of somebody who is signed in: through their company, staff with a password."""

    def open_one(person: str, **options: Any) -> Page:
        known = sessions.get((demo.url, person))
        page = new_page(storage_state=known, **options)
        if known is None:
            if person.endswith("@netra.example"):
                sign_in_with_password(page, person, demo.password_of(person))
            else:
                sign_in_through_company(page, person)
            sessions[demo.url, person] = page.context.storage_state()
        return page

    return open_one
