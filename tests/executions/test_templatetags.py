"""The badge: all nine states have their shape, their fill and their word."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.template import Context, Template

from apps.executions.states import ALIVE, TERMINAL, WORDS, ExecutionState

STATIC = Path(settings.ROOT) / "static" / "netra"
STYLES = (STATIC / "states.css").read_text()


def badge(state: str, words: str = "") -> str:
    context = Context({"state": state, "words": words})
    return Template("{% state state words=words %}").render(context)


def filled() -> set[str]:
    """The states whose rule gives them a background."""
    rules = re.findall(r"([^{}]+)\{([^{}]*)\}", STYLES)
    selectors = [names for names, body in rules if "background: var(--hue)" in body]
    return set(re.findall(r"\.state-(\w+)", " ".join(selectors)))


@pytest.mark.parametrize("state", list(ExecutionState))
def test_a_badge_has_a_shape_a_class_and_a_word(state):
    html = badge(state.value)

    assert f'class="state state-{state}"' in html
    assert f"netra/icons/states.svg#{state}" in html
    assert f">{WORDS[state]}<" in html
    assert 'aria-hidden="true"' in html


@pytest.mark.parametrize("state", list(ExecutionState))
def test_each_shape_is_in_the_sprite_and_differs_from_the_others(state):
    sprite = (STATIC / "icons" / "states.svg").read_text()
    shapes = dict(re.findall(r'<symbol id="(\w+)"[^>]*>(.*?)</symbol>', sprite))

    assert shapes[state.value]
    assert list(shapes.values()).count(shapes[state.value]) == 1


def test_finished_is_filled_and_alive_is_an_outline():
    assert filled() == {state.value for state in TERMINAL}
    assert not filled() & {state.value for state in ALIVE}


def test_other_words_may_be_given_and_are_escaped():
    html = badge("dead", "<b>gone")

    assert "&lt;b&gt;gone" in html


def test_what_is_no_state_is_refused():
    with pytest.raises(ValueError, match="sleeping"):
        badge("sleeping")
