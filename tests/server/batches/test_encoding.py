"""Runs of the encoder: which segments share one, and what each gets out of it."""

from itertools import pairwise

import numpy as np
from fake_runtime import FakeRuntime

from dragoman.server.batches.encoding import (
    GPU_ENCODE_TOKENS,
    GPU_RUN_TOKENS,
    RUN_TOKENS,
    encode,
    encoder_runs,
    gpu_padded_tokens,
    packed_rows,
)
from dragoman.server.runtime.padding import round_up


def test_segments_of_similar_length_share_a_run():
    """Within the bound on tokens, and as long as padding costs less than a run of its own would."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 90, 60).tolist()

    runs = encoder_runs(lengths, lambda n: n, 256)

    assert [n for run in runs for n in run] == sorted(lengths)
    for run in runs:
        assert len(run) == 1 or len(run) * round_up(max(run)) <= 256
        padded = [round_up(n) for n in run]
        assert all(at * (now - before) <= RUN_TOKENS for at, (before, now) in enumerate(pairwise(padded), 1))


def test_one_that_is_longer_than_a_run_goes_alone():
    """Nothing is left out for its length."""
    assert encoder_runs([300, 5, 300], lambda n: n, 256) == [[5], [300], [300]]


def test_runs_of_a_gpu_are_bounded_by_the_sizes_that_they_come_in():
    """256 sentences are two runs; those of which a few more make a size twice as large go in two, too."""

    def sizes(lengths: list[int]) -> list[int]:
        runs = encoder_runs(lengths, lambda n: n, GPU_ENCODE_TOKENS, GPU_RUN_TOKENS, gpu_padded_tokens)
        return [len(run) for run in runs]

    assert sizes([24] * 256) == [128, 128]
    assert sizes([110] * 70) == [64, 6]


def test_a_source_is_the_same_alone_and_among_others(work):
    """Words are packed without padding, and each source gets its own rows and positions."""
    runtime, asked = FakeRuntime(), work.segments(6)

    together = encode(runtime, asked, hidden=True)

    for segment, source in zip(asked, together, strict=True):
        (alone,) = encode(runtime, [segment], hidden=True)
        size = len(segment.ids)
        assert source.hidden[:, 0].tolist() == list(segment.ids) == alone.hidden[:, 0].tolist()
        assert source.tensors["cross_k.0"][0, 0, :size].tolist() == list(segment.ids)
        assert source.tensors["cross_v.0"][0, :size, 0].tolist() == list(segment.ids)


def test_what_nobody_reads_is_not_made(work):
    """Keys and values without hidden rows, or hidden rows alone."""
    runtime, asked = FakeRuntime(), work.segments(2)

    assert [one.hidden for one in encode(runtime, asked)] == [None, None]
    assert [dict(one.tensors) for one in encode(runtime, asked, cross=False, hidden=True)] == [{}, {}]


def test_padding_reads_the_word_before_it():
    """Each position has the number of its word among all sources' words; what is masked may be any."""
    rows = packed_rows(np.array([2, 3]))

    assert rows.shape == (2, 16)
    assert rows[0].tolist() == [0, 1] + [1] * 14
    assert rows[1].tolist() == [2, 3, 4] + [4] * 13
