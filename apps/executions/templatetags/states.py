"""The one badge of an execution's state: shape, fill, colour and word."""

from __future__ import annotations

from django import template
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.executions.states import WORDS, ExecutionState

register = template.Library()


@register.simple_tag
def state(value: str, words: str = "") -> SafeString:
    """The badge of a state, with its usual words unless others are given."""
    known = ExecutionState(value)
    return format_html(
        '<span class="state state-{0}"><svg class="icon" aria-hidden="true"><use href="{1}#{0}"></use>'
        "</svg><span>{2}</span></span>",
        known.value,
        static("netra/icons/states.svg"),
        words or WORDS[known],
    )
