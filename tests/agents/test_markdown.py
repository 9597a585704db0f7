"""Foreign names stay harmless in Markdown; figures are written as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from apps.agents import markdown as md


@given(st.text(max_size=200))
def test_a_foreign_name_is_one_piece_of_code_and_nothing_else(text):
    html = MarkdownIt("gfm-like", {"linkify": False}).render(
        f"| a | b |\n| - | - |\n| {md.name(text)} | end |"
    )

    assert html.count("<td>") == 2
    assert "<td>end</td>" in html
    for tag in ("<a ", "<img", "<script", "<strong", "<em", "<h1"):
        assert tag not in html


@pytest.mark.parametrize(
    "text",
    [
        "`; DROP TABLE`",
        "a|b|c",
        "line\nbreak\r\n# heading",
        "<script>alert(1)</script>",
        "[click](javascript:alert(1))",
        "\u202egnp.exe",
        "\x00\x1b[31m",
        "\u2028| x |",
        "a\ud800b",
    ],
)
def test_hostile_names_keep_to_their_line_and_lose_their_marks(text):
    shown = md.name(text)

    assert shown.startswith("`")
    assert shown.endswith("`")
    assert not set(shown[1:-1]) & set("`|\n\r\x00\x1b\u202e\u2028\ud800")


def test_a_long_name_is_cut():
    assert len(md.name("n" * 5_000)) == md.LONGEST_NAME + 3


def test_an_empty_name_says_so():
    assert md.name("") == md.name("  \n") == "(unnamed)"
    assert md.feature("") == "calls without a feature"


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0.00 USD"),
        (1234.5, "1,234.50 USD"),
        (-3, "−3.00 USD"),
        (0.0042, "0.0042 USD"),
        (0.01, "0.01 USD"),
    ],
)
def test_amounts(amount, text):
    assert md.usd(amount) == text


def test_changes_carry_their_sign():
    assert md.change(2) == "+2.00 USD"
    assert md.change(-2) == "−2.00 USD"
    assert md.change(0) == "±0.00 USD"


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0 USD"),
        (0.002854, "0.00285 USD"),
        (0.0387, "0.0387 USD"),
        (12.3456, "12.35 USD"),
    ],
)
def test_the_cost_of_a_call_keeps_three_digits(amount, text):
    assert md.rate(amount) == text


def test_shares():
    assert md.percent(None) == "new"
    assert md.percent(62.6) == "63 %"
    assert md.percent(-3.21, signed=True) == "−3.2 %"
    assert md.percent(1247.0, signed=True) == "+1,247 %"


def test_durations_counts_and_days():
    assert [md.duration(ms) for ms in (None, 850, 14_200)] == ["–", "850 ms", "14.2 s"]
    assert [md.count(1, "call"), md.count(2_000, "call"), md.count(5)] == [
        "1 call",
        "2,000 calls",
        "5",
    ]
    assert md.day("2026-10-01T12:00+00:00") == "1 October 2026"


def test_a_table_renders_as_a_table():
    html = (
        MarkdownIt("commonmark")
        .enable("table")
        .render(md.table(("A", "B"), [("x", 1), ("y", 2)]))
    )

    assert html.count("<tr>") == 3
    assert 'style="text-align:right"' in html
