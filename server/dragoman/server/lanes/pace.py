"""How fast lanes have been of late: what waits and engines are predicted from."""

import math

from dragoman.server.core.strategies import Engine

MEMORY_S = 30.0
"""What was measured so long ago counts a third; a speed is forgotten."""

NEWEST = 0.1
"""Weight of the newest measurement of a speed."""

_SAME_SPEED = {Engine.SPECULATIVE: Engine.GREEDY, Engine.SPECULATIVE_LOSSY: Engine.GREEDY}
"""Where drafts do not pay, speculation is greedy search."""


class Pace:
    """How fast lanes work through what waits, and how long one token takes each engine under such a load."""

    def __init__(self) -> None:
        self._cost = self._seconds = 0.0
        self._engine_s: dict[Engine, float] = {}
        self._noted_s: dict[Engine, float] = {}

    def note(self, cost: int, seconds: float) -> None:
        """A lane was busy for so long and finished sources of this cost."""
        fades = math.exp(-seconds / MEMORY_S)
        self._cost = self._cost * fades + cost
        self._seconds = self._seconds * fades + seconds

    def seconds_for(self, cost: int, lanes: int) -> float:
        """How long what costs so much will take; 0 while nothing has been measured."""
        return cost * self._seconds / (self._cost * lanes) if self._cost else 0.0

    def note_engine(self, engine: Engine, seconds: float, now_s: float) -> None:
        """A token took an engine so long."""
        engine = _SAME_SPEED.get(engine, engine)
        old = self.seconds_per_token(engine, now_s)
        self._engine_s[engine] = seconds if old is None else old + NEWEST * (seconds - old)
        self._noted_s[engine] = now_s

    def seconds_per_token(self, engine: Engine, now_s: float) -> float | None:
        """None where it has not run for a while: the load may be another now."""
        engine = _SAME_SPEED.get(engine, engine)
        noted_s = self._noted_s.get(engine)
        return None if noted_s is None or now_s > noted_s + MEMORY_S else self._engine_s[engine]
