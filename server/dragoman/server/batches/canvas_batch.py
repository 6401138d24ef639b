"""Sources whose canvases are filled together, by mask-predict or CTC: a step is one pass, and one or a few finish a
source.

Sources join at any pass, and each has its own number of passes. Canvases and source positions are padded to multiples
of 16, so that a source's numbers do not depend on what shares its pass.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic

import numpy as np

from dragoman.bundle.graphs import LENGTHS
from dragoman.server.batches.group import Source, T
from dragoman.server.batches.nat_runs import (
    NatMemory,
    PassSize,
    canvas_feed,
    ctc_feed,
    longest_waiting,
    placed_ctc_feed,
)
from dragoman.server.batches.output_words import Words
from dragoman.server.batches.roster import Roster
from dragoman.server.batches.shortlist import Shortlist
from dragoman.server.core.segments import Decoded, Segment, Work
from dragoman.server.core.strategies import Engine
from dragoman.server.decode.arrays import Floats32, Ints
from dragoman.server.decode.ctc import Reader
from dragoman.server.decode.mask_predict import CanvasSource, all_rows
from dragoman.server.kvcache.source_memory import placed_rows_of
from dragoman.server.runtime.buffers import Feed
from dragoman.server.runtime.runtime import Runtime, reads_placed

DEVICE_TIMES = 8
"""So many times what a run may compute on a processor it may on a device."""


@dataclass
class _CanvasRow(Generic[T]):
    """A source of the batch."""

    owner: T
    segment: Segment
    hidden: Floats32 | None
    """The encoder's rows; None where they lie on a device."""
    arrival: int
    filling: CanvasSource | Reader | None = None
    """None before its first pass."""


class CanvasBatch(Generic[T]):
    """Up to `capacity` sources of one non-autoregressive decoder."""

    def __init__(self, runtime: Runtime, shortlist: Shortlist | None, *, name: str, capacity: int) -> None:
        self._name = name
        self._nat, self._vocabulary = runtime.manifest.nat[name], runtime.manifest.tokenizer
        self._heads = runtime.manifest.architecture.heads
        self._words = Words(runtime, shortlist)
        is_ctc = self._nat.kind == "ctc"
        self._memory = None if is_ctc else NatMemory(runtime, name, capacity)
        """None for CTC, which reads the encoder's rows anew in each pass."""
        self._placed = placed_rows_of(runtime, name, capacity) if is_ctc else None
        self._times = DEVICE_TIMES if runtime.is_placed and reads_placed(runtime.manifest, name) else 1
        columns = [one for one in (self._memory, self._placed) if one is not None]
        self._roster: Roster[_CanvasRow[T]] = Roster(self._words.remove, *(column.remove for column in columns))
        self._arrivals = itertools.count()

    def __len__(self) -> int:
        return len(self._roster)

    def __repr__(self) -> str:
        return f"<CanvasBatch {self._name}, {len(self)} sources>"

    @property
    def owners(self) -> list[T]:
        """Who waits for the sources."""
        return [row.owner for row in self._roster.rows]

    @property
    def rows(self) -> int:
        """Canvases of the next pass, so far as they are known."""
        return sum(1 if row.filling is None else row.filling.num_canvases for row in self._roster.rows)

    @property
    def num_live(self) -> int:
        """All canvases: those that are done are not in the pass."""
        return self.rows

    def admit(self, owner: T, segment: Segment, source: Source) -> None:
        """Take in an encoded source; its canvases are made before its first pass."""
        self._roster.admit(_CanvasRow(owner, segment, source.hidden, next(self._arrivals)))
        self._words.admit(segment.ids)
        if self._placed is not None:
            self._placed.admit(source.tensors, len(segment.ids))
        elif self._memory is not None:
            self._memory.admit(source, len(segment.ids))

    def drop(self, owner: T) -> int:
        """A source leaves unfinished; returns how many passes it had."""
        g = self.owners.index(owner)
        filling = self._roster.rows[g].filling
        self._roster.remove(g)
        return 0 if filling is None else filling.passes

    def step(self) -> list[tuple[T, Decoded]]:
        """One pass over all canvases, or over as many as one run may compute; sources that are finished leave."""
        rows, fillings = self._roster.rows, self._fillings()
        sizes, arrivals = [*map(self._size, rows, fillings)], [row.arrival for row in rows]
        going = longest_waiting(sizes, arrivals, len(self._words), self._heads, self._times)
        feed, places, of = self._feed(going, fillings)
        logp, ids = self._words.best(self._name, feed, places, of, max(fillings[g].num_best for g in going))
        done, leaving, start = [], [], 0
        for g in going:
            filling, end = fillings[g], start + sizes[g][0]
            is_sound = np.isfinite(logp[start:end]).all()
            hypotheses = filling.fill(logp[start:end], ids[start:end]) if is_sound else ()
            if hypotheses is not None:
                leaving.append(g)
                work = Work(nat_passes=filling.passes)
                done.append((rows[g].owner, Decoded(hypotheses, Engine.NAT, steps=0, work=work)))
            start = end
        for g in reversed(leaving):
            self._roster.remove(g)
        return done

    def _size(self, row: _CanvasRow[T], filling: CanvasSource | Reader) -> PassSize:
        """What a source adds to a pass."""
        positions = len(row.segment.ids)
        if isinstance(filling, Reader):
            places = positions if self._nat.canvas == "late" else positions * self._nat.upsample
        else:
            places = max(positions, *(len(canvas.ids) for canvas in filling.canvases))
        return filling.num_open, filling.num_canvases, places

    def _fillings(self) -> list[CanvasSource | Reader]:
        """What fills each source's canvases; those that have joined get theirs."""
        predicted = {} if self._memory is None else self._memory.settle()
        for g, row in enumerate(self._roster.rows):
            if row.filling is None:
                row.filling = (
                    Reader(row.segment, self._nat, self._vocabulary)
                    if self._memory is None
                    else CanvasSource(row.segment, self._nat, self._vocabulary, predicted[g])
                )
        return [row.filling for row in self._roster.rows if row.filling is not None]

    def _feed(self, going: Sequence[int], fillings: Sequence[CanvasSource | Reader]) -> tuple[Feed, Ints, Ints]:
        """What a pass reads, the places that it is to fill, and whose each canvas is."""
        if self._memory is None:
            readers = [one for g in going if isinstance(one := fillings[g], Reader)]
            shown, whose = [reader.shown for reader in readers] if self._nat.refines else None, np.array(going)
            if self._placed is not None:
                lying = self._placed.feed()
                feed, places = placed_ctc_feed(whose, lying.pop(LENGTHS)[whose], shown, self._nat.upsample)
                return feed | lying, places, whose
            hidden = [row.hidden for g in going if (row := self._roster.rows[g]).hidden is not None]
            return *ctc_feed(hidden, shown, self._nat.upsample), whose
        sources = [(g, one) for g in going if isinstance(one := fillings[g], CanvasSource)]
        of, canvases = zip(*[(g, c) for g, one in sources for c in one.canvases if not c.is_done], strict=True)
        feed, width = canvas_feed([canvas.ids for canvas in canvases])
        return feed | self._memory.feed(np.array(of)), all_rows(canvases, width), np.array(of)
