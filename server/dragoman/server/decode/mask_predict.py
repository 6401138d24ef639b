"""Non-autoregressive decoding of one source: canvases whose places are filled all at once, in one pass or several.

A canvas is what must stand first, the request's prefix, free places, and what must stand last. Its length is
predicted, asked for, or long: then free places go up to the end of the canvas, and the text up to the first end token.
Mask-predict fills all free places, then takes back the least certain ones and fills them again, fewer each time; with a
single pass that is one-shot decoding. Several lengths may be tried side by side; the highest mean log-probability wins.

Pure: a pass is `ask`ed for and `tell`s what came of it. Nothing about a source depends on any other.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from dragoman.bundle.manifest import Nat, Tokenizer
from dragoman.server.core.segments import FinishReason, Hypothesis, Segment
from dragoman.server.decode.arrays import Bools, Floats, Floats32, Ints
from dragoman.server.decode.constraints import IMPOSSIBLE
from dragoman.server.decode.strategies.nat import NonAutoregressive


def wanted(segment: Segment) -> int | None:
    """How many translations leave the decoder; all, where another one chooses among them."""
    strategy = segment.strategy
    is_rescored = isinstance(strategy, NonAutoregressive) and strategy.rescore
    return None if is_rescored else segment.decoding.num_hypotheses


@dataclass(frozen=True)
class Length:
    """One length that is tried: free places of a canvas, prefix included."""

    tokens: int
    is_cut: bool = False
    """Whether a longer one was wanted and is not allowed."""
    is_long: bool = False
    """Whether the text ends at the first end token."""


def lengths(nat: Nat, segment: Segment, predicted: Floats32 | None) -> list[Length]:
    """The lengths to try, the likeliest first; `predicted` are log-probabilities of the bundle's classes."""
    strategy = segment.strategy
    assert isinstance(strategy, NonAutoregressive)
    framed = (nat.first_id is not None) + (nat.last_id is not None)
    most = max(1, min(segment.max_target_tokens - 1, nat.max_canvas - framed))
    if strategy.exact_length is not None:  # which goes before the source's length, but not before the request's limit
        longest = min(segment.decoding.max_length - 1, nat.max_canvas - framed)
        return [Length(max(1, min(strategy.exact_length, longest)), strategy.exact_length > longest)]
    least = min(most, max(1, len(segment.prefix), segment.decoding.min_length))
    if predicted is None:
        # The end token needs a place of its own.
        tokens = math.ceil(nat.canvas_factor * strategy.length_scale * len(segment.ids)) + 1
        longest = max(1, min(segment.max_target_tokens, nat.max_canvas - (nat.first_id is not None)))
        return [Length(max(least, min(tokens, longest)), tokens > longest, is_long=True)]
    likely = [canvas - framed for canvas in _canvases(nat, strategy, len(segment.ids), predicted)]
    found = [Length(max(least, min(tokens, most)), tokens > most) for tokens in likely]
    return list(dict.fromkeys(found))


