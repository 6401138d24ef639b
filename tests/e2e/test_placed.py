"""The step that bundles have for devices, on the provider for processors: the same words as the portable step's.

Sums are taken in another order there, so that numbers are equal to rounding and not to the last bit.
"""

from dataclasses import replace

import numpy as np
import pytest

from dragoman.bundle.graphs import DEVICE_STEP
from dragoman.bundle.manifest import Decoding
from dragoman.server.batches.factory import GroupFactory
from dragoman.server.core.segments import Segment
from dragoman.server.core.strategies import DraftSource
from dragoman.server.decode.strategies.alternatives import Alternatives
from dragoman.server.decode.strategies.diversity import Diversity
from dragoman.server.decode.strategies.forced import Forced
from dragoman.server.decode.strategies.sampling import Sampling
from dragoman.server.decode.strategies.speculative import Speculative
from dragoman.server.runtime.hardware import PROCESSOR, Hardware

VOCABULARY, EOS = 320, 0
PLACED = Hardware(keeps=True, own_step=True)
GREEDY = Decoding(max_length=25)
BEAM = Decoding(beam_size=4, num_hypotheses=4, max_length=25)
TIE = 1e-3
"""Two outputs whose scores are this close are equally good."""

KINDS: dict[str, dict[str, object]] = {
    "greedy": {"decoding": GREEDY},
    "marian": {"decoding": BEAM},
    "hf": {"decoding": replace(BEAM, profile="hf", early_stopping="heuristic")},
    "sample": {"decoding": replace(GREEDY, num_hypotheses=4), "strategy": Sampling(5, temperature=1.3)},
    "diverse": {"decoding": BEAM, "strategy": Diversity(2, 0.7)},
    "alternatives": {"decoding": BEAM, "strategy": Alternatives(3)},
    "forced": {"decoding": BEAM, "strategy": Forced((7, 8, 1, 7))},
    "prefix": {"decoding": replace(BEAM, profile="hf"), "prefix": (30, 31, 32)},
    "attention": {"decoding": replace(BEAM, coverage_penalty=0.3), "attention": True},
    "repetition": {"decoding": replace(BEAM, repetition_penalty=1.6, no_repeat_ngram_size=2, min_length=10)},
    "drafts": {"decoding": GREEDY, "strategy": Speculative(DraftSource.SOURCE, 4)},
}


def segments(kind: str, count: int, longest: int = 40) -> list[Segment]:
    rng = np.random.default_rng([*kind.encode()])
    lengths = rng.integers(0, longest, count)
    return [Segment((*map(int, rng.integers(2, VOCABULARY, n)), EOS), **KINDS[kind]) for n in lengths]  # type: ignore


def differing(found, expected) -> list[object]:
    """Answers whose best hypothesis is another one, and not an equally good one."""
    return [
        (a.hypotheses[0], b.hypotheses[0])
        for a, b in zip(found, expected, strict=True)
        if a.hypotheses[0].ids != b.hypotheses[0].ids and abs(a.hypotheses[0].score - b.hypotheses[0].score) > TIE
    ]


pytestmark = pytest.mark.parametrize("tiny_checkpoint", ["self-attention"], indirect=True)
"""Attention of the plain kind alone has such a step."""


@pytest.fixture
def both(decoder, monkeypatch):
    """Lanes of either path, neither of which strides: that is for processors."""
    monkeypatch.setattr(GroupFactory, "_strides", lambda *_: False)

    def make(bundle, **options):
        return [decoder(bundle, hardware=hardware, **options) for hardware in (PROCESSOR, PLACED)]

    return make


def test_the_bundle_has_its_own_step(tiny_fp32):
    """Else all of this would compare a path with itself."""
    assert DEVICE_STEP in tiny_fp32.manifest.graphs


@pytest.mark.parametrize("kind", KINDS)
def test_each_strategy_says_the_same_words(both, tiny_fp32, kind):
    """500 random sources, and few places: sources join and leave all the time, rows are reused, and slots grow."""
    given = segments(kind, 500 if kind == "greedy" else 60)

    here, there = (one.together(given) for one in both(tiny_fp32, max_batch=12))

    assert differing(there, here) == []
    assert np.mean([a.hypotheses[0].ids == b.hypotheses[0].ids for a, b in zip(there, here, strict=True)]) >= 0.98


def test_scores_and_attention_are_those_of_the_portable_step(both, tiny_fp32):
    """Where the words are the same, scores, and what each word attended to, are equal to rounding."""
    given = segments("attention", 20)

    here, there = (one.together(given) for one in both(tiny_fp32, max_batch=8))

    for a, b in zip(there, here, strict=True):
        if a.hypotheses[0].ids == b.hypotheses[0].ids:
            assert a.hypotheses[0].score == pytest.approx(b.hypotheses[0].score, abs=1e-3)
            np.testing.assert_allclose(a.hypotheses[0].attention, b.hypotheses[0].attention, atol=1e-4)


def test_all_ways_together_disturb_nobody(both, tiny_fp32):
    """Groups of every kind side by side on two lanes: each source's words are those that it has alone."""
    given = [segment for kind in KINDS for segment in segments(kind, 8, longest=90)]

    together = both(tiny_fp32, max_batch=16)[1].together(given)
    alone = both(tiny_fp32, max_batch=1)[1].together(given)

    assert differing(together, alone) == []
