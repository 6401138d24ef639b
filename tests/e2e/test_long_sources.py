"""Encoders for long sources: each source's keys and values are the same to the last bit in every run of the encoder."""

import numpy as np
import pytest

from dragoman.bundle.manifest import Decoding
from dragoman.bundle.reader import Bundle
from dragoman.server.batches.encoding import encode
from dragoman.server.core.segments import Segment
from dragoman.server.runtime.host_runtime import HostRuntime

VOCABULARY, EOS = 320, 0
LENGTHS = (1, 5, 16, 17, 31, 33, 47, 64, 65, 80, 129, 200, 257, 650)
RUNS = ((0, 13), (1, 2, 3), (4, 5, 6, 7), (12, 8, 0), (9, 10, 11, 12), (13, 12, 1), tuple(range(len(LENGTHS))))


def segments() -> list[Segment]:
    """A segment of each length."""
    rng = np.random.default_rng(4)
    decoding = Decoding(beam_size=2, num_hypotheses=2, max_length=30)
    return [Segment((*map(int, rng.integers(2, VOCABULARY, n - 1)), EOS), decoding) for n in LENGTHS]


def test_a_source_is_encoded_the_same_alone_and_in_every_run(long_bundle: Bundle) -> None:
    """Below, at and above blocks, beside shorter and longer ones: no bit of any key or value of a word changes."""
    runtime, texts = HostRuntime(long_bundle), segments()
    alone = [encode(runtime, [text])[0].tensors for text in texts]

    for run in RUNS:
        together = encode(runtime, [texts[index] for index in run])
        for index, source in zip(run, together, strict=True):
            length = LENGTHS[index]
            for name, tensor in source.tensors.items():
                expected = alone[index][name]
                is_keys = "k." in name  # which are turned
                found, wanted = (t[..., :length] if is_keys else t[:, :length] for t in (tensor, expected))
                assert np.array_equal(found, wanted), (name, length, run)


@pytest.mark.parametrize("most", [1, 4])
def test_long_sources_decode_the_same_beside_short_ones(long_bundle: Bundle, decoder, most: int) -> None:
    """Whole translations of sources of up to 650 words, in lanes of different sizes, are those of each alone."""
    texts = segments()[3::3]

    expected = [answer.hypotheses for answer in decoder(long_bundle, max_batch=1, lanes=1).one_by_one(texts)]

    found = decoder(long_bundle, max_batch=most, lanes=2).together(texts)
    assert [answer.hypotheses for answer in found] == expected
    assert len({answer[0].ids for answer in expected}) > 2, "outputs that are all the same prove nothing"
