"""Sources that a non-autoregressive decoder translates together: a step is one pass over all their canvases.

Sources join at any pass, and each has its own number of passes; with CTC all are finished after the only one. What the
encoder says of a source is turned into the decoder's own keys and values at its first pass. Canvases and source
positions are padded to multiples of 16, so that a source's numbers do not depend on what shares its pass.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from dragoman.server.batch import Encoded, Finished, Memory, places_of, replace_by_last, vocabulary_of
from dragoman.server.canvases import Canvas, CanvasSource, all_rows
from dragoman.server.ctc import Reader
from dragoman.server.domain import Engine, Segment, Work
from dragoman.server.pool import MASKED, round_up
from dragoman.server.runtime import Runtime
from dragoman.server.shortlist import Candidates, Shortlist

T = TypeVar("T")
MAX_LOGITS = 1 << 24
"""Of one run, 64 MB: all places at once of many sources would need more memory than the model. The rest goes next."""
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Feed = dict[str, npt.NDArray[np.generic]]


class NatWords:
    """The output layer's end of a decoder's graphs: over the whole vocabulary, or over a shortlist's candidates."""

    def __init__(self, runtime: Runtime, shortlist: Shortlist | None, name: str) -> None:
        self._runtime, self._shortlist = runtime, shortlist
        self.graph = f"nat.{name}" + ("" if shortlist is None else ".shortlist")
        self._words = runtime.manifest.architecture.target_vocabulary
        self._candidates = Candidates(runtime.look_up, self._words) if shortlist is not None else None

    @property
    def max_rows(self) -> int:
        """Rows of one run, at most."""
        if self._candidates is not None:
            self._candidates.feed()
        return MAX_LOGITS // (self._words if self._candidates is None else len(self._candidates))

    def admit(self, segment: Segment) -> None:
        """One more source."""
        if self._candidates is not None and self._shortlist is not None:
            self._candidates.admit(self._shortlist.candidates(segment.ids))

    def remove(self, g: int) -> None:
        """Source g leaves; the last one moves to its index."""
        if self._candidates is not None:
            self._candidates.remove(g)

    def best(self, feed: Feed, rows: Ints, sources: Ints, count: int) -> tuple[Floats, Ints]:
        """Log-probabilities and ids [r, k] of the best words of these rows; `sources` says whose each canvas is."""
        words = self._words
        if self._candidates is not None:
            lists = self._candidates.feed()
            feed |= {**lists, "allowed": lists["allowed"][sources]}
            words = len(self._candidates)
        feed |= {"rows": rows, "top": np.zeros(min(count, words), np.int64)}
        found: dict[str, Any] = self._runtime.run(self.graph, feed)
        return found["topk_logp"], found["topk_id"]


class NatMemory:
    """What mask-predict's decoder keeps of its sources: keys and values, and the lengths that it expects."""

    def __init__(self, runtime: Runtime, name: str, capacity: int) -> None:
        self._runtime, self._graph = runtime, f"nat.{name}.memory"
        self._memory = Memory(runtime.manifest.graphs[self._graph].outputs, capacity)

    def admit(self, first: int, hidden: Sequence[Floats]) -> Floats | None:
        """Sources from index `first` on; log-probabilities of their lengths [n, classes], where they are predicted."""
        lengths = np.array([len(rows) for rows in hidden])
        places = places_of(lengths)
        is_word = np.arange(places.shape[1]) < lengths[:, None]
        src_mask = np.where(is_word, np.float32(0), MASKED)[:, None, None]
        feed: Feed = {"hidden": np.concatenate(hidden), "places": places, "src_mask": src_mask}
        found = self._runtime.run(self._graph, feed)
        predicted: Floats | None = found.pop("length_logp", None)
        for n, length in enumerate(lengths.tolist()):
            self._memory.admit(first + n, [tensor[n] for tensor in found.values()], length)
        return predicted

    def move(self, source: int, target: int) -> None:
        """What belonged to index `source` belongs to index `target`."""
        self._memory.move(source, target)

    def feed(self, sources: Ints, count: int) -> Feed:
        """Graph inputs of canvases of these sources; `count` is how many there are."""
        feed = self._memory.feed(count)
        if np.array_equal(sources, np.arange(count)):
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
    return {"ids": ids, "canvas_mask": mask}, width


