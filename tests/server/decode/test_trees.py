"""Token trees: levels, paths, and what moves when a source leaves."""

import numpy as np
import pytest

from dragoman.server.decode.trees import FIRST_LEVELS, Trees


def plain_path(levels: list[tuple[np.ndarray, np.ndarray, np.ndarray]], place: int):
    """Walk up lists of (tokens, parents, log-probabilities)."""
    tokens, logps, places = [], [], []
    for token, parent, logp in reversed(levels):
        tokens.append(int(token[place]))
        logps.append(float(logp[place]))
        places.append(place)
        place = int(parent[place])
    return tokens[::-1], logps[::-1], places[::-1]


@pytest.mark.parametrize("seed", range(5))
def test_paths_survive_growing_moving_and_replanting(seed):
    """Trees of different ages, three times deeper than their first arrays, are read off as lists have them."""
    rng = np.random.default_rng(seed)
    trees, kept = Trees(4, 3), [[] for _ in range(4)]
    for g in range(4):
        trees.plant(g, 7)
    for _ in range(3 * FIRST_LEVELS):
        n = int(rng.integers(1, 5))
        level = (rng.integers(0, 50, (n, 3)), rng.integers(0, 3, (n, 3)), rng.normal(size=(n, 3)).astype(np.float32))
        trees.grow(*level)
        for g in range(n):
            kept[g].append(tuple(rows[g] for rows in level))
        if rng.random() < 0.1:
            source, target = rng.permutation(4)[:2]
            trees.move(int(source), int(target))
            kept[target] = list(kept[source])
        elif rng.random() < 0.05:
            trees.plant(1, 9)
            kept[1] = []
            assert trees.newest[1].tolist() == [9, 9, 9]
        for g in range(4):
            assert trees.length[g] == len(kept[g])
            for place in range(3):
                assert trees.path(g, place) == plain_path(kept[g], place)
            assert trees.tokens(g, np.array([2, 0])) == [trees.path(g, place)[0] for place in (2, 0)]
            if kept[g]:
                assert trees.newest[g].tolist() == kept[g][-1][0].tolist()


def test_a_root_alone_has_an_empty_path():
    """Before the first level there is nothing to read off, and the newest token is the root's."""
    trees = Trees(2, 3)
    trees.plant(1, 42)

    assert trees.path(1, 2) == ([], [], [])
    assert trees.tokens(1, np.array([0, 2])) == [[], []]
    assert trees.newest[1].tolist() == [42, 42, 42]
