"""What people and agents said: fields that staff can read under a live grant only, and the mask for the rest.

Which grant is live, and that each read is on record, is the business of audits.grants.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from django.db import models
from django.db.models.expressions import Col
from django.db.models.functions import Length
from django.utils.functional import cached_property

from apps.core import clock
from apps.core.errors import NotAllowedError
from apps.core.tenancy import ScopeKind, current_scope

_describing: ContextVar[bool] = ContextVar("netra_describing", default=False)


class ContentClosedError(NotAllowedError):
    """Support reads content under a live grant only."""

    code = "content_closed"
    fix = "Ask for a grant on the page of the execution or conversation."


def masked(size: int) -> str:
    """What stands in the place of a text of `size` characters."""
    return f"•••• ({size:,} {'char' if size == 1 else 'chars'})"


# A value that a sentence names between quotes, and what of such is no word of people's.
# What repr() escaped does not end it.
_QUOTED = re.compile(
    r"(?<!\w)(?:'((?:\\.|[^\\])+?|.+?)'|\"((?:\\.|[^\\])+?|.+?)\"|“(.+?)”)(?!\w)",
    re.DOTALL,
)
_PLAIN = re.compile(r"[A-Za-z0-9_.:+@-]{1,64}\Z")


def quotes_masked(sentence: str) -> str:
    """A sentence of ours as staff read it: what it quotes of people's own words is masked."""

    def mask(found: re.Match[str]) -> str:
        words = next(group for group in found.groups() if group is not None)
        return found[0] if _PLAIN.match(words) else masked(len(words))

    return _QUOTED.sub(mask, sentence)


def check_open() -> None:
    """The one place that decides: raise ContentClosedError where content may not be read.

    Members read their own organisation's. For staff, superusers included, a grant must be live.
    """
    scope = current_scope()
    if scope.kind is not ScopeKind.STAFF or _describing.get():
        return
    if scope.grant is None:
        raise ContentClosedError
    if clock.now() >= scope.grant.until:
        raise ContentClosedError("The grant has ended.")


@contextmanager
def describing() -> Iterator[None]:
    """What is read in this block is turned into kinds and sizes at once, and shown to nobody.

    A test lists the modules that may.
    """
    token = _describing.set(True)
    try:
        yield
    finally:
        _describing.reset(token)


Given = TypeVar("Given")
Told = TypeVar("Told")
if TYPE_CHECKING:
    _Text = models.TextField[str, str]
    _Words = models.CharField[str, str]
    _Json = models.JSONField[Any, Any]
    _Field = models.Field
else:
    _Text, _Words, _Json = models.TextField, models.CharField, models.JSONField
    _Field = Generic


class Size(Length):
    """How long a text is: the one thing that everybody may ask of content."""

    def as_sql(self, *arguments: Any, **options: Any) -> Any:
        with describing():
            return super().as_sql(*arguments, **options)


class _GuardedCol(Col):
    """The column in a statement."""

    def as_sql(self, *arguments: Any, **options: Any) -> Any:
        check_open()
        return super().as_sql(*arguments, **options)


class _Guarded(_Field[Given, Told]):
    """Asks before a statement names the column, and before a value of it leaves the database.

    So no function, filter or order on it tells anything either. Stored as its plain kind.
    """

    stored_as: ClassVar[type[models.Field[Any, Any]]]
    check_open = staticmethod(check_open)  # for compiled statements, too

    def from_db_value(self, value: Any, *rest: Any) -> Any:
        check_open()
        convert = getattr(super(), "from_db_value", None)
        return value if convert is None else convert(value, *rest)

    def get_col(self, alias: str, output_field: Any = None) -> Col:
        own = alias == self.model._meta.db_table and output_field in {None, self}
        return self.cached_col if own else _GuardedCol(alias, self, output_field)

    @cached_property
    def cached_col(self) -> Col:
        return _GuardedCol(self.model._meta.db_table, self)

    def deconstruct(self) -> tuple[str, str, Any, Any]:
        """As the plain field: the table is the same, so there is nothing to migrate."""
        name, _, arguments, options = super().deconstruct()
        return name, f"django.db.models.{self.stored_as.__name__}", arguments, options

    def get_internal_type(self) -> str:
        return self.stored_as.__name__


class ContentTextField(_Guarded[str, str], _Text):
    """Text that somebody said."""

    stored_as = models.TextField


class ContentCharField(_Guarded[str, str], _Words):
    """A short text that somebody said."""

    stored_as = models.CharField


class ContentJSONField(_Guarded[Any, Any], _Json):
    """Values in which somebody's words may stand."""

    stored_as = models.JSONField
