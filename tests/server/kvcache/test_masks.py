"""What nodes see."""

import numpy as np
import pytest

from dragoman.server.kvcache.masks import opening
from dragoman.server.runtime.padding import MASKED


@pytest.mark.parametrize("is_shared", [True, False])
@pytest.mark.parametrize(("sources", "nodes", "slots"), [(1, 1, 16), (3, 1, 0), (0, 2, 16), (5, 4, 32)])
def test_a_node_sees_what_it_has_read_and_some_of_its_run(sources, nodes, slots, is_shared):
    """Node by node and slot by slot; nodes of a source may have read the same."""
    random = np.random.default_rng(nodes)
    read, among = random.random((sources, 1 if is_shared else nodes, slots)) < 0.5, np.tri(nodes, dtype=np.bool_)

    mask = opening(read, among)

    assert (mask.shape, mask.dtype) == ((sources, 1, nodes, slots + nodes), np.float32)
    for g in range(sources):
        for q in range(nodes):
            sees = [*read[g, 0 if is_shared else q], *among[q]]
            assert mask[g, 0, q].tolist() == [0.0 if seen else MASKED for seen in sees]
