"""Tensors of a signature as inputs and as arguments."""

import torch

from dragoman.bundle.graphs import STEP, signature
from dragoman.bundle.manifest import Architecture
from dragoman.export.graphs.arguments import arguments, example

ARCH = Architecture(32, 4, 24, 1, 2, 320, 320)


def test_an_example_has_the_axes_that_are_asked_for():
    """The mask sees the pool's slots and the new nodes."""
    given = example(signature(ARCH, STEP).inputs, {"G": 3, "q": 2, "T": 5, "S": 7, "m": 1, "k": 4})

    assert given["mask"].shape == (3, 1, 2, 7)
    assert given["self_k.1"].shape == (3, 4, 5, 8)
    assert given["cross_k.0"].shape == (3, 4, 8, 7)
    assert (given["ids"].dtype, given["src_mask"].dtype) == (torch.int64, torch.float32)
    assert not any(tensor.any() for tensor in given.values())


def test_families_of_tensors_become_lists_in_their_order():
    """Keys and values of the pool, or states, and those of the source; everything else keeps its name."""
    given = {"ids": 1, "self_k.0": 2, "self_v.0": 3, "cross_k.0": 4, "cross_v.0": 5, "mask": 6, "top": 7}

    assert arguments(given) == {"ids": 1, "state": [2, 3], "cross": [4, 5], "mask": 6, "top": 7}
    assert arguments({"state.0": 1, "state.1": 2, "cross_k.0": 3}) == {"state": [1, 2], "mask": None, "cross": [3]}
    assert arguments({"candidates": 1}) == {"candidates": 1}
