"""How fast lanes have been of late: what waits and engines are predicted from."""

import math

from dragoman.server.core.strategies import Engine

MEMORY_S = 30.0
"""What was measured so long ago counts a third; a speed is forgotten."""

NEWEST = 0.1
"""Weight of the newest measurement of a speed, and of a round."""
PAUSE = 20
"""A round that takes so many times as long as others is not the lane's work: the process or the machine stood still."""
LEAST_S = 0.5
"""Before lanes have been busy for so long, nothing is predicted. Nor before as many sources have ended as are in lanes
at a time: the shortest end first, and most of what lanes took is in what has not ended yet."""

_SAME_SPEED = {Engine.SPECULATIVE: Engine.GREEDY, Engine.SPECULATIVE_LOSSY: Engine.GREEDY}
"""Where drafts do not pay, speculation is greedy search."""


class Pace:
    """How fast lanes work through what waits, and how long one token takes each engine under such a load."""

    def __init__(self) -> None:
        self._cost = self._seconds = self._busy_s = self._round_s = 0.0
        self._num_ended = self._most_active = 0
        self._engine_s: dict[Engine, float] = {}
        self._noted_s: dict[Engine, float] = {}

    def plausible(self, seconds: float) -> float:
        """How much of a round's time counts, by what rounds took before."""
        usual_s = self._round_s or seconds
        self._round_s = usual_s + NEWEST * (min(seconds, PAUSE * usual_s) - usual_s)
        return seconds if seconds < PAUSE * usual_s else usual_s

    def note(self, cost: int, seconds: float, *, ended: int = 1, active: int = 0) -> None:
        """A lane was busy for so long and finished so many sources of this cost; so many more are in it."""
        self._busy_s += seconds
        self._num_ended += ended
        self._most_active = max(self._most_active, active)
        fades = math.exp(-seconds / MEMORY_S)
        self._cost = self._cost * fades + cost
        self._seconds = self._seconds * fades + seconds

    def seconds_for(self, cost: int, lanes: int) -> float:
        """How long what costs so much will take; 0 while too little has been measured."""
        return cost * self._seconds / (self._cost * lanes) if self._is_known(lanes) else 0.0

    def _is_known(self, lanes: int) -> bool:
        has_turned_over = self._num_ended >= lanes * self._most_active or self._busy_s >= MEMORY_S
        return self._cost > 0 and self._busy_s >= LEAST_S and has_turned_over

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
