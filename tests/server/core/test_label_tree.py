"""Labels as a tree of their tokens, beside all translations that there can be."""

import itertools
import random

import pytest

from dragoman.server.core.label_tree import LabelTree

END = 0


def every(labels, separator, most):
    """All that may be said, the end included: slow and obvious."""
    for count in range(1, most + 1):
        for several in itertools.permutations(labels, count):
            said = list(several[0])
            for label in several[1:]:
                said += [*separator, *label]
            yield (*said, END)


@pytest.mark.parametrize("seed", range(40))
def test_what_may_follow_is_what_some_translation_goes_on_with(seed):
    """After each beginning of each translation; labels begin alike, are beginnings of others, and hold separators."""
    rng = random.Random(seed)
    alphabet = range(1, 4)
    labels = sorted({tuple(rng.choices(alphabet, k=rng.randint(1, 3))) for _ in range(rng.randint(1, 5))})
    separator = tuple(rng.choices(alphabet, k=rng.randint(1, 2)))
    most = rng.randint(1, min(3, len(labels)))
    tree = LabelTree(tuple(labels), separator, most, END)
    following: dict[tuple[int, ...], set[int]] = {}
    for said in every(labels, separator, most):
        for length, word in enumerate(said):
            following.setdefault(said[:length], set()).add(word)

    for beginning, words in following.items():
        assert tree.allowed(beginning) == words

    assert tree.longest == max(map(len, every(labels, separator, most)))
    assert tree.allowed((9,)) == set()


def test_trees_of_the_same_labels_are_the_same():
    """What was looked up in one does not tell them apart."""
    one, other = (LabelTree(((1, 2), (3,)), (4,), 2, END) for _ in range(2))
    one.allowed((1, 2, 4))

    assert one == other
    assert hash(one) == hash(other)
