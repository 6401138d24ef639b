"""What is run before a bundle is served, over a model that is a table."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_runtime import FAKE_WORDS, FakeRuntime

from dragoman.bundle.graphs import (
    CANDIDATES,
    DEVICE_STEP,
    IDS,
    SELF,
    SRC_MASK,
    STEP,
    STEP_SHORTLIST,
    STRIDE,
    TOPK_LOGP,
    nat_graph,
)
from dragoman.bundle.manifest import Graph, Nat, Tensor
from dragoman.server.batches.factory import GroupFactory
from dragoman.server.batches.shortlist import Shortlist
from dragoman.server.batches.warm_up import FEW_WORDS, rehearse, warm_up
from dragoman.server.core.errors import EngineFailure, StartError
from dragoman.server.core.ports import LaneObserver

NAT = {
    "ctc": Nat("ctc", 1, 64, upsample=2, blank_id=2, refines=True),
    "masks": Nat("mask-predict", 1, 64, "shown", mask_id=FAKE_WORDS, last_id=0, length_classes=16),
}
LISTS = Shortlist(4, np.zeros(FAKE_WORDS + 1, np.int64), np.zeros(0, np.int64), vocabulary=FAKE_WORDS, eos_id=0)
FOLDER = Path("/models/fake")


class Faulty(FakeRuntime):
    """One graph's log-probabilities are changed."""

    def __init__(self, graph: str, change: Any) -> None:
        super().__init__(STRIDE, CANDIDATES, STEP_SHORTLIST, nat=NAT)
        self.manifest = replace(self.manifest, shortlist="lists")
        self._graph, self._change = graph, change

    def run(self, graph: str, feed: Any) -> dict[str, Any]:
        return self._changed(graph, super().run(graph, feed))

    def step(self, graph: str, feed: Any, *, attention: bool) -> tuple[dict[str, Any], list[Any]]:
        said, new = super().step(graph, feed, attention=attention)
        return self._changed(graph, said), new

    def _changed(self, graph: str, said: dict[str, Any]) -> dict[str, Any]:
        return said if graph != self._graph else {**said, TOPK_LOGP: self._change(said[TOPK_LOGP])}


class Lengths(Faulty):
    """Notes how many positions of sources each graph reads."""

    def __init__(self) -> None:
        super().__init__("none", None)
        limits = replace(self.manifest.limits, max_source_tokens=64)
        self.manifest = replace(self.manifest, limits=limits)
        self.lengths: dict[str, list[int]] = {}

    def run(self, graph: str, feed: Any) -> dict[str, Any]:
        if SRC_MASK in feed:
            self.lengths.setdefault(graph, []).append(int((feed[SRC_MASK] == 0).sum()))
        return super().run(graph, feed)


def warmed(runtime: FakeRuntime) -> FakeRuntime:
    shortlist = None if runtime.manifest.shortlist is None else LISTS
    warm_up(FOLDER, runtime, GroupFactory(runtime, shortlist, capacity=4, observer=LaneObserver()))
    return runtime


@pytest.mark.parametrize(
    "runtime",
    [FakeRuntime(), FakeRuntime(STRIDE), FakeRuntime(decoder="ssru"), FakeRuntime(nat=NAT), Faulty("none", None)],
    ids=["plain", "stride", "states", "nat", "all"],
)
def test_each_graph_is_run(runtime: FakeRuntime) -> None:
    """Whatever the bundle has: with a shortlist both the steps over it and those over all words."""
    assert set(warmed(runtime).runs) == set(runtime.graphs)


def test_a_pass_over_the_whole_vocabulary_has_few_words() -> None:
    """Each of them has a number for each word of it: of many that would be most of what a server at rest takes."""
    runtime = Lengths()
    warmed(runtime)

    assert max(runtime.lengths[nat_graph("ctc")]) <= FEW_WORDS < max(runtime.lengths[nat_graph("ctc", shortlist=True)])


@pytest.mark.parametrize("graph", [STEP, STEP_SHORTLIST, STRIDE, nat_graph("ctc"), nat_graph("masks", shortlist=True)])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_stops_the_start(graph: str, value: float) -> None:
    """In any of the graphs; the message names the bundle and says what to do."""
    with pytest.raises(
        StartError, match=r"/models/fake: what it decodes \((greedy|beam|nat)\) is not finite: .* again"
    ):
        warmed(Faulty(graph, lambda logp: np.full_like(logp, value)))


