"""What the text side of the server needs of the lanes, and what the lanes tell back.

`dragoman.server.lanes` implements it over ONNX Runtime, `dragoman.server.testing` without any model.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Protocol

from dragoman.server.domain import Decoded, Priority, Segment

Ticket = Any
"""A caller's hold on a submitted segment: only good for cancelling it."""

Done = Callable[[Decoded | Exception], None]


class LaneObserver(Protocol):
    """Told what the lanes do, from their threads."""

    def on_step(self, rows: int, used_rows: int, seconds: float) -> None:
        """A run of the decoder: rows in the batch, those that did useful work, and how long it took."""

    def on_encode(self, sources: int, tokens: int, padded_tokens: int, seconds: float) -> None:
        """A run of the encoder: its tokens without and with padding."""


class SegmentDecoder(Protocol):
    """Decodes segments; all of it is thread-safe."""

    def submit(self, segment: Segment, done: Done, flow: Hashable = None) -> Ticket:
        """Have a segment decoded. `done` is called exactly once, from another thread.

        Segments of one flow wait for one another, flows for each other's next segment only.
        """

    def cancel(self, ticket: Ticket) -> None:
        """Stop decoding: the segment leaves its batch within one step and is answered with `Cancelled`."""

    def predicted_wait_s(self, priority: Priority) -> float:
        """How long a segment of this priority would wait before it is encoded; 0 where that is not known."""

    @property
    def waiting_segments(self) -> int:
        """Segments in the backlog."""

    @property
    def waiting_tokens(self) -> int:
        """Source tokens in the backlog."""

    @property
    def active_segments(self) -> int:
        """Segments that are being decoded."""

    def close(self) -> None:
        """Stop. When this returns, everything submitted has been answered."""
