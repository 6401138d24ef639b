"""Non-autoregressive decoding: all tokens at once, by a decoder of its own."""

from dataclasses import dataclass

from dragoman.bundle.manifest import Decoding
from dragoman.server.core.strategies import Engine, Strategy


@dataclass(frozen=True)
class NonAutoregressive(Strategy):
    """All tokens at once, by one of the bundle's decoders; complete, as planning resolves it."""

    decoder: str
    passes: int = 1
    length_candidates: int = 1
    """Lengths that are tried side by side."""
    length_scale: float = 1.0
    exact_length: int | None = None
    """Tokens without the end token, instead of a prediction."""
    rescore: bool = False
    """Whether the autoregressive decoder chooses among the hypotheses."""

    def engine(self, decoding: Decoding) -> Engine:
        """What results name."""
        return Engine.NAT

    def width(self, decoding: Decoding) -> int:
        """A canvas for each length, or a beam over the only one."""
        return max(self.length_candidates, decoding.beam_size)
