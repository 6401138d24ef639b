"""One source of a search: what is asked of it, and what has come of it, beside its rows in the search's arrays."""

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from dragoman.bundle.manifest import Tokenizer
from dragoman.server.core.segments import FinishReason, Hypothesis, Segment
from dragoman.server.decode.arrays import Floats32
from dragoman.server.decode.constraints import Weigher
from dragoman.server.decode.loops import allowed_rounds, ends_in_a_loop
from dragoman.server.decode.strategies.special import Special
from dragoman.server.decode.toolkits import BeamResults, coverage, ranking


class SegmentSearch:
    """A segment that is searched for in `beams` beams of width `width`."""

    def __init__(self, segment: Segment, vocabulary: Tokenizer, *, beams: int, width: int) -> None:
        self.segment, self._eos_id = segment, vocabulary.eos_id
        decoding, strategy = segment.decoding, segment.strategy
        weigher = Weigher(segment, vocabulary, width=width)
        self.weigher = weigher if weigher.is_needed else None
        self.beams = [BeamResults(decoding, width=width, wanted=strategy.wanted(decoding)) for _ in range(beams)]
        self.special = strategy if isinstance(strategy, Special) else None
        """Its strategy, where that chooses among continuations."""
        self.draws = [] if self.special is None else self.special.draws(beams)
        self.wants_attention = bool(
            segment.attention or decoding.coverage_penalty or decoding.unknown_handling == "copy"
        )
        self.stops_loops = segment.stops_loops and strategy.forced() is None
        """Whether it is over where all that lives repeats itself."""
        self._attention: list[Floats32] = []  # of the places of each level, [K, S], the root's first
        self._open: Hypothesis | None = None
        """The best of those that nothing could follow, where all of a translation has to be something."""
        self.is_lost = False
        """Whether the decoder's numbers were not finite."""
        self.num_choices = strategy.num_choices(beams, width)
        """How many of each row's best words its strategy may choose from, at least."""

    def __repr__(self) -> str:
        return f"<SegmentSearch {len(self.segment.ids)} tokens, {self.beams}>"

    @property
    def is_special(self) -> bool:
        """Whether it takes part in more than ranking by the model's own scores."""
        return self.weigher is not None or self.wants_attention or self.special is not None

    def has_looped(self, tokens: Sequence[int]) -> bool:
        """Whether what was put out of itself, and not for a prefix or a least length, ends in a loop."""
        decoding, prefix = self.segment.decoding, self.segment.prefix
        if len(tokens) < decoding.min_length:
            return False
        said = tokens[len(prefix) :]
        return ends_in_a_loop(said, 0) and ends_in_a_loop(said, self._allowed_rounds)

    @cached_property
    def _allowed_rounds(self) -> int:
        return allowed_rounds(self.segment.ids)

    def attend(self, attention: Floats32) -> None:
        """What the newest level's places attended to, [K, S] and padding."""
        self._attention.append(attention[:, : len(self.segment.ids)].copy())

    def end(
        self, number: int, tokens: list[int], logps: list[float], places: list[int], score: float, *, is_top: bool
    ) -> None:
        """BeamResults `number` has a hypothesis: tokens, the last one included, their log-probabilities, the places of
        all but the last, and the summed score.
        """
        decoding = self.segment.decoding
        is_end = tokens[-1] == self._eos_id
        is_cut = not is_end or (self.weigher is not None and self.weigher.forces_end_at(len(places)))
        score = ranking(decoding, score, len(logps))
        attention = None
        if self.wants_attention:
            levels = zip(self._attention, [0, *places], strict=True)
            attention = np.stack([level[place] for level, place in levels])
            score += decoding.coverage_penalty * coverage(attention)
        hypothesis = Hypothesis(
            tuple(tokens[:-1] if is_end else tokens),
            math.fsum(logps),
            score,
            self._reason(len(tokens)) if is_cut else FinishReason.STOP,
            tuple(logps),
            attention,
            is_open=is_cut and self.segment.phrasing is not None,
        )
        self.beams[number].end(hypothesis, is_top=is_top)

    def leave_open(self, tokens: list[int], logps: list[float], places: list[int], score: float) -> None:
        """Nothing can follow these tokens, which is told where nothing else comes of the search."""
        score = ranking(self.segment.decoding, score, max(1, len(logps)))
        if self._open is not None and self._open.score >= score:
            return
        attention = None
        if self.wants_attention:
            rows = [level[place] for level, place in zip(self._attention, [0, *places[:-1]], strict=False)]
            attention = np.stack(rows[: len(tokens)]) if tokens else np.zeros((0, len(self.segment.ids)), np.float32)
        self._open = Hypothesis(
            tuple(tokens), math.fsum(logps), score, FinishReason.GRAMMAR, tuple(logps), attention, is_open=True
        )

    def _reason(self, length: int) -> FinishReason:
        """Why a hypothesis of this length was cut."""
        at_limit = length >= self.segment.max_target_tokens
        return FinishReason.LENGTH if at_limit else FinishReason.REPETITION

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """The hypotheses that are wanted, as the strategy gathers them; none where the model left no word to choose."""
        if self.is_lost:
            return ()
        ended = self.segment.strategy.gather([beam.ended for beam in self.beams], self.segment.decoding)
        return (self._open,) if self._open is not None and not ended else ended
