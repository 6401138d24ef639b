"""Which sources are decoded together, and by what: the one place that knows every way of decoding."""

from collections.abc import Hashable
from typing import TypeVar

from dragoman.bundle.graphs import DEVICE_STRIDE, DEVICE_STRIDE_STEPS, STEP_SHORTLIST, STRIDE
from dragoman.server.batches.canvas_batch import CanvasBatch
from dragoman.server.batches.drafters import BlockDrafts, HypothesisDrafts, SourceDrafts
from dragoman.server.batches.drafting import Drafter, Speculation
from dragoman.server.batches.group import Group
from dragoman.server.batches.rescoring import Rescored
from dragoman.server.batches.shortlist import Shortlist
from dragoman.server.batches.step_batch import chain_batch, tree_batch
from dragoman.server.core.ports import LaneObserver
from dragoman.server.core.segments import Segment
from dragoman.server.core.strategies import Beam, DraftSource
from dragoman.server.decode.draft_costs import Costs
from dragoman.server.decode.layout import Layout
from dragoman.server.decode.segment_search import SegmentSearch
from dragoman.server.decode.strategies.forced import Forced
from dragoman.server.decode.strategies.nat import NonAutoregressive
from dragoman.server.decode.strategies.speculative import Speculative
from dragoman.server.runtime.runtime import Runtime, reads_placed

T = TypeVar("T", bound=Hashable)


def needs_cross(segment: Segment) -> bool:
    """Whether the autoregressive decoder reads this source."""
    return not isinstance(segment.strategy, NonAutoregressive) or segment.strategy.rescore


def needs_hidden(segment: Segment) -> bool:
    """Whether a non-autoregressive decoder reads it."""
    strategy = segment.strategy
    return isinstance(strategy, NonAutoregressive) or (
        isinstance(strategy, Speculative) and strategy.draft is not DraftSource.SOURCE
    )


class GroupFactory:
    """Makes groups for the lanes of one bundle."""

    def __init__(self, runtime: Runtime, shortlist: Shortlist | None, *, capacity: int, observer: LaneObserver) -> None:
        self._runtime, self._shortlist, self._capacity = runtime, shortlist, capacity
        self._observer = observer
        self._costs: dict[Hashable, Costs] = {}

    def __repr__(self) -> str:
        return f"<GroupFactory {self._runtime!r}, {self._costs}>"

    def runtime(self, decoder: str | None) -> Runtime:
        """The bundle's graphs as a decoder sees them."""
        return self._runtime.of(decoder)

    def key(self, segment: Segment) -> Hashable:
        """Segments with equal keys share a group."""
        match segment.strategy:
            case NonAutoregressive(decoder=decoder, rescore=rescore):
                return decoder, rescore, self._has_shortlist(segment)
            case Speculative() as strategy:
                return segment.decoder, strategy, self._has_shortlist(segment), self._strides(segment)
            case _:
                asks_for_much = segment.phrasing is not None  # of each row's words, for all rows of a group
                kind = segment.decoder, Layout.of(segment)
                return *kind, self._has_shortlist(segment), self._strides(segment), asks_for_much

    def reads(self, segment: Segment) -> tuple[bool, bool]:
        """What of an encoded source is read for this segment: what the runtime keeps of it, and its rows as arrays."""
        strategy, cross, hidden = segment.strategy, needs_cross(segment), needs_hidden(segment)
        decoder = strategy.decoder if isinstance(strategy, NonAutoregressive | Speculative) else ""
        is_kept = hidden and self._runtime.is_placed and reads_placed(self._runtime.manifest, decoder)
        return cross or is_kept, hidden and not is_kept

    def _has_shortlist(self, segment: Segment) -> bool:
        # What is forced may be outside of the shortlist; and where there is none, all words are searched.
        is_free = not segment.prefix and not isinstance(segment.strategy, Forced) and segment.phrasing is None
        return segment.decoding.shortlist and is_free and self._shortlist is not None

    def _strides(self, segment: Segment) -> bool:
        """Whether greedy search of this segment takes the stride graph: that gives each place's best words alone."""
        runtime = self._runtime.of(segment.decoder)
        manifest, graphs = runtime.manifest, runtime.graphs
        if runtime.is_placed:
            if DEVICE_STRIDE not in graphs:
                return False
        elif STRIDE not in graphs or self._has_shortlist(segment) != (STEP_SHORTLIST in graphs):
            return False
        is_greedy = isinstance(segment.strategy, Beam) and segment.decoding.beam_size == 1
        if not is_greedy and not isinstance(segment.strategy, Speculative):
            return False
        return not SegmentSearch(segment, manifest.tokenizer, beams=1, width=1).is_special

    def group(self, segment: Segment, costs: Costs | None = None) -> Group[T]:
        """An empty group for segments like this one; whether drafts pay is asked of `costs`, or of all such groups'."""
        shortlist = self._shortlist if self._has_shortlist(segment) else None
        runtime, has_stride, speculation = self._runtime.of(segment.decoder), self._strides(segment), None
        match segment.strategy:
            case NonAutoregressive(decoder=decoder, rescore=rescore):
                group: Group[T] = self._nat(runtime, decoder, shortlist)
                if rescore:
                    group = Rescored(group, runtime)
                return group
            case Speculative() as strategy:
                speculation = self._speculation(runtime, strategy, shortlist, costs)
            case _ if not has_stride or runtime.is_placed:
                return tree_batch(
                    runtime,
                    shortlist,
                    layout=Layout.of(segment),
                    capacity=self._capacity,
                    stride=DEVICE_STRIDE_STEPS if has_stride else 1,
                )
        return chain_batch(runtime, shortlist, speculation, capacity=self._capacity, has_stride=has_stride)

    def _nat(self, runtime: Runtime, name: str, shortlist: Shortlist | None) -> Group[T]:
        return CanvasBatch(runtime, shortlist, name=name, capacity=self._capacity)

    def _speculation(
        self, runtime: Runtime, strategy: Speculative, shortlist: Shortlist | None, costs: Costs | None
    ) -> Speculation:
        # Not by what a request may choose freely: there would be no end of them.
        key = strategy.draft, strategy.tokens, strategy.decoder, shortlist is not None
        observer = self._observer if costs is None else LaneObserver()  # a rehearsal is nobody's
        costs = costs or self._costs.setdefault(key, Costs())
        return Speculation(strategy, self._drafter(runtime, strategy, shortlist), costs, observer)

    def _drafter(self, runtime: Runtime, strategy: Speculative, shortlist: Shortlist | None) -> Drafter:
        name = strategy.decoder
        match strategy.draft:
            case DraftSource.SOURCE:
                return SourceDrafts()
            case DraftSource.NAT:
                return BlockDrafts(runtime, shortlist, name=name, capacity=self._capacity)
            case DraftSource.HYPOTHESIS:
                eos_id = runtime.manifest.tokenizer.eos_id
                return HypothesisDrafts(self._nat(runtime, name, shortlist), NonAutoregressive(name), eos_id)
