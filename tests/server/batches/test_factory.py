"""Which segments share a group, and what kind of group that is."""

from dataclasses import replace

import numpy as np
import pytest
from fake_runtime import FAKE_WORDS, FakeRuntime

from dragoman.bundle.graphs import (
    CANDIDATES,
    DEVICE_HIDDEN_JOIN,
    DEVICE_STEP,
    DEVICE_STRIDE,
    DEVICE_STRIDE_STEPS,
    STEP,
    STEP_SHORTLIST,
    STRIDE,
)
from dragoman.server.batches.canvas_batch import CanvasBatch
from dragoman.server.batches.factory import GroupFactory, needs_cross, needs_hidden
from dragoman.server.batches.rescoring import Rescored
from dragoman.server.batches.shortlist import Shortlist
from dragoman.server.batches.step_batch import StepBatch
from dragoman.server.core.ports import LaneObserver
from dragoman.server.core.strategies import Beam, DraftSource
from dragoman.server.decode.chains import Chains
from dragoman.server.decode.search import Search
from dragoman.server.decode.strategies.alternatives import Alternatives
from dragoman.server.decode.strategies.diversity import Diversity
from dragoman.server.decode.strategies.forced import Forced
from dragoman.server.decode.strategies.nat import NonAutoregressive
from dragoman.server.decode.strategies.sampling import Sampling
from dragoman.server.decode.strategies.speculative import Speculative

LISTS = Shortlist(4, np.zeros(FAKE_WORDS + 1, np.int64), np.zeros(0, np.int64), vocabulary=FAKE_WORDS, eos_id=0)


class Drafted(LaneObserver):
    """Writes down what it is told of drafts."""

    def __init__(self):
        self.told = []

    def on_drafts(self, *numbers):
        self.told.append(numbers)


def a_factory(work, *graphs: str, shortlist: Shortlist | None = None) -> GroupFactory:
    return GroupFactory(FakeRuntime(*graphs, nat=work.NAT), shortlist, capacity=4, observer=Drafted())


def kind_of(group) -> type:
    """A group's class, or what grows the hypotheses of a step batch."""
    return type(group.grower) if isinstance(group, StepBatch) else type(group)


def kinds(work):
    """A segment of each strategy, and the kind of group that decodes it where the bundle has no stride."""
    (greedy,) = work.segments(1, ids=(5, 6, 0))
    beam = replace(greedy, decoding=replace(greedy.decoding, beam_size=4))
    return {
        "greedy": (greedy, Search),
        "beam": (beam, Search),
        "sample": (replace(greedy, strategy=Sampling(3)), Search),
        "diverse": (replace(beam, strategy=Diversity(2, 0.5)), Search),
        "alternatives": (replace(greedy, strategy=Alternatives(2)), Search),
        "speculative": (replace(greedy, strategy=Speculative(DraftSource.SOURCE, 3)), Chains),
        "ctc": (replace(greedy, strategy=NonAutoregressive("ctc")), CanvasBatch),
        "mask-predict": (replace(greedy, strategy=NonAutoregressive("mask-predict")), CanvasBatch),
        "rescored": (replace(greedy, strategy=NonAutoregressive("ctc", rescore=True)), Rescored),
    }


def test_each_strategy_has_a_group_of_its_own(work):
    """No two of them share a key, and each has its kind of group."""
    factory, segments = a_factory(work), kinds(work)

    assert len({factory.key(segment) for segment, _ in segments.values()}) == len(segments)
    for name, (segment, kind) in segments.items():
        assert kind_of(factory.group(segment)) is kind, name


def test_a_forced_target_goes_with_greedy_search(work):
    """Both take one word a step of one hypothesis."""
    factory, (greedy, _) = a_factory(work), kinds(work)["greedy"]

    assert factory.key(replace(greedy, strategy=Forced((4, 5)))) == factory.key(greedy)


def test_greedy_search_strides_where_it_asks_for_no_more(work):
    """Whatever weighs words, reads attention, draws or keeps several takes single steps."""
    factory, segments = a_factory(work, STRIDE), kinds(work)
    (greedy, _), (beam, _) = segments["greedy"], segments["beam"]
    decoding = greedy.decoding
    others = [
        beam,
        replace(greedy, decoding=replace(decoding, repetition_penalty=1.2)),
        replace(greedy, decoding=replace(decoding, no_repeat_ngram_size=3)),
        replace(greedy, decoding=replace(decoding, min_length=3)),
        replace(greedy, suppressed_ids=(5,)),
        replace(greedy, prefix=(5,)),
        replace(greedy, attention=True),
        replace(greedy, strategy=Forced((5, 6))),
        replace(greedy, strategy=Sampling(1)),
    ]

    assert kind_of(factory.group(greedy)) is Chains
    assert factory.key(greedy) == factory.key(replace(greedy, ids=(3, 0), strategy=Beam()))
    for segment in others:
        assert kind_of(factory.group(segment)) is Search
        assert factory.key(segment) != factory.key(greedy)


