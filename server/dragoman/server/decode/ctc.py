"""Decoding by connectionist temporal classification: each place of a canvas says a word or a blank.

Words that follow one another without a blank between them are one, and blanks are nothing. Greedy decoding takes each
place's best; a prefix beam adds up all the ways in which places may say the same text.

A further pass reads the words that the last one has said: what was said in ignorance of one another is said again.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dragoman.bundle.manifest import Nat, Tokenizer
from dragoman.server.core.segments import FinishReason, Hypothesis, Segment
from dragoman.server.decode.arrays import Floats, Floats32, Ints
from dragoman.server.decode.mask_predict import wanted
from dragoman.server.decode.strategies.nat import NonAutoregressive

CONSIDERED = 20
"""Words of each place that a prefix beam looks at, and at least as many as its width."""
NOTHING = 1 << 30
"""What a place shows that shows no word: an id behind any vocabulary."""


def collapse(ids: Sequence[int], blank: int) -> list[int]:
    """The places that begin a word of the text."""
    return [n for n, (word, before) in enumerate(zip(ids, (blank, *ids), strict=False)) if word not in (before, blank)]


def greedy(ids: Sequence[int], logp: Sequence[float], blank: int) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """The text of each place's best [T]: its tokens, and their log-probabilities, which add up to that one way's. A
    text without tokens has one log-probability.
    """
    starts = collapse(ids, blank)
    bounds = [0, *starts[1:], len(ids)]  # what comes before the first is the first's
    parts = tuple(math.fsum(logp[a:b]) for a, b in itertools.pairwise(bounds))
    return tuple(ids[n] for n in starts), parts


@dataclass
class _Ways:
    """Log-probabilities of all ways to a prefix, by what the last place says."""

    blank: float = -math.inf
    word: float = -math.inf

    @property
    def total(self) -> float:
        return _add(self.blank, self.word)


def _add(a: float, b: float) -> float:
    if a < b:
        a, b = b, a
    return a if b == -math.inf else a + math.log1p(math.exp(b - a))


def prefix_beam(ids: Ints, logp: Floats, blank: int, width: int) -> list[tuple[tuple[int, ...], float]]:
    """The most probable texts and their log-probabilities, best first, of places that each may say one of [T, C];
    `width` prefixes live at a time.

    A place whose candidates lack the blank cannot be blank. Of equals, what was found first comes first.
    """
    beam: dict[tuple[int, ...], _Ways] = {(): _Ways(blank=0.0)}
    for words, logps in zip(ids.tolist(), logp.tolist(), strict=True):
        grown: dict[tuple[int, ...], _Ways] = {}
        said = dict(zip(words, logps, strict=True))
        for prefix, ways in beam.items():
            last = prefix[-1] if prefix else None
            for word, own in said.items():
                if word == blank:
                    same = grown.setdefault(prefix, _Ways())
                    same.blank = _add(same.blank, ways.total + own)
                    continue
                if word == last:  # the same word goes on; only behind a blank it comes again
                    same = grown.setdefault(prefix, _Ways())
                    same.word = _add(same.word, ways.word + own)
                more = grown.setdefault((*prefix, word), _Ways())
                more.word = _add(more.word, (ways.blank if word == last else ways.total) + own)
        order = sorted(grown, key=lambda prefix: -grown[prefix].total)[:width]
        beam = {prefix: grown[prefix] for prefix in order if grown[prefix].total > -math.inf}
    return [(prefix, ways.total) for prefix, ways in beam.items()]


class Reader:
    """What one segment makes of its places, pass by pass."""

    def __init__(self, segment: Segment, nat: Nat, vocabulary: Tokenizer) -> None:
        assert isinstance(segment.strategy, NonAutoregressive)
        assert nat.blank_id is not None, "the manifest's rules see to it"
        self._segment, self._blank, self._eos_id = segment, nat.blank_id, vocabulary.eos_id
        self._most, self.passes = segment.strategy.passes, 0
        self.num_canvases, self.num_open = 1, len(segment.ids) * nat.upsample
        """All places are said anew in each pass."""
        self.shown = np.full(self.num_open, NOTHING)
        """What the canvas shows in the next pass."""
        self._said: tuple[int, ...] | None = None
        unknown = {vocabulary.unk_id} if segment.decoding.unknown_handling == "suppress" else set()
        self._never = {*segment.suppressed_ids, *vocabulary.suppressed_ids, *unknown} - {self._blank}
        self._width = segment.decoding.beam_size
        looked_at = 1 if self._width == 1 else max(CONSIDERED, self._width) + 1
        self.num_best = looked_at + len(self._never)

    def fill(self, logp: Floats32, ids: Ints) -> tuple[Hypothesis, ...] | None:
        """A pass's best words [T, k] of its places. Texts, best first, after the last pass; until then None.

        A pass that says what the one before it has said is the last. The score is the mean over all places.
        """
        self.passes += 1
        # Lists: a source has a few dozen places, with which numpy takes longer to begin than Python to end.
        words, own = ids[:, 0].tolist(), logp[:, 0].tolist()
        if not self._never.isdisjoint(words):
            for place, word in enumerate(words):
                if word in self._never:
                    said = ids[place].tolist()
                    best = next((n for n, other in enumerate(said) if other not in self._never), 0)
                    words[place], own[place] = said[best], logp[place, best].item()
        tokens, token_logps = greedy(words, own, self._blank)
        if self.passes < self._most and tokens != self._said:
            self._said = tokens
            self.shown = np.array([NOTHING if word == self._blank else word for word in words])
            return None
        if self._width == 1:
            return (self._hypothesis(tokens, math.fsum(token_logps), len(ids), token_logps),)
        allowed = np.where(np.isin(ids, [*self._never]), -np.inf, logp.astype(np.float64))
        found: dict[tuple[int, ...], Hypothesis] = {}
        for text, total in prefix_beam(ids, allowed, self._blank, self._width):
            one = self._hypothesis(text, total, len(ids))
            found.setdefault(one.ids, one)
        return tuple(found.values())[: wanted(self._segment)]

    def _hypothesis(
        self, tokens: tuple[int, ...], total: float, places: int, logps: tuple[float, ...] = ()
    ) -> Hypothesis:
        """A text up to its end token, or up to the limit; `logps` are those of a single way."""
        most = self._segment.max_target_tokens - 1
        if self._eos_id in tokens:
            tokens = tokens[: tokens.index(self._eos_id)]
        is_cut = len(tokens) > most
        tokens = tokens[:most] if is_cut else tokens
        if logps:  # what was cut off counts to the end
            kept = logps[: len(tokens)]
            logps = kept if is_cut else (*kept, math.fsum(logps[len(tokens) :]))
        logp = math.fsum(logps) if logps else total
        reason = FinishReason.LENGTH if is_cut else FinishReason.STOP
        return Hypothesis(tokens, logp, total / places, reason, logps)
