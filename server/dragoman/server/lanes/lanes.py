"""Lanes: threads that decode. Each steps groups of segments; all share one loaded bundle and what waits for it.

A lane has two halves (`half`), for segments of light requests and for those of bulk, and there is a backlog for each.
A lane's round is: take new segments where there is room, answer what was cancelled or is late, and give the half that
has had less time a turn. A light source has twice the time of all bulk beside it, however many bulk requests there are;
several have more, by the root of their number. Only the lane's thread touches its halves; what is
shared lies behind one lock, and no graph runs and no answer is given while it is held.

Each half has as many places as the other. Of the positions that a lane may hold, bulk leaves some to light segments;
light ones may take all. A half that is empty always takes one, however long it is.

A run of a graph for a source that is long holds up who comes meanwhile for several times as long as a sentence takes.
So while there are light requests one of several lanes takes none of these: light segments find it idle, or with runs
that are short.

Always true: a ticket is in a backlog, or in one lane, or answered; it is answered exactly once.
"""

import itertools
import logging
import math
import threading
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial

from dragoman.server.batches.factory import GroupFactory
from dragoman.server.batches.warm_up import rehearse
from dragoman.server.core import logs
from dragoman.server.core.errors import Cancelled, DeadlineExceeded, Draining
from dragoman.server.core.ports import Done, LaneObserver, Pulse
from dragoman.server.core.segments import Priority, Segment, is_light
from dragoman.server.core.strategies import Engine
from dragoman.server.lanes.backlog import Backlog
from dragoman.server.lanes.half import Half, LaneTicket, failure_of
from dragoman.server.lanes.pace import Pace
from dragoman.server.lanes.room import Room, places
from dragoman.server.lanes.shares import Shares
from dragoman.server.runtime.positions import state_positions
from dragoman.server.runtime.runtime import Runtime

SWEEP_S = 0.05
"""How often segments that became late in the backlog are looked for."""
PATIENCE_STEPS = 32
"""After so many steps with too few places, a half takes newcomers into what there is."""
LANE_POSITIONS = 1 << 16
"""Positions that a lane may hold where nothing is known of memory: 16 sources of 512 tokens, each in a beam of 8."""
KEPT_S = 30.0
"""After the last light segment, for how long the last lane takes no bulk that is long."""
LOOK_S = 1.0
"""How often it looks whether it may."""
LIGHT_WEIGHT = 2.0
"""Of a lane's time, a light source that is alone has so many times what all bulk has."""
LIGHT_SHARE = 0.25
"""Part of a lane's positions that is not for bulk."""

_logger = logging.getLogger(__name__)