def longest_waiting(rows: Sequence[int], arrivals: Sequence[int], most: int) -> list[int]:
    """Sources that go together: those that came first, as long as all their rows are within `most`; one at least."""
    chosen: list[int] = []
    total = 0
    for g in sorted(range(len(rows)), key=arrivals.__getitem__):
        total += rows[g]
        if chosen and total > most:
            break
        chosen.append(g)
    return sorted(chosen)


class NatBatch(Generic[T]):
    """Up to `capacity` sources of mask-predict."""

    def __init__(self, runtime: Runtime, shortlist: Shortlist | None, *, name: str, capacity: int) -> None:
        self.owners: list[T] = []
        self._nat = runtime.manifest.nat[name]
        self._vocabulary = vocabulary_of(runtime.manifest)
        self._words = NatWords(runtime, shortlist, name)
        self._memory = NatMemory(runtime, name, capacity)
        self._sources: list[CanvasSource] = []
        self._new: list[tuple[Segment, Floats]] = []
        self._arrivals: list[int] = []
        self._clock = itertools.count()

    def __len__(self) -> int:
        return len(self.owners)

    def __repr__(self) -> str:
        return f"<NatBatch {self._words.graph}, {len(self)} sources>"

    @property
    def rows(self) -> int:
        """Canvases of the next pass, so far as they are known."""
        return len(self._new) + sum(not canvas.is_done for one in self._sources for canvas in one.canvases)

    @property
    def num_live(self) -> int:
        """All of them."""
        return self.rows

    @property
    def longest(self) -> int:
        """See `Group`."""
        sources = [one.segment for one in self._sources] + [segment for segment, _ in self._new]
        return max((len(segment.ids) for segment in sources), default=0)

    def admit(self, owner: T, segment: Segment, encoded: Encoded) -> None:
        """See `Group`."""
        assert encoded.hidden is not None, "it was encoded for this"
        self.owners.append(owner)
        self._arrivals.append(next(self._clock))
        self._new.append((segment, encoded.hidden))
        self._words.admit(segment)

    def step(self) -> list[Finished[T]]:
        """One pass; see `Group`."""
        self._settle()
        rows = [one.num_open for one in self._sources]
        going = longest_waiting(rows, self._arrivals, self._words.max_rows)
        open_ = [(g, n) for g in going for n, c in enumerate(self._sources[g].canvases) if not c.is_done]
        canvases = [self._sources[g].canvases[n] for g, n in open_]
        of = np.array([g for g, _ in open_])
        feed, width = canvas_feed([canvas.ids for canvas in canvases])
        feed |= self._memory.feed(of, len(self))
        count = max(self._sources[g].num_best for g in going)
        logp, ids = self._words.best(feed, all_rows(canvases, width), of, count)
        broken = self._tell(open_, canvases, logp, ids)
        for g in going:
            self._sources[g].advance()
        leaving = sorted(broken | {g for g, one in enumerate(self._sources) if one.is_done})
        done = [self._finished(g, is_broken=g in broken) for g in leaving]
        for g in reversed(leaving):
            self._remove(g)
        return done

    def drop(self, owner: T) -> int:
        """See `Group`."""
        self._settle()
        g = self.owners.index(owner)
        passes = self._sources[g].passes
        self._remove(g)
        return passes

    def _settle(self) -> None:
        """Give those that have joined their canvases."""
        if not self._new:
            return
        predicted = self._memory.admit(len(self._sources), [hidden for _, hidden in self._new])
        for n, (segment, _) in enumerate(self._new):
            own = None if predicted is None else predicted[n]
            self._sources.append(CanvasSource(segment, self._nat, self._vocabulary, own))
        self._new.clear()

    def _tell(self, open_: list[tuple[int, int]], canvases: list[Canvas], logp: Floats, ids: Ints) -> set[int]:
        """Hand each canvas its places' words; returns the sources whose numbers are not finite."""
        broken, start = set[int](), 0
        for (g, n), canvas in zip(open_, canvases, strict=True):
            end = start + int(canvas.is_open.sum())
            if np.isfinite(logp[start:end]).all():
                self._sources[g].tell(n, logp[start:end], ids[start:end])
            else:
                broken.add(g)
            start = end
        return broken

    def _finished(self, g: int, *, is_broken: bool) -> Finished[T]:
        one = self._sources[g]
        found = () if is_broken else one.hypotheses()
        return Finished(self.owners[g], found, 0, Engine.NAT, Work(nat_passes=one.passes))

    def _remove(self, g: int) -> None:
        last = len(self) - 1
        replace_by_last(self.owners, g)
        replace_by_last(self._sources, g)
        replace_by_last(self._arrivals, g)
        if g != last:
            self._memory.move(last, g)
        self._words.remove(g)


