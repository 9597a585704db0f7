"""Moments, lengths of time and ids, as every page writes them."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest
from django.template import Context, Template

from apps.core.templatetags import netra

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def rendered(source: str, **values: object) -> str:
    return Template(source).render(Context(values))


@pytest.mark.parametrize(
    ("ago", "words"),
    [
        (timedelta(), "just now"),
        (timedelta(seconds=44), "just now"),
        (timedelta(seconds=45), "1 minute ago"),
        (timedelta(minutes=5), "5 minutes ago"),
        (timedelta(hours=1), "1 hour ago"),
        (timedelta(hours=23), "23 hours ago"),
        (timedelta(days=1), "yesterday"),
        (timedelta(days=6), "6 days ago"),
        (timedelta(days=9), "12 Nov 2026"),
        (-timedelta(minutes=2), "in 2 minutes"),
        (-timedelta(days=1), "tomorrow"),
    ],
)
def test_a_moment_is_told_as_people_say_it(ago, words):
    assert netra.relative(NOW - ago, NOW) == words


def test_a_time_carries_its_exact_moment_in_utc():
    there = datetime(2020, 5, 1, 14, 30, 5, tzinfo=timezone(timedelta(hours=2)))

    html = rendered("{% when moment %}", moment=there)

    assert 'datetime="2020-05-01T12:30:05.000+00:00"' in html
    assert 'title="2020-05-01 12:30:05 UTC"' in html
    assert "data-rel" in html
    assert ">1 May 2020<" in html


def test_a_moment_after_another_is_told_by_their_distance():
    html = rendered("{% after a b %}", a=NOW + timedelta(seconds=38.1), b=NOW)

    assert ">+38.1 s<" in html
    assert "2026-11-21 12:00:38.100 UTC" in html


@pytest.mark.parametrize("tag", ["when moment", "after moment moment", "ident moment"])
def test_nothing_is_a_dash(tag):
    assert rendered(f"{{% {tag} %}}", moment=None) == "–"


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (None, "–"),
        (0, "0 ms"),
        (timedelta(milliseconds=340), "340 ms"),
        (12.34, "12.3 s"),
        (timedelta(minutes=4, seconds=10), "4 min 10 s"),
        (timedelta(hours=2, minutes=5), "2 h 5 min"),
        (timedelta(days=3, hours=4), "3 days"),
        (timedelta(seconds=-5), "0 ms"),
    ],
)
def test_a_length_of_time_has_its_unit(length, words):
    assert netra.lasted(length) == words


def test_an_id_is_shown_short_and_copied_whole():
    whole = uuid.uuid4()

    html = rendered("{% ident id short=True %}", id=whole)

    assert f'data-copy="{whole}"' in html
    assert f">{str(whole)[:8]}<" in html
    assert f'aria-label="Copy {whole}"' in html


def test_what_is_shown_as_an_id_is_escaped():
    html = rendered("{% ident id %}", id='"><script>alert(1)</script>')

    assert "<script" not in html
