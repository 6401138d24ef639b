"""Runs of a non-autoregressive decoder's graphs: what they are fed, and how much goes into one of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dragoman.server.batches.encoding import packed_rows
from dragoman.server.batches.output_words import Words
from dragoman.server.batches.shortlist import Shortlist
from dragoman.server.core.segments import Segment
from dragoman.server.decode.arrays import Floats32, Ints
from dragoman.server.kvcache.source_memory import Memory
from dragoman.server.runtime.buffers import Feed
from dragoman.server.runtime.padding import MASKED, round_up
from dragoman.server.runtime.runtime import Runtime

MAX_LOGITS = 1 << 24
"""Of one run, 64 MB: all places at once of many sources would need more memory than the model. The rest goes next."""


def source_feed(hidden: Sequence[Floats32]) -> Feed:
    """What the encoder made of sources, as the graphs take it."""
    lengths = np.array([len(rows) for rows in hidden])
    places = packed_rows(lengths)
    is_word = np.arange(places.shape[1]) < lengths[:, None]
    src_mask = np.where(is_word, np.float32(0), MASKED)[:, None, None]
    return {"hidden": np.concatenate(hidden), "places": places, "src_mask": src_mask}


class NatWords:
    """The output layer's end of a decoder's graphs: over the whole vocabulary, or over a shortlist's candidates."""

    def __init__(self, runtime: Runtime, shortlist: Shortlist | None, name: str) -> None:
        self._runtime = runtime
        self.graph = f"nat.{name}" + ("" if shortlist is None else ".shortlist")
        self._words = Words(runtime, shortlist)

    @property
    def max_rows(self) -> int:
        """Rows of one run, at most."""
        return MAX_LOGITS // len(self._words)

    def admit(self, segment: Segment) -> None:
        """One more source."""
        self._words.admit(segment.ids)

    def remove(self, g: int) -> None:
        """Source g leaves; the last one moves to its index."""
        self._words.remove(g)

    def best(self, feed: Feed, rows: Ints, sources: Ints, count: int) -> tuple[Floats32, Ints]:
        """Log-probabilities and ids [r, k] of the best words of these rows; `sources` says whose each canvas is."""
        lists = self._words.feed()
        feed |= {**lists, **({"allowed": lists["allowed"][sources]} if lists else {})}
        feed |= {"rows": rows, "top": np.zeros(min(count, len(self._words)), np.int64)}
        found: dict[str, Any] = self._runtime.run(self.graph, feed)
        return found["topk_logp"], found["topk_id"]


class NatMemory:
    """What mask-predict's decoder keeps of its sources: keys and values, and the lengths that it expects."""

    def __init__(self, runtime: Runtime, name: str, capacity: int) -> None:
        self._runtime, self._graph = runtime, f"nat.{name}.memory"
        self._memory = Memory(runtime.manifest.graphs[self._graph].outputs, capacity)

    def admit(self, first: int, hidden: Sequence[Floats32]) -> Floats32 | None:
        """Sources from index `first` on; log-probabilities of their lengths [n, classes], where they are predicted."""
        found = self._runtime.run(self._graph, source_feed(hidden))
        predicted: Floats32 | None = found.pop("length_logp", None)
        for n, rows in enumerate(hidden):
            self._memory.admit(first + n, {name: tensor[n] for name, tensor in found.items()}, len(rows))
        return predicted

    def move(self, row: int, to: int) -> None:
        """What belonged to row `row` belongs to row `to`."""
        self._memory.move(row, to)

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
