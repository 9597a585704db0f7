"""Tags that every page uses: a moment in words, an id that can be copied."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django import template
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()

SHOWN = 8  # characters of an id that a list shows
_UNITS = ((86_400, "day"), (3600, "hour"), (60, "minute"))


@register.simple_tag
def when(value: datetime | None) -> SafeString:
    """A moment as people say it, with the exact UTC time on hover; a dash for none."""
    if value is None:
        return SafeString("–")
    exact = value.astimezone(UTC)
    return format_html(
        '<time data-rel datetime="{}" title="{} UTC">{}</time>',
        exact.isoformat(timespec="milliseconds"),
        exact.strftime("%Y-%m-%d %H:%M:%S"),
        relative(value, timezone.now()),
    )


@register.simple_tag
def left(end: datetime) -> str:
    """How much time there is until a moment."""
    return lasted(max(end - timezone.now(), timedelta()))


@register.simple_tag
def after(value: datetime | None, start: datetime) -> SafeString:
    """How long after `start` a moment was, with the exact UTC time on hover; a dash for none."""
    if value is None:
        return SafeString("–")
    exact = value.astimezone(UTC)
    return format_html(
        '<time datetime="{}" title="{} UTC">+{}</time>',
        exact.isoformat(timespec="milliseconds"),
        exact.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3],
        lasted(max(value - start, timedelta())),
    )


@register.simple_tag
def ident(value: object, *, short: bool = False, link: str = "") -> SafeString:
    """An id in fixed-width type with a button that copies all of it; a dash for none."""
    if not value:
        return SafeString("–")
    whole = str(value)
    text = format_html(
        '<code class="id" title="{}">{}</code>',
        whole,
        whole[:SHOWN] if short else whole,
    )
    if link:
        text = format_html('<a class="nt-link" href="{}">{}</a>', link, text)
    return format_html(
        '<span class="ident">{}<button class="ident-copy" type="button" data-copy="{}" '
        'aria-label="Copy {}"><svg class="icon" aria-hidden="true"><use href="{}#copy"></use></svg>'
        '<span class="label"></span></button></span>',
        text,
        whole,
        whole,
        static("netra/icons/ui.svg"),
    )


def relative(value: datetime, now: datetime) -> str:
    """The same words as static/netra/page.js: "just now", "3 minutes ago", "12 Nov 2026"."""
    ahead = value > now
    seconds = abs(value - now).total_seconds()
    if seconds < 45:
        return "just now"
    if seconds >= timedelta(days=7).total_seconds():
        return f"{value.day} {value:%b %Y}"
    size, unit = next((pair for pair in _UNITS if seconds >= pair[0]), _UNITS[-1])
    number = max(1, round(seconds / size))
    if unit == "day" and number == 1:
        return "tomorrow" if ahead else "yesterday"
    words = f"{number} {unit}{'' if number == 1 else 's'}"
    return f"in {words}" if ahead else f"{words} ago"


@register.filter
def lasted(value: timedelta | float | None) -> str:
    """A length of time with its unit: "340 ms", "12.3 s", "4 min 10 s", "2 h 5 min"."""
    if value is None:
        return "–"
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if seconds < 1:
        return f"{max(0, round(seconds * 1000))} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return _both(f"{int(seconds // 60)} min", int(seconds % 60), "s")
    if seconds < 172_800:
        return _both(f"{int(seconds // 3600)} h", int(seconds % 3600 // 60), "min")
    return f"{int(seconds // 86_400)} days"


def _both(larger: str, number: int, smaller: str) -> str:
    """Two units, or the larger alone where nothing is left for the smaller."""
    return f"{larger} {number} {smaller}" if number else larger