@pytest.mark.parametrize("has_stride", [False, True])
def test_on_a_device_the_search_itself_strides(work, has_stride):
    """Greedily, where the bundle has that graph; whatever asks for more takes single steps in another group."""
    graphs = (DEVICE_STEP, DEVICE_STRIDE) if has_stride else (DEVICE_STEP,)
    factory, (greedy, _) = a_factory(work, *graphs), kinds(work)["greedy"]
    factory._runtime.is_placed = True
    more = replace(greedy, decoding=replace(greedy.decoding, repetition_penalty=1.2))

    queries = []
    for segment in (greedy, more):
        group = factory.group(segment)
        assert kind_of(group) is Search
        group.grower.admit(segment)
        queries.append(group.grower.ask())

    assert [query.is_stride for query in queries] == [has_stride, False]
    assert queries[0].seen.shape == (1, DEVICE_STRIDE_STEPS if has_stride else 1)
    assert (factory.key(greedy) == factory.key(more)) is not has_stride


@pytest.mark.parametrize("has_shortlist", [False, True])
def test_a_stride_is_over_the_shortlist_where_there_is_one(work, has_shortlist):
    """A segment that is decoded over other words than the stride takes single steps."""
    graphs = (STRIDE, STEP_SHORTLIST, CANDIDATES) if has_shortlist else (STRIDE,)
    factory, (greedy, _) = a_factory(work, *graphs, shortlist=LISTS if has_shortlist else None), kinds(work)["greedy"]
    other = replace(greedy, decoding=replace(greedy.decoding, shortlist=not greedy.decoding.shortlist))

    striding = [one for one in (greedy, other) if kind_of(factory.group(one)) is Chains]

    assert [one.decoding.shortlist for one in striding] == ([True] if has_shortlist else [False, True])


def test_what_is_forced_may_lie_outside_of_the_shortlist(work):
    """So a prefix and a forced target are decoded over the whole vocabulary."""
    factory, (greedy, _) = a_factory(work, STEP_SHORTLIST, CANDIDATES, shortlist=LISTS), kinds(work)["greedy"]
    over_lists = replace(greedy, decoding=replace(greedy.decoding, shortlist=True))
    over_all = replace(greedy, decoding=replace(greedy.decoding, shortlist=False))

    assert factory.key(over_lists) != factory.key(over_all)
    for forced in ({"prefix": (5,)}, {"strategy": Forced((5, 6))}):
        assert factory.key(replace(over_lists, **forced)) == factory.key(replace(over_all, **forced))


def test_who_reads_what_of_the_encoder(work):
    """Canvases read hidden rows, step graphs keys and values, and what drafts or rescores for the other both."""
    needs = {name: (needs_cross(segment), needs_hidden(segment)) for name, (segment, _) in kinds(work).items()}
    (greedy, _) = kinds(work)["greedy"]
    drafted = replace(greedy, strategy=Speculative(DraftSource.NAT, 3, "mask-predict"))

    assert needs["ctc"] == needs["mask-predict"] == (False, True)
    assert needs["rescored"] == (needs_cross(drafted), needs_hidden(drafted)) == (True, True)
    assert all(need == (True, False) for name, need in needs.items() if name in ("greedy", "beam", "speculative"))


def test_rows_that_a_device_keeps_are_read_where_they_lie(work):
    """By CTC and by drafts of it, in the place of arrays; mask-predict reads arrays."""
    factory = a_factory(work)
    plain = {name: factory.reads(segment) for name, (segment, _) in kinds(work).items()}
    runtime = factory._runtime
    graphs = {**runtime.manifest.graphs, DEVICE_HIDDEN_JOIN: runtime.manifest.graphs[STEP]}
    runtime.is_placed, runtime.manifest = True, replace(runtime.manifest, graphs=graphs)
    placed = {name: factory.reads(segment) for name, (segment, _) in kinds(work).items()}

    assert plain["ctc"] == plain["mask-predict"] == placed["mask-predict"] == (False, True)
    assert placed["ctc"] == placed["rescored"] == (True, False)
    assert plain["greedy"] == placed["greedy"] == placed["speculative"] == (True, False)


@pytest.mark.parametrize("draft", DraftSource)
def test_every_source_of_drafts_leads_to_greedy_search(work, draft):
    """What they cost is measured together for all groups of the same kind, and told with each round of drafts."""
    factory = a_factory(work)
    runtime, observer = factory._runtime, factory._observer
    decoder = "ctc" if draft is DraftSource.HYPOTHESIS else "mask-predict"
    asked = work.segments(20, strategy=Speculative(draft, 3, decoder))

    finished = work.run(runtime, factory.group(asked[0]), asked, places=4, hidden=True)

    assert [finished[n].hypotheses[0].ids for n in range(20)] == [work.greedily(runtime, one) for one in asked]
    assert sum(drafted for _, drafted, _, _ in observer.told) > 0
    assert len(factory._costs) == 1


def test_decoders_share_no_group_but_those_without_autoregression(work):
    """A group's steps are runs of one decoder's graphs."""
    runtime = FakeRuntime(STRIDE, nat=work.NAT, siblings={"ssru": FakeRuntime(decoder="ssru")})
    factory = GroupFactory(runtime, None, capacity=4, observer=Drafted())

    for name in ("greedy", "beam", "sample", "speculative"):
        segment, _ = kinds(work)[name]
        assert factory.key(segment) != factory.key(replace(segment, decoder="ssru")), name
    greedy, _ = kinds(work)["greedy"]
    assert kind_of(factory.group(greedy)) is Chains  # by strides, which the sibling has none of
    assert kind_of(factory.group(replace(greedy, decoder="ssru"))) is Search
