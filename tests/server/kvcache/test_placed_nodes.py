"""Slots that are named before a run, and what each node sees, beside lists of words."""

import numpy as np
import pytest

from dragoman.bundle.graphs import MASK, SLOT_DEPTH, SLOTS
from dragoman.server.decode.step import Advance
from dragoman.server.kvcache.placed_nodes import CLOSED, PlacedChains, PlacedTrees, mask_of

HALF = np.dtype(np.float16)


class Store:
    """Counts rows, and has as many slots as it is told."""

    def __init__(self, size: int) -> None:
        self.size, self.count, self.sizes = size, 0, [size]

    def __len__(self) -> int:
        return self.count

    def room(self, size: int) -> int:
        return max(4, 1 << (size - 1).bit_length())

    def resize(self, size: int) -> None:
        self.size = size
        self.sizes.append(size)

    def admit(self, tensors=()) -> None:
        self.count += 1

    def remove(self, row: int) -> None:
        self.count -= 1

    def feed(self):
        return {}


def seen(feed) -> list[list[set[int]]]:
    """Of each source and node, the slots that its mask opens."""
    return [[{*np.flatnonzero(node == 0).tolist()} for node in source[0]] for source in feed[MASK]]


def advance(parents, live, kept=None) -> Advance:
    kept = np.ones(len(parents), np.int64) if kept is None else np.array(kept)
    return Advance(np.array(parents), np.array(live, np.bool_), kept, [])


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_a_mask_is_zero_where_something_is_seen(dtype):
    """And the one large negative number elsewhere, in the graph's own type."""
    seen = np.random.default_rng(0).random((3, 2, 8)) < 0.5

    mask = mask_of(seen, np.dtype(dtype))

    assert mask.dtype == dtype
    np.testing.assert_array_equal(mask[:, 0], np.where(seen, 0.0, CLOSED).astype(dtype))


def test_a_chain_writes_behind_what_it_has_read_and_sees_all_of_it():
    """Drafts see the words before them; those that do not stand are written over."""
    store = Store(4)
    chains = PlacedChains(store, 4, HALF)
    chains.admit({})
    chains.admit({})

    first = chains.feed(np.ones((1, 1), np.bool_))
    chains.keep([], advance([[0], [0]], [[1], [1]]))
    drafts = chains.feed(np.tri(3, dtype=np.bool_))
    chains.keep([], advance([[0], [0]], [[1], [1]], kept=[3, 1]))
    after = chains.feed(np.ones((1, 1), np.bool_))

    assert first[SLOTS].tolist() == [[0], [0]]
    assert seen(first) == [[{0}], [{0}]]
    assert drafts[SLOTS].tolist() == [[1, 2, 3], [1, 2, 3]]
    assert seen(drafts) == [[{0, 1}, {0, 1, 2}, {0, 1, 2, 3}]] * 2
    assert after[SLOTS].tolist() == [[4], [2]]
    assert seen(after) == [[{0, 1, 2, 3, 4}], [{0, 1, 2}]]
    assert first[MASK].dtype == HALF
    assert store.size == 8


def test_a_stride_writes_a_slot_each_step_and_sees_all_before_it():
    """Of sources of 2 words and none; what was read behind a word that does not stand is written over."""
    store = Store(4)
    chains = PlacedChains(store, 4, HALF, is_relative=True)
    for _ in range(2):
        chains.admit({})
    chains.feed(np.tri(2, dtype=np.bool_))
    chains.keep([], advance([[0], [0]], [[1], [1]], kept=[2, 0]))

    stride = chains.feed(np.ones((1, 4), np.bool_))
    chains.keep([], advance([[0], [0]], [[1], [1]], kept=[4, 1]))
    after = chains.feed(np.ones((1, 4), np.bool_))

    assert stride[SLOTS].tolist() == [[2, 3, 4, 5], [0, 1, 2, 3]]
    assert stride[MASK].shape == (2, 1, 4, 8)
    assert seen(stride) == [[{*range(n + 1)} for n in source] for source in ([2, 3, 4, 5], [0, 1, 2, 3])]
    assert stride[SLOT_DEPTH].tolist() == [[*range(8)]] * 2
    assert after[SLOTS].tolist() == [[6, 7, 8, 9], [1, 2, 3, 4]]
    assert store.size == 16


