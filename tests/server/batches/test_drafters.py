"""Sources of drafts: what each says, and that a source's drafts are its own whoever comes and goes."""

import numpy as np
import pytest
from fake_runtime import FakeRuntime

from dragoman.server.batches.canvas_batch import CanvasBatch
from dragoman.server.batches.drafters import BlockDrafts, HypothesisDrafts, SourceDrafts
from dragoman.server.batches.encoding import encode
from dragoman.server.decode.strategies.nat import NonAutoregressive


def drafters(work):
    """Each of them, over a fake runtime."""
    runtime = FakeRuntime(nat=work.NAT)

    def canvases() -> CanvasBatch[int]:
        return CanvasBatch(runtime, None, name="ctc", capacity=6)

    return {
        "source": (runtime, SourceDrafts),
        "hypothesis": (runtime, lambda: HypothesisDrafts(canvases(), NonAutoregressive("ctc"), 0)),
        "nat": (runtime, lambda: BlockDrafts(runtime, None, name="mask-predict", capacity=6)),
    }


@pytest.mark.parametrize("kind", ["source", "hypothesis", "nat"])
def test_drafts_do_not_depend_on_who_else_is_there(work, kind):
    """Twelve sources that join and leave, some before anything was drafted for them: each has its own drafts."""
    runtime, make = drafters(work)[kind]
    asked = work.segments(12)
    encoded = encode(runtime, asked, hidden=True)
    prefixes = [tuple(segment.ids[:2]) for segment in asked]

    def alone(n):
        drafter = make()
        drafter.admit(asked[n], encoded[n])
        return list(drafter.draft([prefixes[n]], 3)[0])

    expected = [alone(n) for n in range(12)]
    drafter, here, rng = make(), [], np.random.default_rng(1)
    waiting = list(range(12))
    while waiting or here:
        while waiting and len(here) < 5:
            here.append(waiting.pop())
            drafter.admit(asked[here[-1]], encoded[here[-1]])
        if rng.random() < 0.7:
            assert [list(one) for one in drafter.draft([prefixes[n] for n in here], 3)] == [expected[n] for n in here]
        row = int(rng.integers(len(here)))
        drafter.remove(row)
        here[row] = here[-1]
        del here[-1]
    assert any(expected)


def test_the_source_is_followed_from_where_its_words_were_found(work):
    """Names and numbers come in the translation as they come in the source."""
    (segment,) = work.segments(1, ids=(5, 6, 7, 8, 9, 0))
    drafter = SourceDrafts()
    drafter.admit(segment, None)

    assert [list(drafter.draft([prefix], 2)[0]) for prefix in ((), (20, 6), (20,))] == [[], [7, 8], []]


def test_nothing_is_computed_before_the_first_draft(work):
    """While drafts do not pay, their decoder is not run: a source that comes and goes costs nothing."""
    for kind in ("hypothesis", "nat"):
        runtime, make = drafters(work)[kind]
        (segment,) = work.segments(1, ids=(5, 6, 0))
        (source,) = encode(runtime, [segment], hidden=True)
        runtime.runs.clear()
        drafter = make()
        drafter.admit(segment, source)
        drafter.remove(0)
        drafter.admit(segment, source)
        assert runtime.runs == []

        drafter.draft([()], 3)

        assert len(runtime.runs) == {"hypothesis": 1, "nat": 2}[kind]


def test_a_block_is_no_longer_than_the_decoder_was_trained_for(work):
    """And there is none where the canvas has no room for it."""
    runtime, make = drafters(work)["nat"]
    asked = work.segments(2, ids=(5, 6, 7, 0))
    drafter = make()
    for segment, source in zip(asked, encode(runtime, asked, hidden=True), strict=True):
        drafter.admit(segment, source)

    short, long = drafter.draft([(4,), tuple([4] * 63)], 8)

    assert len(short) == work.NAT["mask-predict"].block
    assert len(long) == 0
    assert not {0 + 24, 1} & set(short), "masks and the unknown word are never drafted"
