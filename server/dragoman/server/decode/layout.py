"""What sources must have in common to be searched together."""

from dataclasses import dataclass

from dragoman.bundle.manifest import Profile
from dragoman.server.core.segments import Segment


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
        """How many nodes a source may have at each level."""
        return self.beams * self.width

    @classmethod
    def of(cls, segment: Segment) -> "Layout":
        """What this segment needs."""
        beams, width = segment.strategy.shape(segment.decoding)
        profile = segment.decoding.profile if width > 1 else "marian"
        return cls(beams, width, profile, segment.strategy.is_drawn)
