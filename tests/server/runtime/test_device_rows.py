"""Rows that stay where they are."""

from hypothesis import given
from hypothesis import strategies as st

from dragoman.server.runtime.device_rows import (
    ROWS,
    DeviceRows,
    best_level,
    joined_level,
    row_level,
    size_level,
    source_level,
)


def places(rows: DeviceRows) -> list[int]:
    return [rows[n] for n in range(len(rows))]


def test_a_newcomer_has_the_lowest_free_row_and_nobody_moves():
    """The group's last source takes the place of the one that left; on the device both stay."""
    rows = DeviceRows()
    for _ in range(4):
        rows.admit()

    rows.remove(1)

    assert places(rows) == [0, 3, 2]
    assert rows.admit() == 1
    assert places(rows) == [0, 3, 2, 1]


def test_the_last_rows_move_into_holes_where_a_smaller_run_would_do():
    """Nine rows make a run of 64; where eight of them have left, the ninth makes one of 1."""
    rows = DeviceRows()
    for _ in range(9):
        rows.admit()
    for _ in range(8):
        rows.remove(0)

    assert places(rows) == [1]  # whoever was last in the group took its first place
    assert rows.compacted() == ([1], [0])
    assert places(rows) == [0]
    assert rows.compacted() == ((), ())


def test_a_row_with_numbers_that_are_not_finite_is_never_given_again():
    """What is no number is seen through any mask."""
    rows = DeviceRows()
    rows.admit()
    rows.dead.add(0)
    rows.remove(0)

    assert rows.admit() == 1
    assert rows.compacted() == ((), ())


@given(st.lists(st.one_of(st.none(), st.integers(0, 1000)), max_size=200))
def test_rows_are_apart_whatever_comes_and_goes(moves):
    """As many as there are sources, each once, and after compacting none beyond what a run of so many has."""
    rows, twin = DeviceRows(), DeviceRows()
    for move in moves:
        for one in (rows, twin):
            if move is None or not len(one):
                one.admit()
            else:
                one.remove(move % len(one))
            one.compacted()
        assert len({*places(rows)}) == len(rows)
        assert rows.end <= row_level(len(rows))
        assert rows.equals(twin)
        index = rows.index
        assert [*range(64)][index] == places(rows) if isinstance(index, slice) else index.tolist() == places(rows)


def test_sizes_are_few():
    """Rows and slots up to what lanes have come in few sizes, each large enough."""
    assert {row_level(n) for n in range(1, 257)} == {*ROWS}
    assert row_level(257) == 1024
    assert {size_level(n) for n in range(1, 1025)} == {64, 256, 1024}
    assert {source_level(n) for n in range(1, 513)} == {64, 128, 256, 512}
    assert {joined_level(n) for n in range(1, 8193)} == {128, 1024, 8192}
    assert {best_level(n) for n in range(1, 65)} == {2, 4, 8, 12, 16, 32, 64}
    for level in (row_level, size_level, source_level, joined_level, best_level):
        assert all(level(n) >= n for n in range(1, 600))
