"""Non-autoregressive translations, chosen among by what the autoregressive decoder holds of them.

One run of the step graph reads all candidates of all sources that have finished, each as one chain.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np

from dragoman.bundle.graphs import CHOSEN, CHOSEN_LOGP, DEPTH, ENCODER, IDS, STEP, TOP
from dragoman.server.batches.group import Finished, Group, Source
from dragoman.server.core.segments import FinishReason, Hypothesis, Segment
from dragoman.server.decode.constraints import special_ids_of
from dragoman.server.decode.toolkits import ranking
from dragoman.server.kvcache.nodes import chain_nodes_of
from dragoman.server.kvcache.source_memory import Memory
from dragoman.server.runtime.buffers import Feed
from dragoman.server.runtime.runtime import Runtime

T = TypeVar("T")


@dataclass(frozen=True)
class _Candidate:
    """A translation to be scored."""

    segment: Segment
    source: Source
    hypothesis: Hypothesis


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

    @property
    def longest(self) -> int:
        """Tokens of the longest source."""
        return self._group.longest

    def admit(self, owner: T, segment: Segment, source: Source) -> None:
        """Take in a source, and remember what its hypotheses are scored with."""
        self._admitted[owner] = segment, source
        self._group.admit(owner, segment, source)

    def drop(self, owner: T) -> int:
        """A source leaves unfinished; returns how many target positions were decoded for it."""
        del self._admitted[owner]
        return self._group.drop(owner)

    def step(self) -> list[Finished[T]]:
        """Run the decoder once; hypotheses of finished sources are scored, and ranked by that."""
        done = self._group.step()
        scored = iter(
            _scored(
                self._runtime,
                [_Candidate(*self._admitted[one.owner], found) for one in done for found in one.hypotheses],
            )
        )
        finished = []
        for one in done:
            segment, _ = self._admitted.pop(one.owner)
            found = sorted((next(scored) for _ in one.hypotheses), key=lambda each: -each.score)
            best = tuple(found[: segment.decoding.num_hypotheses])
            finished.append(replace(one, hypotheses=best, steps=one.steps + 1))
        return finished


def _scored(runtime: Runtime, candidates: Sequence[_Candidate]) -> list[Hypothesis]:
    """The same translations with the autoregressive decoder's log-probabilities."""
    if not candidates:
        return []
    manifest = runtime.manifest
    words = special_ids_of(manifest)
    targets = [
        (*one.hypothesis.ids, *(() if one.hypothesis.reason is FinishReason.LENGTH else (words.eos_id,)))
        for one in candidates
    ]
    n, width = len(candidates), max(1, *map(len, targets))
    memory = Memory(runtime.store, manifest.graphs[ENCODER].outputs, n)
    for one in candidates:
        memory.admit(one.source.tensors, len(one.segment.ids))
    ids = np.full((n, width), words.eos_id)
    chosen = np.full((n, width, 1), words.eos_id)
    for g, target in enumerate(targets):
        ids[g, : len(target)] = [words.start_id, *target[:-1]][: len(target)]
        chosen[g, : len(target), 0] = target
    depth = np.minimum(np.arange(width), manifest.architecture.max_positions - 1)
    feed = {
        IDS: ids,
        DEPTH: np.broadcast_to(depth, (n, width)),
        CHOSEN: chosen,
        TOP: np.zeros(1, np.int64),
        **memory.feed(),
        **_empty_pool(runtime, n, width),
    }
    said, _ = runtime.step(STEP, feed, attention=False)
    logp = said[CHOSEN_LOGP].reshape(n, width)
    return [_with(one, logp[g, : len(targets[g])].tolist()) for g, one in enumerate(candidates)]


def _empty_pool(runtime: Runtime, sources: int, width: int) -> Feed:
    pool = chain_nodes_of(runtime, sources)
    for _ in range(sources):
        pool.admit({})
    return pool.feed(np.tri(width, dtype=np.bool_))


def _with(one: _Candidate, logps: list[float]) -> Hypothesis:
    logp = math.fsum(logps)
    score = ranking(one.segment.decoding, logp, len(logps)) if logps else 0.0
    return replace(one.hypothesis, logp=logp, score=score, token_logps=tuple(logps))
