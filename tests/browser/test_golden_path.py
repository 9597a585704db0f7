"""The way of a newcomer: sign in, ask, watch, read figures that are true; and what support sees of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.sync_api import Page, WebSocket, expect

from tests.browser.demo import Demo
from tests.browser.figures import Spending, change, percent, spoken, usd
from tests.browser.talk import (
    ALICE,
    SUPPORT,
    ask,
    await_state,
    prose_in,
    reply_in,
    sign_in_through_company,
    sign_in_with_password,
    thread_of,
)

QUESTION = "Where did our AI spend jump last month, and what should we do?"
BOTH = pytest.mark.parametrize("kind", ["daphne", "uvicorn"])
WATCH = """() => {
  window.seen = [];
  const note = (selector) => {
    const text = document.querySelector(selector)?.textContent.trim();
    if (text && window.seen.at(-1) !== text) window.seen.push(text);
  };
  const look = () => [".reply .turn-state", ".reply .work-title"].forEach(note);
  new MutationObserver(look).observe(document.querySelector(".log"),
    { childList: true, subtree: true, characterData: true });
  window.said = [];
  new MutationObserver((changes) => changes.forEach((one) =>
    one.addedNodes.forEach((node) => window.said.push(node.textContent)),
  )).observe(document.getElementById("status"), { childList: true });
}"""
FIVE = (
    "agent_started", "agent_thinking", "tool_executing", "tool_completed", "agent_completed",
)  # fmt: skip


def listen(page: Page) -> list[dict[str, Any]]:
    """Collects the frames that the page gets from now on."""
    frames: list[dict[str, Any]] = []

    def opened(socket: WebSocket) -> None:
        socket.on("framereceived", lambda text: frames.append(json.loads(text)))

    page.on("websocket", opened)
    return frames


@BOTH
@pytest.mark.golden_path
def test_alice_asks_and_reads_figures_that_agree_with_the_records(new_page, demo, kind):
    page = new_page()
    frames = listen(page)
    sign_in_through_company(page, ALICE)
    page.evaluate(WATCH)

    ask(page, QUESTION)
    await_state(page, "completed")

    check_order([frame for frame in frames if "seq" in frame])
    check_what_was_shown_meanwhile(page)
    tools = check_tool_lines(page)
    check_answer(page, Spending.of(demo, "acme"))
    expect(reply_in(page).locator(".turn-state")).to_contain_text("Done in")
    execution = next(f["execution_id"] for f in frames if "execution_id" in f)

    page.reload()
    assert check_tool_lines(page) == tools
    check_answer(page, Spending.of(demo, "acme"))
    check_in_admin(new_page(), demo, execution)


def check_order(events: list[dict[str, Any]]) -> None:
    assert [e["seq"] for e in events] == list(range(1, len(events) + 1))
    kinds = [e["type"] for e in events]
    assert kinds[:2] == ["message_created", "agent_started"]
    assert kinds[-1] == "agent_completed"
    assert set(kinds) == {"message_created", *FIVE}
    calls: dict[str, list[str]] = {}
    for event in events:
        if event["type"].startswith("tool_"):
            calls.setdefault(event["data"]["call_id"], []).append(event["type"])
    assert calls
    assert all(c == ["tool_executing", "tool_completed"] for c in calls.values())


def check_what_was_shown_meanwhile(page: Page) -> None:
    seen, said = page.evaluate("[window.seen, window.said]")
    assert "Working" in seen
    assert any(text.startswith("Using ") for text in seen)
    assert said.index("The agent is working") < said.index("Using cost breakdown")
    assert said[-1] == "Answer ready"


def check_tool_lines(page: Page) -> list[str]:
    work = reply_in(page).locator(".work")
    work.locator("summary").first.click()
    lines = work.locator(".step-tool")
    expect(lines.first).to_be_visible()
    for text in lines.all_inner_texts():
        assert "worked" in text
        assert " ms" in text
    names = work.locator(".step-name").all_inner_texts()
    assert "cost_breakdown" in names
    return sorted(names)


def check_answer(page: Page, spending: Spending) -> None:
    before, last, jump = spending.before, spending.last, spending.jump
    rise = last.cost - before.cost
    text = " ".join(prose_in(page).inner_text().split())
    assert (
        f"Spend rose by {usd(rise)} ({percent(rise, before.cost)}) in {last.name}"
        in text
    )
    assert f"from {usd(before.cost)} in {before.name} to {usd(last.cost)}." in text
    assert (
        f"The jump is in {jump}: from {usd(before.by_feature[jump])} to {usd(last.by_feature[jump])} "
        f"({percent(spending.change_of(jump), before.by_feature[jump])})" in text
    )
    moved = f"{jump} moved from {before.usual_model(jump)} to {last.usual_model(jump)}"
    assert f"{moved} on {spoken(spending.moved_on)}." in text
    calls = f"Its calls went from {before.count[jump]:,} to {last.count[jump]:,}"
    assert calls in text
    assert f"Move {jump} back to {before.usual_model(jump)}" in text
    assert table_of(page) == {
        feature: [
            usd(before.by_feature[feature]),
            usd(cost),
            change(spending.change_of(feature)),
            f"{last.count[feature]:,}",
        ]
        for feature, cost in last.by_feature.items()
    }


def table_of(page: Page) -> dict[str, list[str]]:
    rows = prose_in(page).locator("table").first.locator("tbody tr")
    cells = [row.locator("td").all_inner_texts() for row in rows.all()]
    return {name: figures for name, *figures in cells}


def check_in_admin(page: Page, demo: Demo, execution: str) -> None:
    """Support finds the execution and sees how it went, and nothing of what was said."""
    sign_in_with_password(page, SUPPORT, demo.password_of(SUPPORT))
    page.get_by_role("link", name="Executions").first.click()
    page.locator("#searchbar").fill(execution)
    page.keyboard.press("Enter")
    rows = page.locator("#result_list tbody tr")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("Done")
    rows.get_by_role("link", name="analyst").click()

    head = page.locator("[data-part=head]")
    expect(head.locator(".state-completed")).to_have_text("Done")
    expect(head).to_contain_text(execution)
    assert page.locator(".nt-five code").all_inner_texts() == list(FIVE)
    expect(page.locator(".nt-five .nt-absent")).to_have_count(0)
    history = page.locator("[data-part=history] tbody tr .state").all_inner_texts()
    assert history == ["pending", "starting", "running", "completing", "completed"]
    for said in (QUESTION, "spend jump", "support-bot", "claude-opus"):
        assert said not in page.content()


@BOTH
def test_a_suggestion_is_asked_with_a_click(as_person, kind):
    page = as_person(ALICE)
    page.goto("/chat/")

    page.get_by_role("button", name="Which provider is slow").click()
    await_state(page, "completed")

    expect(prose_in(page)).to_contain_text("mistral is slow")
    expect(page.locator(".thread a[aria-current]")).to_contain_text("Which provider")
    thread_of(page)
