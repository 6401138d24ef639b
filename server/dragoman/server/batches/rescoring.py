"""Non-autoregressive translations, chosen among by what the autoregressive decoder holds of them.

A run of the step graph reads candidates of sources that have finished, each as one chain: as many as one run may
compute, so that no more of the sources' keys and values lies there twice.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Generic, TypeVar

import numpy as np

from dragoman.bundle.graphs import CHOSEN, CHOSEN_LOGP, DEPTH, IDS, STEP, TOP
from dragoman.bundle.manifest import Architecture
from dragoman.server.batches.encoding import encode
from dragoman.server.batches.group import Group, Source
from dragoman.server.core.segments import Decoded, FinishReason, Hypothesis, Segment
from dragoman.server.decode.toolkits import ranking
from dragoman.server.kvcache.nodes import chain_nodes_of
from dragoman.server.kvcache.source_memory import sources_of
from dragoman.server.runtime.padding import GRAIN
from dragoman.server.runtime.run_limits import sources_of_a_run
from dragoman.server.runtime.runtime import Runtime

T = TypeVar("T")

Candidate = tuple[Segment, Source, Hypothesis]
"""A translation to be scored."""


class Rescored(Generic[T]):
    """A group whose translations are scored again before they leave."""

    def __init__(self, group: Group[T], runtime: Runtime) -> None:
        self._group, self._runtime = group, runtime
        self._admitted: dict[T, tuple[Segment, Source]] = {}

    def __len__(self) -> int:
        return len(self._group)

    def __repr__(self) -> str:
        return f"<Rescored {self._group!r}>"

    @property
    def owners(self) -> list[T]:
        """Who wants the answers, one for each source."""
        return self._group.owners

    @property
    def rows(self) -> int:
        """How many rows the next step has."""
        return self._group.rows

    @property
    def num_live(self) -> int:
        """Rows of the next step that are of use."""
        return self._group.num_live

    def admit(self, owner: T, segment: Segment, source: Source) -> None:
        """Take in a source, and remember what its hypotheses are scored with."""
        self._admitted[owner] = segment, source
        self._group.admit(owner, segment, source)

    def drop(self, owner: T) -> int:
        """A source leaves unfinished; returns how many target positions were decoded for it."""
        del self._admitted[owner]
        return self._group.drop(owner)

    def step(self) -> list[tuple[T, Decoded]]:
        """Run the decoder once; hypotheses of finished sources are scored, and ranked by that."""
        done = self._group.step()
        candidates = [
            (*self._admitted[owner], hypothesis) for owner, decoded in done for hypothesis in decoded.hypotheses
        ]
        scored = iter(
            [
                one
                for run in _runs(self._runtime.manifest.architecture, candidates)
                for one in _scored(self._runtime, run)
            ]
        )
        finished = []
        for owner, decoded in done:
            segment, _ = self._admitted.pop(owner)
            ranked = sorted((next(scored) for _ in decoded.hypotheses), key=lambda hypothesis: -hypothesis.score)
            best = tuple(ranked[: segment.decoding.num_hypotheses])
            finished.append((owner, replace(decoded, hypotheses=best, steps=decoded.steps + 1)))
        return finished


def _runs(arch: Architecture, candidates: Sequence[Candidate]) -> Iterator[Sequence[Candidate]]:
    """Candidates one after another, so many at a time."""
    start = 0
    while start < len(candidates):
        end, width = start, 1
        for _, _, hypothesis in candidates[start:]:
            width = max(width, len(hypothesis.ids) + 1)
            if end - start >= sources_of_a_run(arch, rows=width, seen=GRAIN + width):
                break
            end += 1
        yield candidates[start:end]
        start = end


def _scored(runtime: Runtime, candidates: Sequence[Candidate]) -> list[Hypothesis]:
    """The same translations with the autoregressive decoder's log-probabilities."""
    manifest = runtime.manifest
    special = manifest.tokenizer
    targets = [
        hypothesis.ids if hypothesis.reason is FinishReason.LENGTH else (*hypothesis.ids, special.eos_id)
        for _, _, hypothesis in candidates
    ]
    n, width = len(candidates), max(1, *map(len, targets))
    memory, nodes = sources_of(runtime, n), chain_nodes_of(runtime, n)
    for segment, source in _sources(runtime, candidates):
        memory.admit(source.tensors, len(segment.ids))
        nodes.admit({})
    ids = np.full((n, width), special.eos_id)
    chosen = np.full((n, width, 1), special.eos_id)
    for g, target in enumerate(targets):
        ids[g, : len(target)] = [special.start_id, *target[:-1]][: len(target)]
        chosen[g, : len(target), 0] = target
    depth = np.minimum(np.arange(width), manifest.architecture.max_positions - 1)
    feed = {
        IDS: ids,
        DEPTH: np.broadcast_to(depth, (n, width)),
        CHOSEN: chosen,
        TOP: np.zeros(1, np.int64),
        **memory.feed(),
        **nodes.feed(np.tri(width, dtype=np.bool_)),
    }
    said, _ = runtime.step(STEP, feed, attention=False)
    logps = said[CHOSEN_LOGP].reshape(n, width)
    return [
        _with(one, logp[: len(target)].tolist()) for one, logp, target in zip(candidates, logps, targets, strict=True)
    ]


def _sources(runtime: Runtime, candidates: Sequence[Candidate]) -> Iterator[tuple[Segment, Source]]:
    """What the decoder reads of them. A device's encoder leaves that for the next step alone: it is made again."""
    if not runtime.is_placed:
        yield from ((segment, source) for segment, source, _ in candidates)
        return
    segments = [segment for segment, _, _ in candidates]
    yield from zip(segments, encode(runtime, segments), strict=True)


def _with(candidate: Candidate, logps: list[float]) -> Hypothesis:
    segment, _, hypothesis = candidate
    logp = math.fsum(logps)
    score = ranking(segment.decoding, logp, len(logps)) if logps else 0.0
    return replace(hypothesis, logp=logp, score=score, token_logps=tuple(logps))