def _canvases(nat: Nat, strategy: NonAutoregressive, source: int, predicted: Floats32) -> list[int]:
    """Lengths of whole canvases."""
    shift = _shift(nat, source, predicted)
    order = (-predicted).argsort(kind="stable")
    count = strategy.length_candidates
    if nat.length_search == "best":
        return [round((int(index) + shift) * strategy.length_scale) for index in order[:count]]
    middle = round((int(order[0]) + shift) * strategy.length_scale)
    around = [middle + step - count // 2 for step in range(count)]
    return sorted(around, key=lambda length: abs(length - middle))


def likeliest(nat: Nat, source: int, predicted: Floats32) -> int:
    """The most probable length of a whole canvas."""
    return max(1, int(predicted.argmax()) + _shift(nat, source, predicted))


def _shift(nat: Nat, source: int, predicted: Floats32) -> int:
    """What the number of a class lacks to be the length that it stands for."""
    return source - len(predicted) // 2 if nat.length_offset else 0


def masks(nat: Nat, source: int, size: int) -> Ints:
    """What the places of a canvas read while they are masked, of a source of so many words."""
    assert nat.mask_id is not None, "the manifest's rules see to it"
    return nat.mask_id + _paced(source, size) if nat.canvas == "shown" else np.full(size, nat.mask_id)


def _paced(source: int, size: int) -> Ints:
    """The source's positions at an even pace, the first at the first place and the last at the last."""
    return np.rint(np.arange(size) * (source - 1) / max(1, size - 1)).astype(np.int64)


def least_certain(scores: Floats, is_free: Bools, count: int) -> Bools:
    """The `count` free places of lowest score; of equals, the first."""
    ranks = np.where(is_free, scores, np.inf).argsort(kind="stable")
    chosen = np.zeros(len(scores), np.bool_)
    chosen[ranks[:count]] = True
    return chosen


@dataclass
class Canvas:
    """One length's places."""

    ids: Ints
    masks: Ints
    """What places read that are taken back."""
    scores: Floats
    """Log-probabilities of what was filled in; 0 of what was given."""
    is_free: Bools
    is_open: Bools
    """To be filled in the next pass."""
    length: Length
    before: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    """What stood there after the last pass."""

    @property
    def is_done(self) -> bool:
        """Whether no pass is left for it."""
        return not self.is_open.any()


class CanvasSource:
    """A segment that is decoded on canvases."""

    def __init__(self, segment: Segment, nat: Nat, vocabulary: Tokenizer, predicted: Floats32 | None) -> None:
        assert isinstance(segment.strategy, NonAutoregressive)
        self.segment, self._nat, self._vocabulary = segment, nat, vocabulary
        self.passes = 0
        self._most = segment.strategy.passes
        self.canvases = [self._canvas(length) for length in lengths(nat, segment, predicted)]
        unknown = {vocabulary.unk_id} if segment.decoding.unknown_handling == "suppress" else set()
        given = {index for index in (nat.mask_id, nat.first_id) if index is not None}
        self._never = {*segment.suppressed_ids, *vocabulary.suppressed_ids, *unknown, *given}
        self.num_best = 2 + len(self._never)
        """How many best words of a place must be known, so that one is left that may be put out."""

    def __repr__(self) -> str:
        return f"<CanvasSource {len(self.segment.ids)} tokens, {len(self.canvases)} canvases, pass {self.passes}>"

    @property
    def is_done(self) -> bool:
        """Whether no pass is left."""
        return all(canvas.is_done for canvas in self.canvases)

    @property
    def num_canvases(self) -> int:
        """Canvases of the next pass."""
        return sum(not canvas.is_done for canvas in self.canvases)

    @property
    def num_open(self) -> int:
        """Places to be filled in the next pass."""
        return sum(int(canvas.is_open.sum()) for canvas in self.canvases)

    def _canvas(self, length: Length) -> Canvas:
        nat, prefix = self._nat, self.segment.prefix
        first = [] if nat.first_id is None else [nat.first_id]
        last = [] if nat.last_id is None or length.is_long else [nat.last_id]
        size = len(first) + length.tokens + len(last)
        source = np.array(self.segment.ids)
        masked = masks(nat, len(source), size)
        ids = source[_paced(len(source), size)] if nat.canvas == "source" else masked.copy()
        is_free = np.zeros(size, np.bool_)
        is_free[len(first) + len(prefix) : size - len(last)] = True
        ids[: len(first) + len(prefix)] = [*first, *prefix]
        ids[size - len(last) :] = last
        return Canvas(ids, masked, np.zeros(size), is_free, is_free.copy(), length)

    def fill(self, logp: Floats32, ids: Ints) -> tuple[Hypothesis, ...] | None:
        """A pass's best words [open places, k], canvas by canvas. Texts, best first, after the last pass; until then
        None.
        """
        start = 0
        for number, canvas in enumerate(self.canvases):
            end = start + int(canvas.is_open.sum())
            if end > start:
                self.tell(number, logp[start:end], ids[start:end])
            start = end
        self.advance()
        return self.hypotheses() if self.is_done else None

    def tell(self, number: int, logp: Floats32, ids: Ints) -> None:
        """The best words [open places, k] of a canvas; once for each that is not done, then `advance`."""
        canvas = self.canvases[number]
        places = np.flatnonzero(canvas.is_open)
        allowed = ~np.isin(ids, [*self._never]) & (logp > IMPOSSIBLE)
        allowed &= (ids != self._vocabulary.eos_id) | self._may_end(canvas)[places, None]
        best = allowed.argmax(1)[:, None]
        canvas.ids[places] = np.take_along_axis(ids, best, 1)[:, 0]
        canvas.scores[places] = np.take_along_axis(logp, best, 1)[:, 0]

    def _may_end(self, canvas: Canvas) -> Bools:
        """Places of an end token that is not given: those of a long canvas, behind the least length."""
        may = np.full(len(canvas.ids), canvas.length.is_long)
        may[: (self._nat.first_id is not None) + self.segment.decoding.min_length] = False
        return may

    def advance(self) -> None:
        """End the pass: take back what is least certain, or leave a canvas as it is."""
        self.passes += 1
        for canvas in self.canvases:
            if canvas.is_done:
                continue
            free = int(canvas.is_free.sum())
            count = int(free * (1 - self.passes / self._most))
            is_settled = np.array_equal(canvas.ids, canvas.before)
            canvas.before = canvas.ids.copy()
            if count == 0 or is_settled:
                canvas.is_open = np.zeros_like(canvas.is_free)
                continue
            canvas.is_open = least_certain(canvas.scores, canvas.is_free, count)
            canvas.ids[canvas.is_open] = canvas.masks[canvas.is_open]

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """What is wanted of what the canvases hold, the highest mean log-probability first, each text once."""
        found = sorted((self._hypothesis(canvas) for canvas in self.canvases), key=lambda one: -one.score)
        distinct = {one.ids: one for one in reversed(found)}
        return tuple(one for one in found if distinct[one.ids] is one)[: wanted(self.segment)]

    def _hypothesis(self, canvas: Canvas) -> Hypothesis:
        start = int(self._nat.first_id is not None)
        tokens = canvas.ids[start : start + canvas.length.tokens].tolist()
        logps = canvas.scores[start : start + canvas.length.tokens].tolist()
        eos_id, is_cut = self._vocabulary.eos_id, canvas.length.is_cut
        if canvas.length.is_long:
            end = tokens.index(eos_id) if eos_id in tokens else None
            is_cut = end is None
            if end is not None:
                tokens, logps = tokens[:end], logps[: end + 1]
        elif not is_cut:
            logps.append(0.0)  # the end was given
        scored = len(logps) - (not is_cut and not canvas.length.is_long) - len(self.segment.prefix)
        logp = math.fsum(logps)
        reason = FinishReason.LENGTH if is_cut else FinishReason.STOP
        return Hypothesis(tuple(tokens), logp, logp / max(1, scored), reason, tuple(logps))


def all_rows(canvases: Sequence[Canvas], width: int) -> Ints:
    """Places to be filled of canvases that lie one below the other, each `width` places wide."""
    rows = [np.flatnonzero(canvas.is_open) + row * width for row, canvas in enumerate(canvases)]
    found: Ints = np.concatenate(rows)
    return found
