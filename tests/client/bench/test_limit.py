"""The search for the highest load that is held."""

import pytest

from dragoman.client.bench.limit import DOUBLINGS, HALVINGS, PRECISION, search


def found(first: float, limit: float) -> tuple[float | None, list[float]]:
    """What a search finds with a server that holds loads up to `limit`, and what it tried."""
    searching, tried = search(first), []
    rate = next(searching)
    try:
        while True:
            tried.append(rate)
            rate = searching.send(rate <= limit)
    except StopIteration as end:
        return end.value, tried


@pytest.mark.parametrize("first", [1.0, 10.0, 64.0, 1000.0])
@pytest.mark.parametrize("limit", [16.0, 17.3, 99.9, 640.0])
def test_the_limit_is_found_from_below_and_from_above(first: float, limit: float) -> None:
    """Within the precision, never above the truth, and in few steps."""
    held, tried = found(first, limit)

    assert held is not None
    assert limit / PRECISION <= held <= limit
    assert len(tried) <= DOUBLINGS
    assert len(set(tried)) == len(tried)


def test_a_server_that_holds_nothing_is_given_up() -> None:
    """The search ends without an answer, and says so."""
    held, tried = found(64, 0.5)

    assert held is None
    assert tried == [64.0 / 2**power for power in range(HALVINGS + 1)]


def test_a_server_that_holds_everything_ends_the_search() -> None:
    """The highest load that was tried is what is known."""
    held, tried = found(1, float("inf"))

    assert held == tried[-1] == 2.0 ** (DOUBLINGS - 1)
