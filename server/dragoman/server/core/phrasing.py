"""What all of a translation must be: labels of a list, or a text of a grammar. A search asks it what may follow."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

FEW_OTHERS = 1024
"""Graphs sort so many more of the best words in less time than they look up all that may follow."""


@dataclass(frozen=True)
class Allowed:
    """What may follow a beginning of a translation."""

    words: npt.NDArray[np.int64]
    """Ascending, the end among them where the translation may end."""
    num_others: int
    """How many words may not."""

    is_near: bool = False
    """Whether some of the words lead to where there is no end within the limit."""

    @property
    def is_most(self) -> bool:
        """Whether it is less to look for the best words among all than to name these."""
        return self.num_others <= FEW_OTHERS


class PhrasingWalk(Protocol):
    """The way of one search through a phrasing."""

    def expect(self, beginnings: Sequence[Sequence[int]], left: int) -> None:
        """These beginnings, with so many tokens left for each, its end included, will be asked for next."""

    def allowed(self, said: Sequence[int]) -> Allowed:
        """What may follow; no words where nothing does."""

    def fitting(self, said: Sequence[int], words: Sequence[int]) -> set[int]:
        """Those of the allowed words behind which the translation can still become whole, as far as that is known."""


class Phrasing(Protocol):
    """What a request's translations must be."""

    def walk(self) -> PhrasingWalk:
        """A way from the beginning."""
