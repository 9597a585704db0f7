"""Reads the rows of a chain in their order, and says which one holds what cannot be read.

Whoever edits a database below Django can leave values that no column of ours takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db import DatabaseError
from django.db.models import QuerySet

# What drivers, and Django's converters of times and ids, raise for such a value.
UNREADABLE = (DatabaseError, ValueError, AttributeError)


class UnreadableRowError(Exception):
    """The row of this number cannot be read."""

    def __init__(self, seq: int) -> None:
        super().__init__(f"row {seq} cannot be read")
        self.seq = seq


def in_order(
    rows: QuerySet[Any], names: tuple[str, ...], *, after: int, batch: int
) -> Iterator[tuple[Any, ...]]:
    """The number and the columns `names` of each row behind `after`, read in batches.

    Raises UnreadableRowError at the first one that cannot be read, once those before it were given.
    """
    while True:
        following = rows.filter(seq__gt=after).order_by("seq")
        try:
            found = list(following.values_list("seq", *names)[:batch])
        except UNREADABLE as error:
            if batch > 1:
                batch = 1  # to see which one it is
                continue
            # Where the database itself is away this raises what it says, which is no damage.
            numbers = following.values_list("seq", flat=True)
            raise UnreadableRowError(numbers[0]) from error
        for row in found:
            if bytes in map(type, row):  # SQLite keeps bytes in columns of texts
                raise UnreadableRowError(row[0])
            yield row
        if len(found) < batch:
            return
        after = found[-1][0]
