"""Whether lanes live: those that have work must move. Idle lanes are well, however long they have been idle.

Decides alone; `watchdog` looks at the clock and acts.
"""

import enum
from collections.abc import Mapping, Sequence

from dragoman.server.core.ports import Pulse


class Fault(enum.Enum):
    """How the lanes of a model are lost."""

    HANG = "hang"
    """A lane has had work and not moved, or work waits and no lane takes it."""
    CRASH = "crash"
    """A lane's thread has ended by an error."""
    FAILURE = "failure"
    """A lane decodes nothing any more: every round fails."""


MIN_FAILURES = 8
"""Fewer may be the fault of single requests."""


def fault_of(pulses: Sequence[Pulse], oldest_arrived_s: float | None, now_s: float, limit_s: float) -> Fault | None:
    """What is wrong with a model's lanes; `oldest_arrived_s` belongs to the oldest segment of the backlog."""
    if any(pulse.has_crashed for pulse in pulses):
        return Fault.CRASH
    if any(pulse.stalled_s(now_s) > limit_s for pulse in pulses):
        return Fault.HANG
    if any(pulse.failures >= MIN_FAILURES and pulse.failing_s > limit_s for pulse in pulses):
        return Fault.FAILURE
    # A full backlog is old, too: only if no lane has moved meanwhile has its work been forgotten.
    moved_s = max(pulse.moved_s for pulse in pulses)
    if oldest_arrived_s is not None and now_s - max(oldest_arrived_s, moved_s) > limit_s:
        return Fault.HANG
    return None


class Faults:
    """The models whose lanes are lost, and since when they have been seen so."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._since_s: dict[str, float] = {}
        self.current: Mapping[str, Fault] = {}

    def __repr__(self) -> str:
        shown = ", ".join(f"{model} {fault.value}" for model, fault in self.current.items())
        return f"<Faults {shown or 'none'}>"

    def see(self, faults: Mapping[str, Fault], now_s: float) -> list[str]:
        """Take in what is wrong now; the models that were well before."""
        new = [model for model in faults if model not in self.current]
        self._since_s = {model: self._since_s.get(model, now_s) for model in faults}
        self.current = dict(faults)
        return new

    def is_final(self, now_s: float) -> bool:
        """Whether a fault has lasted for as long again as it took to be a fault: it will not pass."""
        return any(now_s - since_s >= self._limit_s for since_s in self._since_s.values())
