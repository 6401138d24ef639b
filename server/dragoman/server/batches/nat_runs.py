"""Runs of a non-autoregressive decoder's graphs: what they are fed, and how much goes into one of them."""

from collections.abc import Mapping, Sequence

import numpy as np

from dragoman.bundle.graphs import (
    CANVAS_MASK,
    HIDDEN,
    IDS,
    LENGTH_LOGP,
    LENGTHS,
    PLACES,
    SRC_MASK,
    WHOSE,
    device_lengths,
    nat_memory_graph,
)
from dragoman.server.batches.encoding import packed_rows
from dragoman.server.batches.group import Source
from dragoman.server.batches.roster import Roster
from dragoman.server.decode.arrays import Floats32, Ints
from dragoman.server.decode.ctc import NOTHING
from dragoman.server.kvcache.source_memory import Memory, placed_rows_of
from dragoman.server.runtime import run_limits
from dragoman.server.runtime.buffers import Feed
from dragoman.server.runtime.device_rows import SAID
from dragoman.server.runtime.host_store import HostStore
from dragoman.server.runtime.padding import GRAIN, MASKED, round_up
from dragoman.server.runtime.runtime import Runtime

PassSize = tuple[int, int, int]
"""What a source adds to a pass: places that are to be filled, canvases, and the width of these, in places, or in
positions of the source where it has more of them."""


def source_feed(hidden: Sequence[Floats32]) -> Feed:
    """What the encoder made of sources, as the graphs take it."""
    lengths = np.array([len(rows) for rows in hidden])
    places = packed_rows(lengths)
    is_word = np.arange(places.shape[1]) < lengths[:, None]
    src_mask = np.where(is_word, np.float32(0), MASKED)[:, None, None]
    return {HIDDEN: np.concatenate(hidden), PLACES: places, SRC_MASK: src_mask}


class NatMemory:
    """What mask-predict's decoder reads of its sources: keys and values as arrays, made when they are first asked for;
    or the encoder's rows, which lie on a device, with what it said of their lengths.
    """

    def __init__(self, runtime: Runtime, name: str, capacity: int) -> None:
        self._runtime, self._graph, self._told = runtime, nat_memory_graph(name), device_lengths(name)
        placed = placed_rows_of(runtime, name, capacity)
        self._is_placed = placed is not None
        self._memory = self._made_here(capacity) if placed is None else placed
        self._joining: Roster[Source | None] = Roster(self._memory.remove)
        """Each source as the encoder gave it, as long as that is of use."""

    def _made_here(self, capacity: int) -> Memory:
        kept = [tensor for tensor in self._runtime.manifest.graphs[self._graph].outputs if "S" in tensor.shape]
        return Memory(HostStore(kept, {"G": capacity, "S": GRAIN}), capacity)

    def admit(self, source: Source, length: int) -> None:
        """One source more, of so many words."""
        self._joining.admit(source)
        if self._is_placed:
            self._memory.admit(source.tensors, length)
        else:
            self._memory.admit({}, 0)

    def remove(self, row: int) -> None:
        """A source leaves; the last one takes its place."""
        self._joining.remove(row)

    def settle(self) -> dict[int, Floats32 | None]:
        """Make what is kept of those that have joined; log-probabilities of their lengths [classes], where the decoder
        predicts them.
        """
        new = {g: source for g, source in enumerate(self._joining.rows) if source is not None}
        for g in new:
            self._joining.rows[g] = None
        if self._is_placed:
            return {g: self._lengths_of(source) for g, source in new.items()}
        return self._make({g: source.hidden for g, source in new.items() if source.hidden is not None})

    def _lengths_of(self, source: Source) -> Floats32 | None:
        said, number = source.tensors[SAID]
        lengths = said().get(self._told)
        return None if lengths is None else lengths[number]

    def _make(self, new: Mapping[int, Floats32]) -> dict[int, Floats32 | None]:
        if not new:
            return {}
        made = self._runtime.run(self._graph, source_feed([*new.values()]))
        lengths = made.pop(LENGTH_LOGP, [None] * len(new))
        for n, (g, hidden) in enumerate(new.items()):
            self._memory.fill(g, {name: tensor[n] for name, tensor in made.items()}, len(hidden))
        return dict(zip(new, lengths, strict=True))

    def feed(self, sources: Ints) -> Feed:
        """Graph inputs of canvases of these sources."""
        feed = self._memory.feed()
        if self._is_placed:
            return {**feed, WHOSE: sources, LENGTHS: feed[LENGTHS][sources]}
        if np.array_equal(sources, np.arange(len(self._memory))):
            return feed
        return {name: tensor[sources] for name, tensor in feed.items()}


def canvas_feed(canvases: Sequence[Ints]) -> tuple[Feed, int]:
    """Canvases as the graph takes them, and how wide they are padded."""
    width = round_up(max(map(len, canvases)))
    ids = np.zeros((len(canvases), width), np.int64)
    mask = np.full((len(canvases), 1, 1, width), MASKED)
    for row, canvas in enumerate(canvases):
        ids[row, : len(canvas)] = canvas
        mask[row, ..., : len(canvas)] = 0
    return {IDS: ids, CANVAS_MASK: mask}, width


def ctc_feed(hidden: Sequence[Floats32], shown: Sequence[Ints] | None, upsample: int) -> tuple[Feed, Ints]:
    """The encoder's rows of sources as the graph takes them, and which places of all canvases are theirs. `shown` is
    what each canvas shows, where the decoder reads it.
    """
    feed = source_feed(hidden)
    is_place = (feed[SRC_MASK][:, 0, 0] == 0).repeat(upsample, axis=1)
    if shown is not None:
        ids = np.full(is_place.shape, NOTHING)
        ids[is_place] = np.concatenate(shown)
        feed[IDS] = ids.reshape(len(hidden), -1, upsample)
    return feed, np.flatnonzero(is_place)


def placed_ctc_feed(whose: Ints, lengths: Ints, shown: Sequence[Ints] | None, upsample: int) -> tuple[Feed, Ints]:
    """The same of sources whose rows lie on a device."""
    shape = len(whose), round_up(int(lengths.max()))
    is_place = (np.arange(shape[1]) < lengths[:, None]).repeat(upsample, axis=1)
    feed: Feed = {WHOSE: whose, LENGTHS: lengths, PLACES: np.empty(shape, np.int8)}
    if shown is not None:
        ids = np.full(is_place.shape, NOTHING)
        ids[is_place] = np.concatenate(shown)
        feed[IDS] = ids.reshape(*shape, upsample)
    return feed, np.flatnonzero(is_place)


def longest_waiting(
    sizes: Sequence[PassSize], arrivals: Sequence[int], words: int, heads: int, times: int = 1
) -> list[int]:
    """Sources that go together, whose places choose among so many words: those that came first, as long as all of them
    are within what one run may compute, or so many `times` that; one at least.
    """
    chosen: list[int] = []
    rows = canvases = places = 0
    for g in sorted(range(len(sizes)), key=arrivals.__getitem__):
        rows, canvases, places = rows + sizes[g][0], canvases + sizes[g][1], max(places, round_up(sizes[g][2]))
        logits, scores = rows * words, heads * canvases * places**2
        if chosen and (logits > times * run_limits.MAX_LOGITS or scores > times * run_limits.MAX_SCORES):
            break
        chosen.append(g)
    return sorted(chosen)