class Lanes:
    """Decodes segments of one bundle on several threads. All public methods are thread-safe."""

    def __init__(
        self,
        runtime: Runtime,
        factory: GroupFactory,
        *,
        num_lanes: int,
        max_batch: int,
        observer: LaneObserver,
        most: int = 0,
        budget: Callable[[], int] = lambda: LANE_POSITIONS,
    ) -> None:
        self.runtime, self.factory, self.max_batch, self.observer = runtime, factory, max_batch, observer
        self._most = max(most, max_batch)
        """Sources that a half may hold while many wait."""
        self._budget = budget
        self.states = state_positions(runtime.manifest)
        """Positions that take as much as what a hypothesis has whatever its length."""
        self.device = runtime.work
        """What a device does for the bundle; None where that is not counted."""
        self.provider = runtime.provider
        """What the graphs run on."""
        self._default_width = runtime.manifest.decoding.beam_size
        self._backlogs: dict[bool, Backlog[LaneTicket]] = {bulk: Backlog() for bulk in (False, True)}
        self._paces = {bulk: Pace() for bulk in (False, True)}
        self._changed = threading.Condition()
        self._is_closed = False
        self._light_s = -KEPT_S
        """When the last light segment came."""
        self._num_kept = 0
        """Lanes that have nothing to do, and leave what waits to others."""
        self._swept_s = time.monotonic()
        self._num_lanes = num_lanes
        self._lanes: list[_Lane] = []
        self._lanes += [_Lane(self, index, is_last=index == num_lanes - 1) for index in range(num_lanes)]

    def __repr__(self) -> str:
        return f"<Lanes {len(self._lanes)} lanes, {self.active_segments} active, {self.waiting_segments} waiting>"

    def submit(self, segment: Segment, done: Done, flow: Hashable = None) -> LaneTicket:
        """Have a segment decoded; `done` is called exactly once, from a lane's thread or the one that cancels.

        Segments of one flow wait for one another, flows for each other's next segment only.
        """
        ticket = LaneTicket(segment, segment.size(self._default_width), done, time.monotonic())
        with self._changed:
            if self._is_closed:
                raise Draining
            self._backlogs[segment.bulk].put(ticket, ticket.size, flow=flow, priority=segment.priority)
            if not segment.bulk and segment.priority is not Priority.BATCH:
                self._light_s = ticket.arrived_s
            # One of them may leave what is long to the others.
            self._changed.notify(2 if ticket.size.is_long else 1)
        return ticket

    def cancel(self, ticket: LaneTicket) -> None:
        """Stop decoding it. Harmless if it was answered already."""
        with self._changed:
            ticket.is_cancelled = True
            was_waiting = self._backlogs[ticket.segment.bulk].remove(ticket)
        if was_waiting:
            ticket.answer(Cancelled())

    @property
    def budget(self) -> int:
        """Positions that the groups of a lane may hold now, padded."""
        return self._budget()

    @property
    def waiting_segments(self) -> int:
        """Segments in both backlogs."""
        return sum(map(len, self._backlogs.values()))

    def places(self, *, bulk: bool) -> int:
        """How many sources a half may hold now."""
        return places(self.max_batch, self._most, self.num_waiting(bulk=bulk), self._num_lanes)

    def num_waiting(self, *, bulk: bool) -> int:
        """Segments in one of them."""
        return len(self._backlogs[bulk])

    @property
    def waiting_tokens(self) -> int:
        """Cost of what is in both."""
        return sum(backlog.cost for backlog in self._backlogs.values())

    def predicted_wait_s(self, priority: Priority, cost: int = 0) -> float:
        """How long a request of this priority and cost is likely to wait until a lane has a place for all of it."""
        bulk = not is_light([cost])
        with self._changed:
            ahead = self._backlogs[bulk].ahead(cost, priority)
            return self._paces[bulk].seconds_for(ahead, self._num_lanes - (self._num_kept if bulk else 0))

    def seconds_per_token(self, engine: Engine, *, bulk: bool = False) -> float | None:
        """What a token took an engine of late, from its encoding to its answer; None where none ran of late."""
        with self._changed:
            return self._paces[bulk].seconds_per_token(engine, time.monotonic())

    def note_speed(self, engine: Engine, seconds: float, *, bulk: bool) -> None:
        """A token took an engine so long."""
        with self._changed:
            self._paces[bulk].note_engine(engine, seconds, time.monotonic())

    def note_pace(self, done: Mapping[bool, tuple[int, int, int]], seconds: float) -> None:
        """A round took so long; each half that was at work finished so much, so many sources, and so many go on."""
        with self._changed:
            for bulk, (cost, ended, active) in done.items():
                pace = self._paces[bulk]
                counted_s = pace.plausible(seconds)
                # A half with few sources is slower than one that others wait for, and says nothing about it.
                if self._backlogs[bulk] or 2 * active >= self.max_batch:
                    pace.note(cost, counted_s, ended=ended, active=active)

    @property
    def active_segments(self) -> int:
        """Segments in lanes."""
        return sum(lane.num_active for lane in self._lanes)

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits for anything."""
        return not self.active_segments and not self.waiting_segments

    @property
    def oldest_arrived_s(self) -> float | None:
        """When the oldest segment of the backlogs was submitted; None where none waits."""
        with self._changed:
            firsts = [next(iter(backlog)).arrived_s for backlog in self._backlogs.values() if backlog]
        return min(firsts, default=None)

    @property
    def pulses(self) -> list[Pulse]:
        """What each lane shows of itself."""
        return [lane.pulse for lane in self._lanes]

    def close(self) -> None:
        """Take no more, finish what was submitted, and end the threads."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        for lane in self._lanes:
            lane.thread.join()

    def take(
        self, rooms: Mapping[bool, Room], *, is_idle: bool, is_last: bool = False
    ) -> dict[bool, list[LaneTicket]] | None:
        """A lane asks for work for those of its halves that have room; None: no more will come.

        Blocks while the lane is idle and nothing waits for it.
        """
        self._sweep()
        if not rooms:
            return {}
        with self._changed:
            while not (taken := self._taken(rooms, is_last=is_last)) and is_idle:
                waits = any(self._backlogs.values())
                if self._is_closed and not waits:
                    return None
                self._num_kept += waits
                self._changed.wait(LOOK_S if waits else None)
                self._num_kept -= waits
            return taken

    def _taken(self, rooms: Mapping[bool, Room], *, is_last: bool) -> dict[bool, list[LaneTicket]]:
        """What a lane takes, by half; empty where it is nothing. Called while the lock is held."""
        is_free = is_last and self._num_lanes > 1 and not self._is_closed
        rooms[True].takes_long = not is_free or time.monotonic() - self._light_s >= KEPT_S
        taken = {bulk: self._backlogs[bulk].take(room, self._num_lanes) for bulk, room in rooms.items()}
        return taken if any(taken.values()) else {}

    def _sweep(self) -> None:
        """Answer those that became late while they waited."""
        now_s = time.monotonic()
        if now_s < self._swept_s + SWEEP_S:
            return
        with self._changed:
            self._swept_s = now_s
            waiting = itertools.chain(*self._backlogs.values())
            late = [ticket for ticket in waiting if ticket.problem(now_s) is not None]
            for ticket in late:
                self._backlogs[ticket.segment.bulk].remove(ticket)
        for ticket in late:
            ticket.answer(ticket.problem(now_s) or DeadlineExceeded())


