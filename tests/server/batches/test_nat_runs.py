"""What a non-autoregressive decoder's graphs are fed, and how much goes into one run of them."""

import numpy as np
import pytest
from fake_runtime import FakeRuntime
from tests.server.kvcache.test_placed_nodes import Store

from dragoman.bundle.graphs import CANVAS_MASK, IDS, LENGTHS, SRC_MASK, device_lengths
from dragoman.server.batches import nat_runs
from dragoman.server.batches.group import Source
from dragoman.server.batches.nat_runs import NatMemory, canvas_feed, ctc_feed, longest_waiting
from dragoman.server.decode.ctc import NOTHING
from dragoman.server.kvcache.source_memory import Memory
from dragoman.server.runtime import run_limits
from dragoman.server.runtime.device_rows import SAID


@pytest.mark.parametrize(
    ("rows", "arrivals", "most", "going"),
    [
        ([5, 5, 5], [0, 1, 2], 15, [0, 1, 2]),
        ([5, 5, 5], [2, 1, 0], 10, [1, 2]),
        ([50, 5, 5], [0, 1, 2], 10, [0]),
        ([5, 50, 5], [0, 1, 2], 10, [0]),
        ([5, 50, 5], [0, 2, 1], 10, [0, 2]),
    ],
)
def test_those_that_came_first_go_first(rows, arrivals, most, going, monkeypatch):
    """As many as fit, one at least; none overtakes one that came before it."""
    monkeypatch.setattr(run_limits, "MAX_LOGITS", 7 * most + 6)

    assert longest_waiting([(one, 1, 1) for one in rows], arrivals, words=7, heads=1) == going


@pytest.mark.parametrize(
    ("sizes", "going"),
    [
        ([(1, 16)] * 5, [0, 1, 2, 3]),
        ([(2, 16)] * 3, [0, 1]),
        ([(1, 16), (1, 17)], [0]),  # both are as wide as the wider one, 32 places
        ([(1, 32), (1, 16)], [0]),
        ([(9, 99), (1, 1)], [0]),
    ],
)
def test_attention_over_wide_canvases_is_bounded(sizes, going, monkeypatch):
    """Each place attends to all places, in each head: twice as wide is four times as much."""
    monkeypatch.setattr(run_limits, "MAX_SCORES", 2 * 4 * 16**2)

    assert longest_waiting([(1, *one) for one in sizes], [*range(len(sizes))], words=1, heads=2) == going


def test_canvases_are_padded_behind_a_mask():
    """To a multiple of 16 that fits the longest."""
    feed, width = canvas_feed([np.array([3, 4]), np.arange(17)])

    assert width == 32
    assert (feed[CANVAS_MASK][:, 0, 0] == 0).sum(1).tolist() == [2, 17]
    assert feed[IDS][0, :2].tolist() == [3, 4]


def test_ctc_reads_places_of_words_alone():
    """A source of two words has four places, where its canvas shows what it is told to, and nothing elsewhere."""
    hidden = [np.ones((2, 3), np.float32), np.ones((1, 3), np.float32)]

    feed, places = ctc_feed(hidden, [np.array([1, 2, 3, 4]), np.array([5, 6])], 2)

    assert places.tolist() == [0, 1, 2, 3, 32, 33]
    assert feed[IDS].reshape(2, -1)[:, :5].tolist() == [[1, 2, 3, 4, NOTHING], [5, 6, NOTHING, NOTHING, NOTHING]]
    assert (feed[SRC_MASK] == 0).sum() == 3


def test_memory_is_made_once_and_follows_its_source(work):
    """Sources that join are made together at the next pass; one that moves before or after keeps what is its own."""
    runtime = FakeRuntime(nat=work.NAT)
    memory = NatMemory(runtime, "mask-predict", 4)
    sources = [(Source({}, np.full((size, 4), size, np.float32)), size) for size in (3, 5, 2)]
    memory.admit(*sources[0])
    memory.admit(*sources[1])
    assert memory.settle().keys() == {0, 1}
    memory.admit(*sources[2])

    memory.remove(0)  # the one that has just joined takes its place

    assert memory.settle().keys() == {0}
    assert memory.settle() == {}
    feed = memory.feed(np.array([1, 0, 0]))
    sums = (feed["cross_k.0"][:, 0, 0] * (feed[SRC_MASK][:, 0, 0] == 0)).sum(1)
    assert sums.tolist() == [25, 4, 4]


@pytest.mark.parametrize("predicts", [False, True])
def test_what_the_encoder_said_of_lengths_is_asked_for_once_and_follows_its_source(work, predicts, monkeypatch):
    """Of the run that a source was in; a decoder that predicts none has none. Rows lie in the store."""
    store, asked = Store(16), []
    monkeypatch.setattr(nat_runs, "placed_rows_of", lambda *_: Memory(store, 4, gives_lengths=True))
    memory = NatMemory(FakeRuntime(nat=work.NAT), "mask-predict", 4)

    def source(first: int, number: int) -> Source:
        def said():
            asked.append((first, number))
            return {device_lengths("mask-predict"): np.array([[first, 0], [first + 1, 0]])} if predicts else {}

        return Source({SAID: (said, number)}, None)

    memory.admit(source(10, 1), 3)
    memory.admit(source(10, 0), 5)
    first = memory.settle()
    memory.admit(source(20, 1), 2)

    memory.remove(0)  # the one that has just joined takes its place
    second = memory.settle()

    said = [{g: None if one is None else one[0] for g, one in told.items()} for told in (first, second)]
    assert said == ([{0: 11, 1: 10}, {0: 21}] if predicts else [{0: None, 1: None}, {0: None}])
    assert memory.settle() == {}
    assert asked == [(10, 1), (10, 0), (20, 1)]
    assert memory.feed(np.array([1, 0, 0]))[LENGTHS].tolist() == [5, 2, 2]