class CtcBatch(Generic[T]):
    """Sources of CTC, each finished by one step."""

    def __init__(self, runtime: Runtime, shortlist: Shortlist | None, *, name: str) -> None:
        self.owners: list[T] = []
        self._nat = runtime.manifest.nat[name]
        self._vocabulary = vocabulary_of(runtime.manifest)
        self._words = NatWords(runtime, shortlist, name)
        self._sources: list[tuple[Segment, Floats]] = []
        self._arrivals: list[int] = []
        self._clock = itertools.count()

    def __len__(self) -> int:
        return len(self.owners)

    def __repr__(self) -> str:
        return f"<CtcBatch {self._words.graph}, {len(self)} sources>"

    @property
    def rows(self) -> int:
        """Canvases of the next step."""
        return len(self)

    @property
    def num_live(self) -> int:
        """All of them."""
        return len(self)

    @property
    def longest(self) -> int:
        """See `Group`."""
        return max((len(segment.ids) for segment, _ in self._sources), default=0)

    def admit(self, owner: T, segment: Segment, encoded: Encoded) -> None:
        """See `Group`."""
        assert encoded.hidden is not None, "it was encoded for this"
        self.owners.append(owner)
        self._arrivals.append(next(self._clock))
        self._sources.append((segment, encoded.hidden))
        self._words.admit(segment)

    def drop(self, owner: T) -> int:
        """See `Group`."""
        self._remove(self.owners.index(owner))
        return 0

    def _remove(self, g: int) -> None:
        replace_by_last(self.owners, g)
        replace_by_last(self._sources, g)
        replace_by_last(self._arrivals, g)
        self._words.remove(g)

    def step(self) -> list[Finished[T]]:
        """See `Group`."""
        upsample = self._nat.upsample
        rows = [len(hidden) * upsample for _, hidden in self._sources]
        going = longest_waiting(rows, self._arrivals, self._words.max_rows)
        lengths = np.array([len(self._sources[g][1]) for g in going])
        places = places_of(lengths)
        is_word = np.arange(places.shape[1]) < lengths[:, None]
        feed: Feed = {
            "hidden": np.concatenate([self._sources[g][1] for g in going]),
            "places": places,
            "src_mask": np.where(is_word, np.float32(0), MASKED)[:, None, None],
        }
        readers = [Reader(self._sources[g][0], self._nat.blank_id or 0, self._vocabulary) for g in going]
        count = max(reader.num_best for reader in readers)
        logp, ids = self._words.best(feed, np.flatnonzero(is_word.repeat(upsample, axis=1)), np.array(going), count)
        done, start = [], 0
        for g, reader in zip(going, readers, strict=True):
            end = start + rows[g]
            found = reader.hypotheses(logp[start:end], ids[start:end]) if np.isfinite(logp[start:end]).all() else ()
            done.append(Finished(self.owners[g], found, 0, Engine.NAT, Work(nat_passes=1)))
            start = end
        for g in reversed(going):
            self._remove(g)
        return done