class _Lane:
    """One thread and its two halves."""

    def __init__(self, lanes: Lanes, index: int, *, is_last: bool) -> None:
        self._lanes = lanes
        self.pulse = Pulse(time.monotonic())
        self._halves = {
            bulk: Half(lanes.runtime, lanes.factory, lanes.observer, self.pulse, partial(lanes.note_speed, bulk=bulk))
            for bulk in (False, True)
        }
        self._is_last = is_last
        self._shares: Shares[bool] = Shares()
        self.num_active = 0
        self.thread = threading.Thread(target=self._run, name=f"lane-{index}", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self._rehearse()
            self._rounds()
        except BaseException:
            self.pulse.has_crashed = True
            raise

    def _rounds(self) -> None:
        while (tickets := self._take()) is not None:
            if not self.pulse.is_busy:  # else the end of the last round was a moment ago
                self.pulse.beat(time.monotonic(), is_busy=True)
            try:
                self._round(tickets)
            except Exception as error:  # noqa: BLE001 - whatever it was, nobody may be left waiting
                for half in self._halves.values():
                    half.clear(error)
                for ticket in itertools.chain(*tickets.values()):
                    ticket.answer(failure_of(error))
                self.num_active = 0
                self.pulse.fail(time.monotonic())
                self._lanes.observer.on_failed_round()
            self.pulse.beat(time.monotonic(), is_busy=self.num_active > 0)

    def _take(self) -> dict[bool, list[LaneTicket]] | None:
        if not self.num_active:
            self._prepare()
        return self._lanes.take(self._rooms(), is_idle=not self.num_active, is_last=self._is_last)

    def _rehearse(self) -> None:
        """On a device: run what will be run most before anybody waits for it."""
        runtime = self._lanes.runtime
        for decoder in (None, *runtime.siblings) if runtime.provider != "cpu" else ():
            try:
                if runtime.of(decoder).is_placed:
                    rehearse(runtime, self._lanes.factory, self._lanes.max_batch, decoder)
            except Exception as error:  # noqa: BLE001 - it was for later
                logs.event(_logger, logging.WARNING, "not_prepared", exc_info=error)

    def _prepare(self) -> None:
        """Nobody waits: the runtime makes what later runs take less time with, piece by piece."""
        try:
            while self._lanes.is_idle and self._lanes.runtime.prepare():
                pass
        except Exception as error:  # noqa: BLE001 - it was for later
            logs.event(_logger, logging.WARNING, "not_prepared", exc_info=error)

    def _rooms(self) -> dict[bool, Room]:
        """What the halves have room for; no places in one that should not take newcomers now."""
        if self.num_active and not self._lanes.waiting_segments:
            return {}
        places = {bulk: self._places(bulk=bulk) for bulk in self._halves}
        if not any(places.values()):
            return {}
        sizes = {bulk: [ticket.size for ticket in half] for bulk, half in self._halves.items()}
        budget = self._lanes.budget
        room = partial(Room, usual=self._lanes.max_batch, states=self._lanes.states)
        light = room(places[False], budget, sizes[False])
        bulk = light.other = room(places[True], int(budget * (1 - LIGHT_SHARE)), sizes[True], light)
        return {False: light, True: bulk}

    def _places(self, *, bulk: bool) -> int:
        half, waiting = self._halves[bulk], self._lanes.num_waiting(bulk=bulk)
        places = max(0, self._lanes.places(bulk=bulk) - len(half))
        if not places:
            half.steps_since = 0
        if half.is_encoding or (self.num_active and not waiting):
            return 0
        # One by one would waste the encoder: a busy half takes what waits, or half a batch at least.
        is_patient = len(half) and half.steps_since < PATIENCE_STEPS
        return 0 if is_patient and places < min(self._lanes.max_batch // 2, waiting) else places

    def _round(self, tickets: Mapping[bool, Sequence[LaneTicket]]) -> None:
        started_s = time.monotonic()
        for bulk, newcomers in tickets.items():
            self._halves[bulk].admit(newcomers, started_s)
        for half in self._halves.values():
            half.drop(started_s)
        sizes = {bulk: len(half) for bulk, half in self._halves.items()}
        self.num_active = sum(sizes.values())
        busy = [bulk for bulk, size in sizes.items() if size]
        if not busy:
            return
        chosen = self._shares.next(busy)
        half, weight = self._halves[chosen], 1.0 if chosen else LIGHT_WEIGHT * math.sqrt(sizes[chosen])
        cost = half.turn()
        seconds = time.monotonic() - started_s
        self._shares.charge(chosen, seconds, weight)
        ended, sizes[chosen] = sizes[chosen] - len(half), len(half)
        self.num_active = sum(sizes.values())
        done = {bulk: (cost, ended, sizes[bulk]) if bulk is chosen else (0, 0, sizes[bulk]) for bulk in busy}
        self._lanes.note_pace(done, seconds)
