"""The sources of drafts, each a `Drafter`: the source's words, one whole translation, or block after block.

All of them take a source's encoder rows where they need any, and none is asked before its sources' first round: what
only drafts need is not computed while drafts do not pay.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from dragoman.server.batches.drafting import NO_DRAFT
from dragoman.server.batches.group import Group, Source, replace_by_last
from dragoman.server.batches.nat_runs import NatMemory, NatWords, canvas_feed
from dragoman.server.batches.shortlist import Shortlist
from dragoman.server.core.segments import Segment
from dragoman.server.decode.arrays import Floats32, Ints
from dragoman.server.decode.chains import Draft
from dragoman.server.decode.constraints import vocabulary_of
from dragoman.server.decode.lookup import copied, follow
from dragoman.server.decode.mask_predict import likeliest, masks
from dragoman.server.decode.strategies.nat import NonAutoregressive
from dragoman.server.runtime.runtime import Runtime


class SourceDrafts:
    """What the source says after the last words of the translation: names, numbers, addresses."""

    def __init__(self) -> None:
        self._texts: list[tuple[int, ...]] = []

    def admit(self, segment: Segment, source: Source) -> None:  # noqa: ARG002 - see `Drafter`
        """See `Drafter`."""
        self._texts.append(segment.ids)

    def remove(self, g: int) -> None:
        """See `Drafter`."""
        self._texts[g] = self._texts[-1]
        del self._texts[-1]

    def draft(self, prefixes: Sequence[Sequence[int]], count: int) -> Sequence[Draft]:
        """See `Drafter`."""
        return [copied(text, prefix, count) for text, prefix in zip(self._texts, prefixes, strict=True)]


class HypothesisDrafts:
    """What one non-autoregressive translation of the source says there."""

    def __init__(self, make: Callable[[], Group[int]], strategy: NonAutoregressive, eos_id: int) -> None:
        self._make, self._strategy, self._eos_id = make, strategy, eos_id
        self._texts: list[tuple[int, ...] | None] = []
        self._sources: list[tuple[Segment, Source]] = []

    def admit(self, segment: Segment, source: Source) -> None:
        """See `Drafter`."""
        plain = replace(segment.decoding, beam_size=1, num_hypotheses=1)
        self._sources.append((replace(segment, strategy=self._strategy, decoding=plain), source))
        self._texts.append(None)

    def remove(self, g: int) -> None:
        """See `Drafter`."""
        self._texts[g], self._sources[g] = self._texts[-1], self._sources[-1]
        del self._texts[-1], self._sources[-1]

    def draft(self, prefixes: Sequence[Sequence[int]], count: int) -> Sequence[Draft]:
        """See `Drafter`."""
        self._translate()
        return [follow(text or (), prefix, count) for text, prefix in zip(self._texts, prefixes, strict=True)]

    def _translate(self) -> None:
        """Those that have joined."""
        batch = self._make()
        for g, text in enumerate(self._texts):
            if text is None:
                batch.admit(g, *self._sources[g])
        while len(batch):
            for one in batch.step():
                ids = one.hypotheses[0].ids if one.hypotheses else ()
                self._texts[one.owner] = (*ids, self._eos_id)


class BlockDrafts:
    """What the non-autoregressive decoder fills into a few masks behind the translation so far, anew each time."""

    def __init__(self, runtime: Runtime, shortlist: Shortlist | None, *, name: str, capacity: int) -> None:
        self._nat = runtime.manifest.nat[name]
        self._words = NatWords(runtime, shortlist, name)
        self._memory = NatMemory(runtime, name, capacity)
        self._sizes: list[int] = []
        """Of each source, how many words it has."""
        self._hidden: list[Floats32 | None] = []
        self._slots: list[int | None] = []
        """Of each source, where the memory has it; none before its first draft."""
        self._lengths: list[int] = []
        """Of the whole canvas that the decoder expects for a source; 1 before its first draft."""
        self._num_kept = 0
        vocabulary = vocabulary_of(runtime.manifest)
        given = [index for index in (self._nat.mask_id, self._nat.first_id) if index is not None]
        self._never = np.array([*vocabulary.suppressed, vocabulary.unk_id, *given])

    def admit(self, segment: Segment, source: Source) -> None:
        """See `Drafter`."""
        assert source.hidden is not None, "it was encoded for this"
        self._sizes.append(len(segment.ids))
        self._hidden.append(source.hidden)
        self._slots.append(None)
        self._lengths.append(1)
        self._words.admit(segment)

    def remove(self, g: int) -> None:
        """See `Drafter`."""
        slot = self._slots[g]
        replace_by_last(self._sizes, g)
        replace_by_last(self._hidden, g)
        replace_by_last(self._slots, g)
        replace_by_last(self._lengths, g)
        self._words.remove(g)
        if slot is not None:
            self._num_kept -= 1
            self._memory.move(self._num_kept, slot)
            self._slots = [slot if one == self._num_kept else one for one in self._slots]

    def _settle(self) -> None:
        """Keep what the decoder needs of those that have joined."""
        new = {g: hidden for g, hidden in enumerate(self._hidden) if hidden is not None}
        if not new:
            return
        predicted = self._memory.admit(self._num_kept, [*new.values()])
        for n, g in enumerate(new):
            self._hidden[g], self._slots[g] = None, self._num_kept
            if predicted is not None:
                self._lengths[g] = likeliest(self._nat, self._sizes[g], predicted[n])
            self._num_kept += 1

    def _masked(self, g: int, first: int, count: int) -> Ints:
        """What `count` masked places from `first` on read, of the canvas of source g."""
        places = np.minimum(np.arange(first, first + count), self._lengths[g] - 1)
        return masks(self._nat, self._sizes[g], self._lengths[g])[places]

    def draft(self, prefixes: Sequence[Sequence[int]], count: int) -> Sequence[Draft]:
        """See `Drafter`."""
        self._settle()
        count = min(count, self._nat.block)
        first = [] if self._nat.first_id is None else [self._nat.first_id]
        canvases = {
            g: np.array([*first, *prefix, *self._masked(g, len(first) + len(prefix), count)])
            for g, prefix in enumerate(prefixes)
            if len(first) + len(prefix) + count <= self._nat.max_canvas
        }
        drafts: list[Draft] = [NO_DRAFT] * len(prefixes)
        if not canvases:
            return drafts
        feed, width = canvas_feed([*canvases.values()])
        of = np.array([*canvases])
        feed |= self._memory.feed(np.array([self._slots[g] for g in canvases]), self._num_kept)
        ends = [len(canvas) for canvas in canvases.values()]
        rows = np.concatenate([np.arange(end - count, end) + row * width for row, end in enumerate(ends)])
        _, ids = self._words.best(feed, rows, of, 1 + len(self._never))
        best = (~np.isin(ids, self._never)).argmax(1)[:, None]
        words = np.take_along_axis(ids, best, 1).reshape(-1, count)
        for g, own in zip(canvases, words.tolist(), strict=True):
            drafts[g] = own
        return drafts
