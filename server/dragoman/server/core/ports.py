"""What the text side of the server needs of the lanes, and what the lanes tell back.

`dragoman.server.lanes.lanes` implements it over ONNX Runtime, `dragoman.server.testing` without any model.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from dragoman.server.core.segments import Decoded, Priority, Segment
from dragoman.server.core.strategies import Engine

Ticket = Any
"""A caller's hold on a submitted segment: only good for cancelling it."""

Done = Callable[[Decoded | Exception], None]


@dataclass
class Pulse:
    """What a lane shows of itself: written by its own thread, read by others. Times on the monotonic clock."""

    moved_s: float
    """When it last began or ended a round."""
    is_busy: bool = False
    """Whether it has work."""
    has_crashed: bool = False
    failures: int = 0
    """Rounds that failed since it last decoded anything."""
    failing_s: float = 0.0
    """How long it was from the first of them to the last."""
    _first_failed_s: float = 0.0

    def beat(self, now_s: float, *, is_busy: bool) -> None:
        """A round begins or ends."""
        self.moved_s = now_s
        self.is_busy = is_busy

    def fail(self, now_s: float) -> None:
        """A round has failed."""
        if not self.failures:
            self._first_failed_s = now_s
        self.failures += 1
        self.failing_s = now_s - self._first_failed_s

    def succeed(self) -> None:
        """A run of the decoder went well: it gave finite numbers."""
        self.failures, self.failing_s = 0, 0.0

    def stalled_s(self, now_s: float) -> float:
        """How long it has had work and not moved; 0 while it is idle."""
        return max(0.0, now_s - self.moved_s) if self.is_busy else 0.0


@dataclass
class DeviceWork:
    """What a device did for a bundle and holds for it, of all lanes; it only grows, but for what is held."""

    runs: dict[tuple[str, bool], int] = field(default_factory=dict)
    """By graph, and whether captured launches were repeated."""
    captures: int = 0
    copies: dict[str, int] = field(default_factory=lambda: {"in": 0, "out": 0})
    bytes: dict[str, int] = field(default_factory=lambda: {"in": 0, "out": 0})
    held: int = 0
    """Bytes of what lanes keep there; weights, and what a run computes in between, are not among them."""

    def note(self, graph: str, *, replayed: bool, sent: int, fetched: int) -> None:
        """One run; bytes that went each way, in one copy if there were any."""
        key = graph, replayed
        self.runs[key] = self.runs.get(key, 0) + 1
        self.note_copy("in", sent)
        self.note_copy("out", fetched)

    def note_copy(self, way: str, size: int) -> None:
        """Bytes that went one way, in one copy if there were any."""
        self.copies[way] += size > 0
        self.bytes[way] += size


class LaneObserver:
    """Told what the lanes do, from their threads; this one lets it pass."""

    def on_step(self, rows: int, used_rows: int, seconds: float) -> None:
        """A run of the decoder: rows in the batch, those that did useful work, and how long it took."""

    def on_encode(self, sources: int, tokens: int, padded_tokens: int, seconds: float) -> None:
        """A run of the encoder: its tokens without and with padding."""

    def on_drafts(self, sources: int, drafted: int, accepted: int, stops_at: int | None) -> None:
        """A round of speculation: its sources, the tokens that were drafted and those of them that stood.

        `stops_at` is the fewest sources at which speculation did not pay, as far as that is known.
        """

    def on_drop(self, steps: int, reason: str) -> None:
        """A segment left unfinished after so many steps; `reason` is the outcome of its error."""

    def on_failed_round(self) -> None:
        """A round failed, and with it all that the lane was decoding, or what it was to encode, or all of a group."""


class SegmentDecoder(Protocol):
    """Decodes segments; all of it is thread-safe."""

    def submit(self, segment: Segment, done: Done, flow: Hashable = None) -> Ticket:
        """Have a segment decoded. `done` is called exactly once, from another thread.

        Segments of one flow wait for one another, flows for each other's next segment only.
        """

    def cancel(self, ticket: Ticket) -> None:
        """Stop decoding: the segment leaves its batch within one step and is answered with `Cancelled`."""

    def predicted_wait_s(self, priority: Priority, cost: int = 0) -> float:
        """How long a request of this priority and cost would wait before all of it is encoded; 0 where that is not
        known.
        """

    def seconds_per_token(self, engine: Engine, *, bulk: bool = False) -> float | None:
        """What a token took an engine of late, from its encoding to its answer; None where none ran of late."""

    @property
    def waiting_segments(self) -> int:
        """Segments in the backlog."""

    @property
    def waiting_tokens(self) -> int:
        """Cost of what is in the backlog, in source tokens of default requests."""

    @property
    def active_segments(self) -> int:
        """Segments that are being decoded."""

    @property
    def oldest_arrived_s(self) -> float | None:
        """When the oldest segment of the backlog was submitted, on the monotonic clock; None where none waits."""

    @property
    def pulses(self) -> Sequence[Pulse]:
        """What each lane shows of itself."""

    @property
    def provider(self) -> str:
        """What the graphs run on: `cpu` or `cuda`."""

    @property
    def device(self) -> DeviceWork | None:
        """What a device does for it; None where that is not counted."""

    def close(self) -> None:
        """Stop. When this returns, everything submitted has been answered."""
