"""The sources of drafts, each a `Drafter`: the source's words, one whole translation, or block after block.

All of them take a source's encoder rows where they need any, and none is asked before its sources' first round: what
only drafts need is not computed while drafts do not pay.
"""

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from dragoman.server.batches.drafting import NO_DRAFT
from dragoman.server.batches.group import Group, Source
from dragoman.server.batches.nat_runs import NatMemory, canvas_feed
from dragoman.server.batches.output_words import Words
from dragoman.server.batches.roster import Roster
from dragoman.server.batches.shortlist import Shortlist
from dragoman.server.core.segments import Segment
from dragoman.server.decode.arrays import Ints
from dragoman.server.decode.chains import Draft
from dragoman.server.decode.mask_predict import likeliest, masks
from dragoman.server.decode.strategies.nat import NonAutoregressive
from dragoman.server.decode.text_drafts import copied, follow
from dragoman.server.runtime.runtime import Runtime


class SourceDrafts:
    """What the source says after the last words of the translation: names, numbers, addresses."""

    def __init__(self) -> None:
        self._roster: Roster[tuple[int, ...]] = Roster()

    def admit(self, segment: Segment, source: Source) -> None:  # noqa: ARG002 - its words are enough
        """One more source."""
        self._roster.admit(segment.ids)

    def remove(self, row: int) -> None:
        """A source leaves; the last one takes its place."""
        self._roster.remove(row)

    def draft(self, prefixes: Sequence[Sequence[int]], count: int) -> Sequence[Draft]:
        """What follows in each source where its translation's last words are found in it."""
        return [copied(text, prefix, count) for text, prefix in zip(self._roster.rows, prefixes, strict=True)]


class HypothesisDrafts:
    """What one non-autoregressive translation of the source says there; `batch` makes it before the first draft."""

    def __init__(self, batch: Group[int], strategy: NonAutoregressive, eos_id: int) -> None:
        self._batch, self._strategy, self._eos_id = batch, strategy, eos_id
        self._roster: Roster[int] = Roster()
        self._numbers = itertools.count()
        self._texts: dict[int, tuple[int, ...]] = {}
        """By the sources' numbers: translations with the end token."""

    def admit(self, segment: Segment, source: Source) -> None:
        """One more source."""
        plain = replace(segment.decoding, beam_size=1, num_hypotheses=1)
        number = next(self._numbers)
        self._roster.admit(number)
        self._batch.admit(number, replace(segment, strategy=self._strategy, decoding=plain), source)

    def remove(self, row: int) -> None:
        """A source leaves; the last one takes its place."""
        number = self._roster.rows[row]
        self._roster.remove(row)
        if self._texts.pop(number, None) is None:
            self._batch.drop(number)

    def draft(self, prefixes: Sequence[Sequence[int]], count: int) -> Sequence[Draft]:
        """What follows in each source's translation, after those that have joined got theirs."""
        while len(self._batch):
            for number, decoded in self._batch.step():
                ids = decoded.hypotheses[0].ids if decoded.hypotheses else ()
                self._texts[number] = (*ids, self._eos_id)
        texts = [self._texts[number] for number in self._roster.rows]
        return [follow(text, prefix, count) for text, prefix in zip(texts, prefixes, strict=True)]


class BlockDrafts:
    """What the non-autoregressive decoder fills into a few masks behind the translation so far, anew each time."""

    def __init__(self, runtime: Runtime, shortlist: Shortlist | None, *, name: str, capacity: int) -> None:
        self._name, self._nat = name, runtime.manifest.nat[name]
        self._words = Words(runtime, shortlist)
        self._memory = NatMemory(runtime, name, capacity)
        self._roster: Roster[tuple[int, int]] = Roster(self._words.remove, self._memory.remove)
        """How many words each source has, and how many places the canvas that its decoder expects; 1 before its first
        draft."""
        vocabulary = runtime.manifest.tokenizer
        given = [index for index in (self._nat.mask_id, self._nat.first_id) if index is not None]
        self._never = np.array([*vocabulary.suppressed_ids, vocabulary.unk_id, *given])

    def admit(self, segment: Segment, source: Source) -> None:
        """One more source."""
        self._roster.admit((len(segment.ids), 1))
        self._words.admit(segment.ids)
        self._memory.admit(source, len(segment.ids))

    def remove(self, row: int) -> None:
        """A source leaves; the last one takes its place."""
        self._roster.remove(row)

    def draft(self, prefixes: Sequence[Sequence[int]], count: int) -> Sequence[Draft]:
        """What the decoder fills into the places behind each source's tokens."""
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
        ends = [len(canvas) for canvas in canvases.values()]
        places = np.concatenate([np.arange(end - count, end) + row * width for row, end in enumerate(ends)])
        _, ids = self._words.best(self._name, feed | self._memory.feed(of), places, of, 1 + len(self._never))
        best = (~np.isin(ids, self._never)).argmax(1)[:, None]
        words = np.take_along_axis(ids, best, 1).reshape(-1, count).tolist()
        for g, draft in zip(canvases, words, strict=True):
            drafts[g] = draft
        return drafts

    def _settle(self) -> None:
        """Give those that have joined the length of their canvas, where the decoder predicts it."""
        for g, predicted in self._memory.settle().items():
            size, _ = self._roster.rows[g]
            if predicted is not None:
                self._roster.rows[g] = size, likeliest(self._nat, size, predicted)

    def _masked(self, g: int, first: int, count: int) -> Ints:
        """What `count` masked places from `first` on read, of the canvas of source g."""
        size, length = self._roster.rows[g]
        places = np.minimum(np.arange(first, first + count), length - 1)
        return masks(self._nat, size, length)[places]
