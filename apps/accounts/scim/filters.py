"""Which resources a list asks for: equality of a few attributes, joined by `and`. Pure."""

from __future__ import annotations

from typing import Any

from scim2_models import InvalidFilterException, Resource, ScimFilter
from scim2_models.path import (
    AttrPath,
    CompareOperator,
    Comparison,
    FilterNode,
    LogicalExpr,
    LogicalOperator,
    ValuePath,
)

LENGTH_MOST = 1_000
TERMS_MOST = 10
USER_NAMES = frozenset({"id", "username", "externalid", "displayname", "emails"})
GROUP_NAMES = frozenset({"id", "displayname", "externalid", "members"})

Conditions = tuple[tuple[str, str], ...]


def conditions(
    text: str, resource: type[Resource[Any]], names: frozenset[str]
) -> Conditions:
    """(attribute in lower case, value) of each comparison; raises InvalidFilterException."""
    if len(text) > LENGTH_MOST:
        raise InvalidFilterException(
            detail=f"A filter has at most {LENGTH_MOST:,} characters."
        )
    try:
        parsed = ScimFilter.__class_getitem__(resource)(text)
        found = tuple(_terms(parsed.ast, names))
    except RecursionError as error:
        raise InvalidFilterException(detail="It is nested too deeply.") from error
    if len(found) > TERMS_MOST:
        raise InvalidFilterException(
            detail=f"A filter has at most {TERMS_MOST} comparisons."
        )
    return found


def _terms(node: FilterNode, names: frozenset[str]) -> Conditions:
    if isinstance(node, LogicalExpr) and node.op is LogicalOperator.and_:
        return tuple(pair for term in node.terms for pair in _terms(term, names))
    if isinstance(node, ValuePath):
        return _of_values(node, names)
    if isinstance(node, Comparison) and node.op is CompareOperator.eq:
        return ((_name(node.attr_path, names), _value(node)),)
    raise _unsupported()


def _of_values(node: ValuePath, names: frozenset[str]) -> Conditions:
    """`emails[value eq "x"]`; what else is asked of a kept address (type, primary) always holds."""
    inner = node.val_filter
    terms = inner.terms if isinstance(inner, LogicalExpr) else (inner,)
    if isinstance(inner, LogicalExpr) and inner.op is not LogicalOperator.and_:
        raise _unsupported()
    equal = [t for t in terms if isinstance(t, Comparison)]
    values = [t for t in equal if t.attr_path.attr.lower() == "value"]
    if len(equal) != len(terms) or len(values) != 1:
        raise _unsupported()
    if any(t.op is not CompareOperator.eq for t in equal):
        raise _unsupported()
    return ((_name(node.attr_path, names), _value(values[0])),)


def _name(path: AttrPath, names: frozenset[str]) -> str:
    name = path.attr.lower()
    if name not in names or (path.sub_attr or "value").lower() != "value":
        raise _unsupported()
    return name


def _value(node: Comparison) -> str:
    if not isinstance(node.value, str) or "\x00" in node.value:
        raise InvalidFilterException(detail="Compare with a text in quotes.")
    return node.value


def _unsupported() -> InvalidFilterException:
    return InvalidFilterException(
        detail="Filters may use eq on id, userName, externalId, displayName, emails.value "
        "(groups: id, displayName, externalId, members.value), joined by and."
    )
