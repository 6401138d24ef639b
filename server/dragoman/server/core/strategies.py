"""What a request asks for, and how a segment is decoded: the two interfaces, and the beam search that both begin with.

A request has a `Method`, which has rules of its own for what goes with it; a segment has a `Strategy`, which a search
obeys. `Method.strategy` is the only way from one to the other. What a kind does not say otherwise is beam search's.
The kinds stand in `dragoman.server.decode.strategies`, one in a file.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from dragoman.bundle.manifest import Decoding
from dragoman.server.core.errors import Violation
from dragoman.server.core.limits import Bounds

if TYPE_CHECKING:
    from dragoman.server.core.segments import Hypothesis


class Engine(enum.Enum):
    """What produced a translation."""

    GREEDY = "greedy"
    BEAM = "beam"
    SAMPLING = "sampling"
    SPECULATIVE = "speculative"
    """Drafts were verified; the translation is greedy decoding's."""
    SPECULATIVE_LOSSY = "speculative_lossy"
    """Drafts were accepted that greedy decoding would not have chosen."""
    NAT = "nat"


class DraftSource(enum.Enum):
    """Where speculation takes its drafts from."""

    NAT = "nat"
    """The non-autoregressive decoder, which fills the next places anew each time."""
    HYPOTHESIS = "hypothesis"
    """One non-autoregressive translation of the whole source."""
    SOURCE = "source"
    """The source's own words."""


@dataclass(frozen=True)
class Lossy:
    """What verification accepts besides what greedy decoding would choose."""

    top: int
    """Words among so many most probable ones."""
    margin: float
    """And at most so much less probable than the most probable one."""


class Strategy:
    """How a segment is decoded."""

    is_drawn: ClassVar[bool] = False
    """Whether tokens are drawn at random."""
    passes: int = 1
    """How often the decoder computes each position of the target."""
    exact_length: int | None = None
    """Tokens of the target without its end token, where that is no matter of the source."""

    def engine(self, decoding: Decoding) -> Engine:
        """What results name."""
        beams, width = self.shape(decoding)
        return Engine.GREEDY if beams * width == 1 else Engine.BEAM

    def shape(self, decoding: Decoding) -> tuple[int, int]:
        """How many beams a segment has, each a search of its own, and how wide each is."""
        return 1, decoding.beam_size

    def width(self, decoding: Decoding) -> int:
        """How many hypotheses of a segment are decoded side by side."""
        beams, width = self.shape(decoding)
        return beams * width

    def starts(self, beams: int) -> int:
        """How many of the beams begin alive."""
        return beams

    def num_choices(self, beams: int, width: int) -> int:
        """How many of each row's best words may be chosen from, at least."""
        return 1

    def wanted(self, decoding: Decoding) -> int:
        """How many hypotheses each beam looks for."""
        return decoding.num_hypotheses

    def gather(self, ended: Sequence[Sequence[Hypothesis]], decoding: Decoding) -> tuple[Hypothesis, ...]:
        """What comes back of the hypotheses of each beam, which are in order, best first."""
        ranked = sorted((hypothesis for beam in ended for hypothesis in beam), key=lambda one: one.rank)
        return tuple(ranked[: decoding.num_hypotheses])

    def forced(self) -> tuple[int, ...] | None:
        """The target that is given, without its end token; None where one is looked for."""
        return None


Chooser = Callable[[Sequence[str]], Sequence[tuple[int, float]]]
"""Chooses among a segment's hypotheses by their texts, away from the event loop: those to keep and their scores, best
first, as indices."""


class Method:
    """What a request asks for: a field of its decoding options, or beam search where none of them is set."""

    field: ClassVar[str] = ""
    has_beam: ClassVar[bool] = True
    """Whether a demand for beam search goes with it."""
    goes_with_grammar: ClassVar[bool] = False
    """Whether it chooses among the texts of a grammar as among all."""
    is_whole: ClassVar[bool] = False
    """Whether a text must be a single segment."""
    translates: ClassVar[bool] = True
    """Whether what comes out says what the text says; else the text is read whole, and nothing of it is kept."""

    @property
    def is_asked(self) -> bool:
        """Whether its field says anything at all."""
        return True

    def strategy(self, seed: int) -> Strategy:
        """How the request's segments are decoded; `seed` is a fresh one, for a request that names none."""
        raise NotImplementedError

    def sized(self, given: Mapping[str, Any], defaults: Decoding) -> dict[str, Any]:
        """The settings that are given, with the beam and the number of hypotheses that go together."""
        sized = dict(given)
        # Asking for n hypotheses without naming a beam asks for the smallest beam that holds them.
        if "num_hypotheses" in given and "beam_size" not in given:
            sized["beam_size"] = max(defaults.beam_size, given["num_hypotheses"])
        # A narrower beam than the default number of hypotheses lowers that number, as nobody asked for it.
        elif "beam_size" in given and "num_hypotheses" not in given:
            sized["num_hypotheses"] = max(1, min(defaults.num_hypotheses, given["beam_size"]))
        return sized

    def violations(
        self, decoding: Decoding, given: Mapping[str, Any], defaults: Decoding, bounds: Bounds
    ) -> Iterator[Violation]:
        """What is wrong with it under these settings, of which the request gave some and the defaults the others."""
        beam, number, most = decoding.beam_size, decoding.num_hypotheses, bounds.max_beam_size
        if not 1 <= beam <= most:
            is_widened = given.get("num_hypotheses") == beam and "beam_size" not in given
            name = "num_hypotheses" if is_widened else "beam_size"
            yield Violation(f"decoding.{name}", f"{beam} is not between 1 and {most} (--max-beam-size)")
        if not 1 <= number <= max(beam, 1) and (number != beam or "beam_size" in given):
            yield Violation("decoding.num_hypotheses", f"{number} is not between 1 and beam_size, which is {beam}")

    def settings(self, decoding: Decoding) -> Decoding:
        """What the request's segments are decoded with."""
        return decoding

    def chooser(self, decoding: Decoding) -> Chooser | None:
        """What chooses among each segment's hypotheses, where their own order does not."""
        return None


@dataclass(frozen=True)
class Beam(Method, Strategy):
    """Search for the best: a beam of the decoding settings' size, greedy where that is 1."""

    goes_with_grammar: ClassVar[bool] = True

    def strategy(self, seed: int) -> Self:
        """Beam search, as it is."""
        return self
