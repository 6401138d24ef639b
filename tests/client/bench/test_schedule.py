"""When calls are due, and what they say."""

import itertools
import statistics
from collections import Counter

import pytest

from dragoman.client.bench.schedule import Arrivals, due_times, shuffled


def test_constant_arrivals_keep_the_same_pause() -> None:
    """As many as rate and duration say, the first at once, none at the end."""
    assert due_times(Arrivals.CONSTANT, 4, 1.5, seed=0) == [0, 0.25, 0.5, 0.75, 1.0, 1.25]


def test_poisson_arrivals_have_the_rate_and_the_spread_of_chance() -> None:
    """Counts are within four standard deviations of the mean; pauses spread as widely as they are long."""
    times = due_times(Arrivals.POISSON, 1000, 50, seed=1)
    pauses = [after - before for before, after in itertools.pairwise(times)]

    assert abs(len(times) - 50_000) < 4 * 50_000**0.5
    assert statistics.pstdev(pauses) == pytest.approx(statistics.fmean(pauses), rel=0.03)
    assert 0 < times[0] <= times[-1] < 50
    assert times == sorted(times)


@pytest.mark.parametrize("arrivals", Arrivals)
def test_a_seed_gives_the_same_load_again(arrivals: Arrivals) -> None:
    """Two runs can be compared; another seed of a random load is another load."""
    assert due_times(arrivals, 50, 2, seed=3) == due_times(arrivals, 50, 2, seed=3)
    is_other = due_times(arrivals, 50, 2, seed=3) != due_times(arrivals, 50, 2, seed=4)
    assert is_other == (arrivals is Arrivals.POISSON)


def test_every_text_comes_as_often_as_the_others() -> None:
    """The lengths of a load are those of the file, in an order that is not the file's and not always the same."""
    texts = [str(index) for index in range(50)]

    drawn = list(itertools.islice(shuffled(texts, seed=0), 150))

    assert set(Counter(drawn).values()) == {3}
    assert len({tuple(drawn[:50]), tuple(drawn[50:100]), tuple(texts)}) == 3
    assert drawn == list(itertools.islice(shuffled(texts, seed=0), 150))
