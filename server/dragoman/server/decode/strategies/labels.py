"""Labels: a translation that is one of a list, or several of it, none twice. The search is exact among them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from dragoman.bundle.manifest import Decoding
from dragoman.server.core.errors import Violation
from dragoman.server.core.limits import Bounds
from dragoman.server.core.strategies import Beam, Method, Strategy

MOST = 1024
"""Labels of a request."""


@dataclass(frozen=True)
class Labels(Method):
    """Beam search among labels."""

    labels: tuple[str, ...] = ()
    most: int = 1
    separator: str = ", "

    field: ClassVar[str] = "choice"
    is_whole: ClassVar[bool] = True
    translates: ClassVar[bool] = False

    def strategy(self, seed: int) -> Strategy:
        """A beam, which is offered nothing else."""
        return Beam()

    def violations(
        self, decoding: Decoding, given: Mapping[str, Any], defaults: Decoding, bounds: Bounds
    ) -> Iterator[Violation]:
        """Labels that are none, or twice, and settings that labels leave no room for."""
        yield from super().violations(decoding, given, defaults, bounds)
        if not 1 <= len(self.labels) <= MOST:
            yield Violation("decoding.choice.labels", f"{len(self.labels)} labels: name 1 to {MOST}")
        if len(set(self.labels)) < len(self.labels):
            yield Violation("decoding.choice.labels", "one of them twice")
        if not 1 <= self.most <= max(1, len(self.labels)):
            yield Violation("decoding.choice.most", f"{self.most} is not between 1 and {len(self.labels)}")
        if self.most > 1 and not self.separator.strip():
            yield Violation("decoding.choice.separator", "nothing to be seen between labels: set one, such as ', '")
        for name in ("min_length", "max_length", "max_length_factor", "repetition_penalty", "no_repeat_ngram_size"):
            if name in given:
                yield Violation(f"decoding.{name}", "excluded by decoding.choice, whose labels are said as they are")
