"""Markdown of agents made safe HTML, by the same rules as the page's own renderer."""

from __future__ import annotations

import re
from functools import lru_cache

import nh3
from django.utils.safestring import SafeString
from markdown_it import MarkdownIt
from markdown_it.token import Token

ALLOWED = {
    "p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "strong", "em", "s", "del", "code", "pre", "blockquote",
    "ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td", "a",
}  # fmt: skip
CACHED = 512
_LINK = re.compile(r"^(https?://|mailto:|#|/(?!/))", re.IGNORECASE)


def to_html(text: str) -> SafeString:
    """Safe HTML of a message. No raw HTML, no images, links only to web, mail and this site.

    Marked safe because it is the sanitiser's output; the text itself never is.
    """
    return SafeString(_render(text))


@lru_cache(maxsize=CACHED)
def _render(text: str) -> str:
    return nh3.clean(
        _parser().render(text),
        tags=ALLOWED,
        attributes={"a": {"href"}, "code": {"class"}, "th": {"class"}, "td": {"class"}},
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable(
        ["table", "strikethrough"]
    )
    parser.validateLink = lambda url: bool(_LINK.match(url.strip()))  # type: ignore[method-assign]  # its documented hook
    parser.core.ruler.push("netra_plain", _make_plain)
    return parser


def _make_plain(state: object) -> None:
    """Images become links (an image's address can carry data out); cell alignment becomes a class."""
    for token in _walk(state.tokens):  # type: ignore[attr-defined]  # a StateCore
        if token.type == "image":
            token.type, token.tag, token.nesting = "text", "", 0
            token.content = f"{token.content or 'image'} ({token.attrs.get('src', '')})"
            token.children = None
        style = str(token.attrs.pop("style", ""))
        if "text-align:" in style:
            token.attrSet("class", f"align-{style.partition(':')[2].strip()}")


def _walk(tokens: list[Token]) -> list[Token]:
    return [
        found for token in tokens for found in (token, *_walk(token.children or []))
    ]