@pytest.mark.parametrize("graph", [STEP, nat_graph("masks")])
def test_a_run_that_fails_stops_the_start(graph: str) -> None:
    """With the runtime's own words: there is no request yet that they would be kept from."""

    def fail(_: object) -> None:
        raise EngineFailure("a run of the graph failed: no such node")

    with pytest.raises(StartError, match=r"/models/fake: it cannot decode \(\w+\): a run of the graph failed: no such"):
        warmed(Faulty(graph, fail))


def test_each_decoder_is_tried() -> None:
    """With the graphs that it has; what fails is told with its name."""
    other = FakeRuntime(decoder="ssru")
    warmed(FakeRuntime(siblings={"ssru": other}))
    assert set(other.runs) == set(other.graphs)

    broken = Faulty(STEP, lambda logp: logp * np.nan)
    with pytest.raises(StartError, match=r"what it decodes \(greedy by ssru\) is not finite"):
        warmed(FakeRuntime(siblings={"ssru": broken}))


class Rehearsed(FakeRuntime):
    """Notes how many sources of how many words, and nodes of each, are run, and what is asked for at the end."""

    def __init__(self) -> None:
        super().__init__()
        limits = replace(self.manifest.limits, max_source_tokens=512)
        decoding = replace(self.manifest.decoding, beam_size=3)
        self.manifest = replace(self.manifest, decoding=decoding, limits=limits)
        self.encoded: list[tuple[int, int]] = []
        self.stepped: list[tuple[int, ...]] = []
        self.left = 2

    def encode(self, feed: Any, *, cross: bool, hidden: bool) -> dict[str, Any]:
        self.encoded.append((len(feed[SRC_MASK]), len(feed[IDS]) // len(feed[SRC_MASK])))
        return super().encode(feed, cross=cross, hidden=hidden)

    def step(self, graph: str, feed: Any, *, attention: bool) -> tuple[dict[str, Any], list[Any]]:
        self.stepped.append(feed[IDS].shape)
        return super().step(graph, feed, attention=attention)

    def prepare(self) -> bool:
        self.left -= 1
        return self.left >= 0


@pytest.mark.parametrize(("most", "rows"), [(256, {1, 8, 64, 128}), (16, {1, 8, 16})])
def test_a_lane_rehearses_what_it_will_run_most(most: int, rows: set[int]) -> None:
    """Greedy search, the bundle's beam, draws, rounds with drafts and without; few sources and many, short and long,
    but no size twice; then all is prepared. What it measures of drafts meanwhile is not taken for what they cost.
    """
    runtime, drafted = Rehearsed(), []
    observer = LaneObserver()
    observer.on_drafts = lambda *given: drafted.append(given)  # type: ignore[method-assign]
    factory = GroupFactory(runtime, None, capacity=most, observer=observer)

    rehearse(runtime, factory, most)

    some = {count for count in rows if count <= 64}
    widths = {width: {count for count, nodes in runtime.stepped if nodes == width} for width in (1, 3, 9)}
    assert widths == {1: rows, 3: rows, 9: some}
    assert {*runtime.encoded} == {(count, 21) for count in rows} | {(count, 101) for count in some}
    assert len(runtime.stepped) == len(runtime.encoded) == (26 if most == 256 else 24)
    assert runtime.encoded[0] == (max(rows), 21)
    assert runtime.left == -1
    assert drafted == []
    assert factory._costs == {}


def test_who_has_no_beam_rehearses_the_one_that_most_ask_for() -> None:
    """Of 4."""
    runtime = Rehearsed()
    runtime.manifest = replace(runtime.manifest, decoding=replace(runtime.manifest.decoding, beam_size=1))

    rehearse(runtime, GroupFactory(runtime, None, capacity=8, observer=LaneObserver()), 8)

    assert {nodes for _, nodes in runtime.stepped} == {1, 4, 9}


@pytest.mark.parametrize(("width", "rows"), [(512, {1, 8, 64, 128}), (4096, {1, 8, 64})])
def test_large_models_rehearse_less(width: int, rows: set[int]) -> None:
    """What keys and values of many sources would take stays free: neither 128 at a time, nor draws and drafts."""
    runtime = Rehearsed()
    kept = tuple(Tensor(f"{SELF}{x}.{n}", "float16", ("G", "T", width)) for n in range(12) for x in "kv")
    graphs = {**runtime.manifest.graphs, DEVICE_STEP: Graph("step", kept, ())}
    runtime.manifest = replace(runtime.manifest, graphs=graphs)

    rehearse(runtime, GroupFactory(runtime, None, capacity=256, observer=LaneObserver()), 256)

    assert {count for count, _ in runtime.stepped} == rows
    assert (9 in {nodes for _, nodes in runtime.stepped}) is (width == 512)
