"""The output layer's end of the graphs: the words that sources may choose from, and what the decoder says of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from dragoman.bundle import graphs
from dragoman.server.batches.shortlist import CandidateUnion, Shortlist
from dragoman.server.decode.arrays import Bools, Floats32, Ints
from dragoman.server.decode.step import Query, Reply
from dragoman.server.runtime.buffers import Feed
from dragoman.server.runtime.runtime import Runtime


class Words:
    """The whole vocabulary, or the candidates that a shortlist has for a group's sources."""

    def __init__(self, runtime: Runtime, shortlist: Shortlist | None) -> None:
        self._runtime, self._shortlist = runtime, shortlist
        self._vocabulary = runtime.manifest.architecture.target_vocabulary
        self._candidates = CandidateUnion(self._look_up, self._vocabulary)
        stride = runtime.manifest.graphs.get(graphs.STRIDE)
        self._strides_by_source = stride is not None and any(tensor.name == graphs.OWN for tensor in stride.inputs)

    def _look_up(self, candidates: Ints) -> Feed:
        return self._runtime.run(graphs.CANDIDATES, {graphs.CANDIDATE_IDS: candidates})

    def __len__(self) -> int:
        """How many words a graph chooses from."""
        return self._vocabulary if self._shortlist is None else len(self._candidates)

    def admit(self, source: Sequence[int]) -> None:
        """One more source, by its ids."""
        if self._shortlist is not None:
            self._candidates.admit(self._shortlist.candidates(tuple(source)))

    def remove(self, row: int) -> None:
        """A source leaves; the last one takes its place."""
        if self._shortlist is not None:
            self._candidates.remove(row)

    def feed(self, *, by_source: bool = False) -> Feed:
        """What a graph over candidates takes besides; nothing for one over the whole vocabulary."""
        return {} if self._shortlist is None else self._candidates.feed(by_source=by_source)

    def best(self, decoder: str, feed: Feed, rows: Ints, sources: Ints, count: int) -> tuple[Floats32, Ints]:
        """Log-probabilities and ids [r, k] of the best words of these rows of a non-autoregressive decoder's canvases;
        `sources` says whose each canvas is.
        """
        lists = self.feed()
        feed = {**feed, **lists, graphs.ROWS: rows, graphs.TOP: np.zeros(min(count, len(self)), np.int64)}
        if lists:
            feed[graphs.ALLOWED] = lists[graphs.ALLOWED][sources]
        said = self._runtime.run(graphs.nat_graph(decoder, shortlist=bool(lists)), feed)
        return said[graphs.TOPK_LOGP], said[graphs.TOPK_ID]

    def answer(self, query: Query, feed: Feed) -> tuple[Reply, list[Any]]:
        """One run of the decoder: what it says, and what to keep.

        Where numbers are not finite there are zeros: nothing may be made of them, and nothing of others depends on
        them.
        """
        if query.is_stride and not self._runtime.is_placed:
            return self._follow(query, feed)
        shape = (len(query.ids), query.seen.shape[1]) if query.is_stride else query.ids.shape
        is_asked = bool(query.named.shape[2])
        chosen = query.named if is_asked else np.zeros((*shape, 1), np.int64)
        feed = {**feed, **self.feed()}
        graph = graphs.STRIDE if query.is_stride else graphs.STEP
        if self._shortlist is not None:
            graph, chosen = graphs.STEP_SHORTLIST, self._candidates.places(chosen)
        choices = len(self) + (feed[graphs.EXTENDED].shape[1] if graphs.EXTENDED in feed else 0)
        feed[graphs.TOP] = np.zeros(min(query.best, choices), np.int64)
        if is_asked or not self._runtime.is_placed:
            feed[graphs.CHOSEN] = chosen
        said, new = self._runtime.step(graph, feed, attention=query.attention)
        logp: Floats32 = said[graphs.TOPK_LOGP].reshape(*shape, -1)
        broken = _silenced(logp)
        said_all = graphs.CHOSEN in feed  # nobody reads of the others what was not asked
        reply = Reply(
            logp,
            said[graphs.TOPK_ID].reshape(logp.shape),
            said[graphs.CHOSEN_LOGP].reshape(chosen.shape) if said_all else np.zeros(chosen.shape, np.float32),
            said[graphs.NORMALISER].reshape(shape) if said_all else np.zeros(shape, np.float32),
            said.get(graphs.ATTENTION),
            broken,
        )
        return reply, new

    def _follow(self, query: Query, feed: Feed) -> tuple[Reply, list[Any]]:
        """A stride from each source's one node: `answer` of several places, each behind the best word of the last."""
        feed |= self.feed(by_source=self._strides_by_source)
        feed[graphs.TOP] = np.zeros(min(query.best, len(self)), np.int64)
        feed[graphs.COUNT] = np.array(query.seen.shape[1])
        logp, ids, *new = self._runtime.run(graphs.STRIDE, feed).values()
        logp, ids = logp.swapaxes(0, 1).copy(), ids.swapaxes(0, 1)
        unasked, broken = np.zeros(logp.shape[:2], np.float32), _silenced(logp)
        return Reply(logp, ids, unasked[..., :0, None], unasked, broken=broken), new


def _silenced(logp: Floats32) -> dict[int, int]:
    """The first place of each source whose numbers are not finite; they are zeros from now on."""
    is_sound = np.isfinite(logp)
    if is_sound.all():
        return {}
    logp[~is_sound] = 0.0
    is_bad: Bools = ~np.all(is_sound, axis=2)
    return {g: int(is_bad[g].argmax()) for g in np.flatnonzero(np.any(is_bad, axis=1)).tolist()}
