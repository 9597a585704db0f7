"""Small pieces of Markdown from figures and foreign names. Pure.

Names come from customers' data: here they can neither break out of their place nor act as mark-up.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from datetime import date
from math import floor, log10
from typing import Any

LONGEST_NAME = 60
CENT = 0.01


def name(text: object, nothing: str = "(unnamed)") -> str:
    """A foreign name as inline code that holds no mark-up, line break or control character."""
    shown = "".join(_plain(sign) for sign in str(text or ""))
    shown = " ".join(shown.replace("`", "'").replace("|", "¦").split())
    if not shown:
        return nothing
    return f"`{shown if len(shown) <= LONGEST_NAME else shown[:LONGEST_NAME] + '…'}`"


def feature(text: object) -> str:
    """The name of a part of a company's product; calls need not have one."""
    return name(text, "calls without a feature")


def _plain(sign: str) -> str:
    # C: control, format (direction marks), surrogates; Z: line and paragraph separators
    return " " if unicodedata.category(sign)[0] in "CZ" else sign


def usd(amount: float) -> str:
    """'1,234.56 USD'; amounts below a cent keep two meaningful digits."""
    return f"{_amount(abs(amount)) if amount >= 0 else '−' + _amount(-amount)} USD"


def rate(amount: float) -> str:
    """The cost of one call: three meaningful digits, '0.00285 USD'."""
    if not amount:
        return "0 USD"
    places = max(2, 2 - floor(log10(abs(amount))))
    return f"{amount:,.{places}f} USD"


def change(amount: float) -> str:
    """'+12.00 USD', '−3.10 USD'."""
    sign = "+" if amount > 0 else "−" if amount < 0 else "±"
    return f"{sign}{_amount(abs(amount))} USD"


def _amount(amount: float) -> str:
    if amount and amount < CENT:
        return (
            f"{amount:.6f}".rstrip("0").rstrip(".")
            if amount >= CENT / 10_000
            else "0.00"
        )
    return f"{amount:,.2f}"


def percent(value: float | None, *, signed: bool = False) -> str:
    """'63 %', '+63 %'; 'new' where there was nothing to compare with."""
    if value is None:
        return "new"
    digits = f"{abs(value):,.1f}" if abs(value) < 10 else f"{abs(value):,.0f}"
    sign = "−" if value < 0 else "+" if signed else ""
    return f"{sign}{digits} %"


def count(number: float, noun: str = "") -> str:
    """'1,234', '1 call', '1,234 calls'."""
    if not noun:
        return f"{number:,}"
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def duration(milliseconds: float | None) -> str:
    """'850 ms', '14.2 s'."""
    if milliseconds is None:
        return "–"
    return (
        f"{milliseconds:,.0f} ms"
        if milliseconds < 1_000
        else f"{milliseconds / 1_000:,.1f} s"
    )


def day(text: str) -> str:
    """'1 October 2026' from '2026-10-01' or a time stamp that begins so."""
    found = date.fromisoformat(text[:10])
    return f"{found.day} {found:%B %Y}"


def table(head: Sequence[str], rows: Sequence[Sequence[Any]], *, texts: int = 1) -> str:
    """A table whose first `texts` columns hold text, the others figures."""
    rule = [":--" if n < texts else "--:" for n in range(len(head))]
    lines = [head, rule, *rows]
    return "\n".join(
        "| " + " | ".join(str(cell) for cell in line) + " |" for line in lines
    )


def numbered(items: Sequence[str]) -> str:
    return "\n".join(f"{n}. {item}" for n, item in enumerate(items, 1))


def listed(items: Sequence[str]) -> str:
    return "\n".join(f"- {item}" for item in items)
