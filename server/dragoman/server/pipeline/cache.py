"""Remembered decoding: what became of a segment, for the next request that has one like it.

Lossless, as what comes of a segment depends on it alone and not on what shares its batch. A segment is like another
where the bundle, the ids and all that says how to decode them are equal; they are compared in full, so that no two
segments are ever taken for one another. Bounded in bytes: what was asked for longest ago goes first.

Of whole texts only a hash is kept: it tells a text that is likely to cost nothing before it is cut and numbered.
"""

from __future__ import annotations

import threading
from array import array
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from dragoman.server.core.changing import changed
from dragoman.server.core.segments import NO_WORK, Decoded, FinishReason, Hypothesis, Priority, Segment
from dragoman.server.core.strategies import Engine

Kind = Literal["i", "d"]

ENTRY_BYTES, HYPOTHESIS_BYTES, NUMBER_BYTES = 1_750, 500, 40
"""What an entry takes beside its tokens, with a text's hash, each of its hypotheses likewise, and a number that is not
packed.
"""


class _KeptHypothesis(NamedTuple):
    """A hypothesis, its numbers packed: a tuple of them takes ten times as much."""

    ids: bytes
    logp: float
    score: float
    reason: FinishReason
    token_logps: bytes
    attention: npt.NDArray[np.float32] | None

    @property
    def num_bytes(self) -> int:
        """What it takes."""
        attention = 0 if self.attention is None else self.attention.nbytes
        return HYPOTHESIS_BYTES + len(self.ids) + len(self.token_logps) + attention


class _Entry(NamedTuple):
    """What became of a segment."""

    hypotheses: tuple[_KeptHypothesis, ...]
    engine: Engine
    seconds: float
    num_bytes: int


@dataclass
class CacheTally:
    """What a model's segments were looked up for."""

    hits: int = 0
    misses: int = 0
    saved_s: float = 0.0
    """What the remembered ones took when they were decoded."""


class Cache:
    """What is remembered of all bundles, in at most `limit_bytes`. Thread-safe."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.num_bytes = 0
        self.tallies: dict[str, CacheTally] = {}
        """By the model's name."""
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()
        self._texts: OrderedDict[int, None] = OrderedDict()
        """Hashes of texts all of which was remembered, no more than there are entries."""
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"<Cache {len(self)} segments, {self.num_bytes}/{self.limit_bytes} bytes>"

    def of(self, model: str, digest: str) -> BundleCache | None:
        """What is remembered of one bundle; None where nothing ever is."""
        tally = self.tallies.setdefault(model, CacheTally())
        return BundleCache(self, digest, tally) if self.limit_bytes else None

    def find(self, key: Hashable, tally: CacheTally) -> _Entry | None:
        """What is remembered under a key, counted."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                tally.misses += 1
                return None
            self._entries.move_to_end(key)
            tally.hits += 1
            tally.saved_s += entry.seconds
            return entry

    def keep(self, key: Hashable, entry: _Entry) -> None:
        """Remember it, and forget others for it; not what is larger than all that may be remembered."""
        if entry.num_bytes > self.limit_bytes:
            return
        with self._lock:
            known = self._entries.pop(key, None)
            self.num_bytes += entry.num_bytes - (known.num_bytes if known else 0)
            self._entries[key] = entry
            while self.num_bytes > self.limit_bytes:
                _, forgotten = self._entries.popitem(last=False)
                self.num_bytes -= forgotten.num_bytes
            self._forget_texts()

    def note_text(self, text: int) -> None:
        """All of a text with this hash is remembered."""
        with self._lock:
            self._texts[text] = None
            self._texts.move_to_end(text)
            self._forget_texts()

    def knows_text(self, text: int) -> bool:
        """Whether that was noted of late."""
        return text in self._texts

    def _forget_texts(self) -> None:
        while len(self._texts) > len(self._entries):
            self._texts.popitem(last=False)


class BundleCache:
    """What is remembered of one bundle's segments."""

    def __init__(self, cache: Cache, digest: str, tally: CacheTally) -> None:
        self._cache, self._digest, self._tally = cache, digest, tally

    def recall(self, segment: Segment) -> Decoded | None:
        """What became of a segment like this one, in no time; None where that is not known."""
        entry = self._cache.find(self._key(segment), self._tally)
        if entry is None:
            return None
        hypotheses = tuple(
            Hypothesis(
                ids=_unpacked("i", kept.ids),
                logp=kept.logp,
                score=kept.score,
                reason=kept.reason,
                token_logps=_unpacked("d", kept.token_logps),
                attention=kept.attention,
            )
            for kept in entry.hypotheses
        )
        return Decoded(hypotheses, entry.engine, steps=0, work=NO_WORK, is_remembered=True)

    def remember(self, segment: Segment, decoded: Decoded) -> None:
        """Keep what became of a segment."""
        hypotheses = tuple(map(_kept, decoded.hypotheses))
        numbers = (*segment.prefix, *segment.suppressed_ids, *segment.copies)
        size = ENTRY_BYTES + 4 * len(segment.ids) + NUMBER_BYTES * len(numbers)
        size += sum(hypothesis.num_bytes for hypothesis in hypotheses)
        entry = _Entry(hypotheses, decoded.engine, decoded.encode_s + decoded.decode_s, size)
        self._cache.keep(self._key(segment), entry)

    def remember_text(self, text: str) -> None:
        """All of a text is remembered, as it was asked for."""
        self._cache.note_text(hash((self._digest, text)))

    def knows_text(self, text: str) -> bool:
        """Whether all of a text is likely to be remembered: it was, as it was asked for of late. From any thread."""
        return self._cache.knows_text(hash((self._digest, text)))

    def _key(self, segment: Segment) -> Hashable:
        """All that decides what comes of a segment."""
        return self._digest, _packed("i", segment.ids), _plain(segment)


def _plain(segment: Segment) -> Segment:
    """A segment without its ids; when it has to be there, and who goes first, decide nothing."""
    return changed(segment, ids=(), deadline_s=None, priority=Priority.NORMAL, bulk=False)


def _kept(hypothesis: Hypothesis) -> _KeptHypothesis:
    attention = hypothesis.attention
    if attention is not None:  # which may be part of a batch's
        attention = attention.copy()
        attention.flags.writeable = False
    return _KeptHypothesis(
        ids=_packed("i", hypothesis.ids),
        logp=hypothesis.logp,
        score=hypothesis.score,
        reason=hypothesis.reason,
        token_logps=_packed("d", hypothesis.token_logps),
        attention=attention,
    )


def _packed(kind: Kind, numbers: Sequence[Any]) -> bytes:
    return array(kind, numbers).tobytes()


def _unpacked(kind: Kind, packed: bytes) -> tuple[Any, ...]:
    numbers = array(kind)
    numbers.frombytes(packed)
    return tuple(numbers)
