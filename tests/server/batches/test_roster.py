"""Who has which row, beside a plain list."""

import numpy as np

from dragoman.server.batches.roster import Roster


def test_all_columns_stay_in_step():
    """Rows that leave are replaced by the last one, in the roster and in all that have a row for each source."""
    rng = np.random.default_rng(0)
    inner: Roster[int] = Roster()
    roster: Roster[int] = Roster(inner.remove)
    expected: list[int] = []
    for number in range(200):
        if expected and rng.random() < 0.45:
            row = int(rng.integers(len(expected)))
            roster.remove(row)
            expected[row] = expected[-1]
            expected.pop()
        else:
            roster.admit(number)
            inner.admit(number)
            expected.append(number)
        assert roster.rows == inner.rows == expected
        assert len(roster) == len(expected)
