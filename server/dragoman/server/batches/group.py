"""The interface of all groups: sources that are decoded together, whatever their strategy."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from dragoman.server.core.segments import Decoded, Segment
from dragoman.server.decode.arrays import Floats32

T = TypeVar("T")


@dataclass(frozen=True)
class Source:
    """One source as the encoder gives it."""

    tensors: Mapping[str, Any]
    """What the autoregressive decoder reads, by name, without the axis G: keys and values [H, ...] with padded
    positions, and first states; empty where nobody reads them."""
    hidden: Floats32 | None
    """Rows [n, d] without padding, where a non-autoregressive decoder reads them."""


class Group(Protocol[T]):
    """Sources that are decoded together. Each carries an owner: what the caller wants back."""

    @property
    def owners(self) -> list[T]:
        """Who wants the answers, one for each source."""

    def __len__(self) -> int:
        """Sources."""

    @property
    def rows(self) -> int:
        """How many rows the next step has."""

    @property
    def num_live(self) -> int:
        """Rows of the next step that are of use."""

    def admit(self, owner: T, segment: Segment, source: Source) -> None:
        """Take in an encoded source."""

    def step(self) -> list[tuple[T, Decoded]]:
        """Run the decoder once for all sources; those that are finished leave. Owners, and what came of their sources:
        the times are the lane's to measure.
        """

    def drop(self, owner: T) -> int:
        """A source leaves unfinished; returns how many target positions were decoded for it."""
