"""What sources must have in common to be searched together."""

from __future__ import annotations

from dataclasses import dataclass

from dragoman.bundle.manifest import Profile
from dragoman.server.core.segments import Segment
from dragoman.server.core.strategies import Alternatives, DiverseBeam, Engine, Forced, Sample


@dataclass(frozen=True)
class Layout:
    """What sources must have in common to be searched together."""

    beams: int
    width: int
    profile: Profile
    """Marian's where the width is 1: all are the same then."""
    is_drawn: bool = False
    """Whether continuations are drawn instead of ranked."""

    @property
    def places(self) -> int:
        """Of a source, at each level."""
        return self.beams * self.width

    @property
    def engine(self) -> Engine:
        """What results name."""
        return Engine.SAMPLING if self.is_drawn else Engine.GREEDY if self.places == 1 else Engine.BEAM

    @classmethod
    def of(cls, segment: Segment) -> Layout:
        """What this segment needs."""
        decoding, strategy = segment.decoding, segment.strategy
        beams, width = 1, decoding.beam_size
        match strategy:
            case Forced():
                width = 1
            case Sample():
                beams, width = decoding.num_hypotheses, 1
            case DiverseBeam(groups=groups):
                beams, width = groups, width // groups
            case Alternatives(count=count):
                beams = count
        return cls(beams, width, decoding.profile if width > 1 else "marian", isinstance(strategy, Sample))
