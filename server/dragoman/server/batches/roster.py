"""Who has which row of a group."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

R = TypeVar("R")


class Column(Protocol):
    """Something with a row for each source, in one order with all other columns."""

    def remove(self, row: int) -> None:
        """The row leaves; the last one takes its place."""


class Roster(Generic[R]):
    """The sources of a group by row: a record of each, and the columns that have a row for it, too.

    Rows are always the front of larger arrays: who joins is the last, who leaves is replaced by the last.
    """

    def __init__(self, *columns: Column) -> None:
        self.rows: list[R] = []
        self._columns = columns

    def __len__(self) -> int:
        return len(self.rows)

    def admit(self, record: R) -> None:
        """One row more; its columns have theirs already, or are about to get it."""
        self.rows.append(record)

    def remove(self, row: int) -> None:
        """The row leaves, in all columns."""
        self.rows[row] = self.rows[-1]
        del self.rows[-1]
        for column in self._columns:
            column.remove(row)
