"""Who has which row of a group."""

from collections.abc import Callable
from typing import Generic, TypeVar

R = TypeVar("R")


class Roster(Generic[R]):
    """The sources of a group by row: a record of each, and how its row leaves all that have a row for it, too.

    Rows are always the front of larger arrays: who joins is the last, who leaves is replaced by the last.
    """

    def __init__(self, *removals: Callable[[int], None]) -> None:
        self.rows: list[R] = []
        self._removals = removals

    def __len__(self) -> int:
        return len(self.rows)

    def admit(self, record: R) -> None:
        """One row more; all others have theirs already, or are about to get it."""
        self.rows.append(record)

    def remove(self, row: int) -> None:
        """The row leaves everywhere."""
        self.rows[row] = self.rows[-1]
        del self.rows[-1]
        for remove in self._removals:
            remove(row)
