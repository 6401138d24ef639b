"""Which decoders have a stride."""

from dataclasses import replace

import pytest

from dragoman.bundle.manifest import Architecture, Recurrent
from dragoman.export.passes.stride import MOST_WEIGHTS, has_stride

SMALL = Architecture(256, 8, 1536, 6, 2, 32_000, 32_000, decoder="ssru")


@pytest.mark.parametrize(
    ("changes", "precision", "shortlist", "expected"),
    [
        ({}, "int8", True, True),
        ({"decoder": "self-attention"}, "fp32", True, True),
        ({}, "int8", False, True),
        ({}, "fp16", True, False),
        ({"decoder_layers": 0}, "int8", True, False),
        ({"copies": True}, "fp32", False, False),
        ({"decoder": "self-attention", "positions": "relative"}, "int8", True, False),
        ({"decoder": "gru", "recurrent": Recurrent(256, 256, 128, 256)}, "int8", False, False),
        ({"target_vocabulary": 64_000}, "int8", False, False),
        ({"target_vocabulary": 64_000}, "int8", True, True),
        ({"d_model": 512, "ffn": 2048, "decoder_layers": 6}, "int8", True, False),
    ],
)
def test_small_plain_decoders_for_processors_have_one(changes, precision, shortlist, expected):
    """A shortlist spares the output layer; sizes are a student's, with twice its vocabulary, and a base model's."""
    assert has_stride(replace(SMALL, **changes), precision, shortlist=shortlist) is expected


def test_the_limit_is_what_a_step_multiplies_with():
    """To the weight: one layer of 6 d^2 + 2 d ffn."""
    exact = Architecture(1000, 8, 3000, 1, 1, 320, 320, decoder="ssru")

    assert has_stride(exact, "int8", shortlist=True)
    assert MOST_WEIGHTS == 6 * 1000**2 + 2 * 1000 * 3000
    assert not has_stride(replace(exact, ffn=3001), "int8", shortlist=True)