@pytest.mark.parametrize("kind", [PlacedChains, PlacedTrees])
def test_slots_may_be_had_before_they_are_needed(kind):
    """So many at least; those that there are stay."""
    store = Store(8)
    nodes = kind(store, 4, 2, HALF) if kind is PlacedTrees else kind(store, 4, HALF)
    nodes.admit({})

    nodes.reserve(5)
    nodes.reserve(17)

    assert store.sizes[-1] == 32
    seen_slots = nodes.feed(np.eye(2, dtype=np.bool_) if kind is PlacedTrees else np.ones((1, 1), np.bool_))
    assert seen_slots[MASK].shape[3] == 32


def test_a_newcomer_sees_nothing_of_whoever_had_the_row():
    """The last takes the place of the one that left, with its length."""
    chains = PlacedChains(Store(4), 4, HALF)
    for _ in range(2):
        chains.admit({})
    chains.feed(np.ones((1, 1), np.bool_))
    chains.keep([], advance([[0], [0]], [[1], [1]], kept=[1, 1]))
    chains.remove(0)
    chains.admit({})

    assert seen(chains.feed(np.ones((1, 1), np.bool_))) == [[{0, 1}], [{0}]]


def test_slots_are_free_as_soon_as_no_hypothesis_descends_from_their_nodes():
    """A tree of two hypotheses, one of which dies out, beside the words that each would see."""
    trees = PlacedTrees(Store(4), 2, 2, HALF)
    trees.admit({})
    eye = np.eye(2, dtype=np.bool_)

    roots = trees.feed(eye)
    trees.keep([], advance([[0, 0]], [[1, 1]]))  # both go on from the first root
    second = trees.feed(eye)
    trees.keep([], advance([[0, 1]], [[1, 1]]))
    third = trees.feed(eye)
    trees.keep([], advance([[1, 1]], [[1, 0]]))  # the second alone
    fourth = trees.feed(eye)

    assert roots[SLOTS].tolist() == [[0, 1]]
    assert second[SLOTS].tolist() == [[1, 2]]  # nobody descends from the second root
    assert seen(second) == [[{0, 1}, {0, 2}]]
    assert third[SLOTS].tolist() == [[3, 4]]
    assert seen(third) == [[{0, 1, 3}, {0, 2, 4}]]
    assert fourth[SLOTS].tolist() == [[1, 3]]
    assert seen(fourth) == [[{0, 2, 4, 1}, {3}]]


def test_a_tree_gives_up_what_only_a_long_source_needed():
    """Slots halve, or more, when the next source comes."""
    store = Store(4)
    trees = PlacedTrees(store, 4, 1, HALF)
    trees.admit({})
    for _ in range(20):
        trees.feed(np.ones((1, 1), np.bool_))
        trees.keep([], advance([[0]], [[1]]))
    trees.remove(0)
    trees.admit({})

    assert store.sizes == [4, 8, 16, 32, 4]


def test_distances_are_told_by_where_the_node_of_each_slot_stands():
    """A chain's words stand in their order; a tree's nodes behind as many as they descend from, whatever their slot."""
    chains, trees = (
        PlacedChains(Store(4), 2, HALF, is_relative=True),
        PlacedTrees(Store(4), 2, 2, HALF, is_relative=True),
    )
    chains.admit({})
    for _ in range(2):
        trees.admit({})
    eye, both = np.eye(2, dtype=np.bool_), [[0, 1], [0, 0]]
    depths = []
    for parents in (both, both, both):
        feed = trees.feed(eye)
        depths.append(np.take_along_axis(feed[SLOT_DEPTH], feed[SLOTS], 1).tolist())
        open_slots = [[feed[SLOT_DEPTH][g][node == 0].tolist() for node in feed[MASK][g, 0]] for g in range(2)]
        assert all(sorted(node) == [*range(len(node))] for source in open_slots for node in source)
        trees.keep([], advance(parents, np.ones((2, 2))))
    trees.remove(0)

    assert depths == [[[0, 0]] * 2, [[1, 1]] * 2, [[2, 2]] * 2]
    assert chains.feed(np.ones((1, 1), np.bool_))[SLOT_DEPTH].tolist() == [[0, 1, 2, 3]]
    moved = trees.feed(eye)
    assert np.take_along_axis(moved[SLOT_DEPTH], moved[SLOTS], 1).tolist() == [[3, 3]]
    assert [sorted(moved[SLOT_DEPTH][0][node == 0].tolist()) for node in moved[MASK][0, 0]] == [[0, 1, 2, 3]] * 2
