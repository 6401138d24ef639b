"""Lanes: threads that decode. Each steps groups of segments; all share one loaded bundle and one backlog.

A lane's round is: answer what was cancelled or is late, take new segments if there is room, encode them, and step each
of its groups once. There is a group for each kind of segment in use, by the factory's key. Only the lane's thread
touches its groups; what is shared lies behind one lock, and no graph runs and no answer is given while it is held.

Always true: a ticket is in the backlog, or in one lane, or answered; it is answered exactly once.
"""

import logging
import threading
import time
from collections.abc import Hashable, Sequence
from dataclasses import replace

from dragoman.server.batches.encoding import ENCODE_TOKENS, GPU_ENCODE_TOKENS, encode, encoder_runs
from dragoman.server.batches.factory import GroupFactory, needs_cross, needs_hidden
from dragoman.server.batches.group import Group
from dragoman.server.core import logs
from dragoman.server.core.errors import Cancelled, DeadlineExceeded, Draining, EngineFailure, ServingError
from dragoman.server.core.ports import Done, LaneObserver, Pulse
from dragoman.server.core.segments import Decoded, Priority, Segment
from dragoman.server.core.strategies import Engine
from dragoman.server.lanes.backlog import Backlog
from dragoman.server.lanes.pace import Pace
from dragoman.server.runtime.padding import round_up
from dragoman.server.runtime.runtime import Runtime

SWEEP_S = 0.05
"""How often segments that became late in the backlog are looked for."""
PATIENCE_ROUNDS = 32
"""After so many rounds with too little room, a lane admits into what there is."""

_logger = logging.getLogger(__name__)


class LaneTicket:
    """A submitted segment, until it is answered."""

    def __init__(self, segment: Segment, done: Done, now_s: float) -> None:
        self.segment, self.done = segment, done
        self.arrived_s = now_s
        self.admitted_s = now_s
        self.encoded_s = now_s
        self.is_cancelled = False
        self._is_answered = False

    def __repr__(self) -> str:
        return f"<LaneTicket {len(self.segment.ids)} tokens{', cancelled' if self.is_cancelled else ''}>"

    def answer(self, answer: Decoded | Exception) -> None:
        """Tell the caller. A second answer, after a lane failed half-way, is dropped; what `done` raises is its own."""
        if self._is_answered:
            return
        self._is_answered = True
        try:
            self.done(answer)
        except Exception as error:  # noqa: BLE001 - nobody else's answer may be lost for it
            logs.event(_logger, logging.ERROR, "answer_not_taken", exc_info=error)

    def problem(self, now_s: float) -> ServingError | None:
        """Why it should not be decoded any further."""
        if self.is_cancelled:
            return Cancelled()
        if self.segment.deadline_s is not None and now_s >= self.segment.deadline_s:
            return DeadlineExceeded()
        return None


class Lanes:
    """Decodes segments of one bundle on several threads. All public methods are thread-safe."""

    def __init__(
        self, runtime: Runtime, groups: GroupFactory, *, num_lanes: int, max_batch: int, observer: LaneObserver
    ) -> None:
        self.runtime, self.groups, self.max_batch, self.observer = runtime, groups, max_batch, observer
        self.provider = runtime.provider
        """What the graphs run on."""
        self.encode_tokens = GPU_ENCODE_TOKENS if runtime.provider == "cuda" else ENCODE_TOKENS
        self._backlog: Backlog[LaneTicket] = Backlog()
        self._pace = Pace()
        self._changed = threading.Condition()
        self._is_closed = False
        self._swept_s = time.monotonic()
        self._lanes = [_Lane(self, index) for index in range(num_lanes)]

    def __repr__(self) -> str:
        return f"<Lanes {len(self._lanes)} lanes, {self.active_segments} active, {self.waiting_segments} waiting>"

    def submit(self, segment: Segment, done: Done, flow: Hashable = None) -> LaneTicket:
        """Have a segment decoded; `done` is called exactly once, from a lane's thread or the one that cancels.

        Segments of one flow wait for one another, flows for each other's next segment only.
        """
        ticket = LaneTicket(segment, done, time.monotonic())
        with self._changed:
            if self._is_closed:
                raise Draining
            self._backlog.put(ticket, len(segment.ids), flow=flow, priority=segment.priority)
            self._changed.notify()
        return ticket

    def cancel(self, ticket: LaneTicket) -> None:
        """Stop decoding it. Harmless if it was answered already."""
        with self._changed:
            ticket.is_cancelled = True
            was_waiting = self._backlog.remove(ticket)
        if was_waiting:
            ticket.answer(Cancelled())

    @property
    def waiting_segments(self) -> int:
        """Segments in the backlog."""
        return len(self._backlog)

    @property
    def waiting_tokens(self) -> int:
        """Source tokens in the backlog."""
        return self._backlog.tokens

    def predicted_wait_s(self, priority: Priority) -> float:
        """How long a newcomer of this priority is likely to wait for a place in a lane."""
        with self._changed:
            return self._pace.seconds_for(self._backlog.tokens_before(priority), len(self._lanes))

    def seconds_per_token(self, engine: Engine) -> float | None:
        """What a source token took an engine of late, from its encoding to its answer; None where none ran of late."""
        with self._changed:
            return self._pace.seconds_per_token(engine, time.monotonic())

    def note_speed(self, engine: Engine, seconds: float) -> None:
        """A source token took an engine so long."""
        with self._changed:
            self._pace.note_engine(engine, seconds, time.monotonic())

    def note_pace(self, tokens: int, seconds: float, active: int) -> None:
        """A lane's round took so long, finished sources of so many tokens, and left so many active."""
        with self._changed:
            # A lane with few sources is slower than one that others wait for, and says nothing about it.
            if self._backlog or 2 * active >= self.max_batch:
                self._pace.note(tokens, seconds)

    @property
    def active_segments(self) -> int:
        """Segments in lanes."""
        return sum(lane.num_active for lane in self._lanes)

    @property
    def oldest_arrived_s(self) -> float | None:
        """When the oldest segment of the backlog was submitted; None where none waits."""
        with self._changed:
            ticket = next(iter(self._backlog), None)
        return None if ticket is None else ticket.arrived_s

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

    def take(self, places: int, length: int, *, is_patient: bool) -> list[LaneTicket] | None:
        """A lane whose longest source has this length asks for work; None: no more will come.

        Blocks while the lane has no source (0) and none waits.
        """
        is_idle = not length
        self._sweep()
        with self._changed:
            while is_idle and not self._backlog and not self._is_closed:
                self._changed.wait()
            if is_idle and not self._backlog:
                return None
            # One by one would waste the encoder: a busy lane admits what waits, or half a batch at least.
            if is_patient and not is_idle and places < min(self.max_batch // 2, len(self._backlog)):
                return []
            return self._backlog.take(places, len(self._lanes), length)

    def _sweep(self) -> None:
        """Answer those that became late while they waited."""
        now_s = time.monotonic()
        with self._changed:
            if now_s < self._swept_s + SWEEP_S:
                return
            self._swept_s = now_s
            late = [ticket for ticket in self._backlog if ticket.problem(now_s) is not None]
            for ticket in late:
                self._backlog.remove(ticket)
        for ticket in late:
            ticket.answer(ticket.problem(now_s) or DeadlineExceeded())


class _Lane:
    """One thread and its groups."""

    def __init__(self, lanes: Lanes, index: int) -> None:
        self._lanes = lanes
        self._groups: dict[Hashable, Group[LaneTicket]] = {}
        self._held_back = 0  # rounds in which more waited than there was room for
        self._finished_tokens = 0  # of sources that this round finished
        self.num_active = 0
        self.pulse = Pulse(time.monotonic())
        self.thread = threading.Thread(target=self._run, name=f"lane-{index}", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
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
                active = [owner for group in self._groups.values() for owner in group.owners]
                self._groups.clear()
                for ticket in dict.fromkeys([*active, *tickets]):
                    ticket.answer(_failure(error))
                self.num_active = 0
                self._fail()
            self.pulse.beat(time.monotonic(), is_busy=self.num_active > 0)

    def _fail(self) -> None:
        self.pulse.fail(time.monotonic())
        self._lanes.observer.on_failed_round()

    def _take(self) -> list[LaneTicket] | None:
        places = self._lanes.max_batch - self.num_active
        patient = self._held_back < PATIENCE_ROUNDS
        longest = max((group.longest for group in self._groups.values()), default=0)
        tickets = self._lanes.take(places, longest, is_patient=patient)
        self._held_back = 0 if tickets or not places else self._held_back + 1
        return tickets

    def _round(self, tickets: Sequence[LaneTicket]) -> None:
        now_s = time.monotonic()
        for group in self._groups.values():
            for ticket in [t for t in group.owners if t.problem(now_s)]:
                reason = ticket.problem(now_s) or Cancelled()
                self._lanes.observer.on_drop(group.drop(ticket), reason.outcome)
                ticket.answer(reason)
        wanted = []
        for ticket in tickets:
            problem = ticket.problem(now_s)
            if problem is None:
                ticket.admitted_s = now_s
                wanted.append(ticket)
            else:
                ticket.answer(problem)
        for run in encoder_runs(wanted, lambda t: len(t.segment.ids), self._lanes.encode_tokens):
            self._encode(run)
        self.num_active = sum(map(len, self._groups.values()))
        for group in list(self._groups.values()):
            if len(group):
                self._step(group)
        # An empty group is let go with all that it grew to.
        self._groups = {key: group for key, group in self._groups.items() if len(group)}
        self.num_active = sum(map(len, self._groups.values()))
        self._lanes.note_pace(self._finished_tokens, time.monotonic() - now_s, self.num_active)
        self._finished_tokens = 0

    def _encode(self, run: list[LaneTicket]) -> None:
        started_s = time.monotonic()
        segments = [t.segment for t in run]
        try:
            sources = encode(
                self._lanes.runtime,
                segments,
                cross=any(map(needs_cross, segments)),
                hidden=any(map(needs_hidden, segments)),
            )
        except Exception as error:  # noqa: BLE001 - those that are being decoded have no part in it
            if len(run) == 1:
                run[0].answer(_failure(error))
                self._fail()
            else:  # nor have those that happened to share the run
                for ticket in run:
                    self._encode([ticket])
            return
        ended_s = time.monotonic()
        tokens = sum(len(t.segment.ids) for t in run)
        for g, ticket in enumerate(run):
            ticket.encoded_s = ended_s
            self._group(ticket.segment).admit(ticket, ticket.segment, sources[g])
        padded = len(run) * round_up(max(len(t.segment.ids) for t in run))
        self._lanes.observer.on_encode(len(run), tokens, padded, ended_s - started_s)

    def _group(self, segment: Segment) -> Group[LaneTicket]:
        key = self._lanes.groups.key(segment)
        if key not in self._groups:
            self._groups[key] = self._lanes.groups.group(segment)
        return self._groups[key]

    def _step(self, group: Group[LaneTicket]) -> None:
        started_s = time.monotonic()
        rows, live = group.rows, group.num_live
        done = group.step()
        ended_s = time.monotonic()
        self._note_answers(done, len(group))
        for ticket, decoded in done:
            tokens = len(ticket.segment.ids)
            self._finished_tokens += tokens
            if not decoded.hypotheses:
                ticket.answer(EngineFailure("the decoder gave numbers that are not finite"))
                continue
            self._lanes.note_speed(decoded.engine, (ended_s - ticket.admitted_s) / tokens)
            ticket.answer(
                replace(
                    decoded,
                    queue_s=ticket.admitted_s - ticket.arrived_s,
                    encode_s=ticket.encoded_s - ticket.admitted_s,
                    decode_s=ended_s - ticket.encoded_s,
                )
            )
        self._lanes.observer.on_step(rows, live, ended_s - started_s)

    def _note_answers(self, done: Sequence[tuple[LaneTicket, Decoded]], num_left: int) -> None:
        """A step in which no source at all had finite numbers is a failed round, though it ran."""
        num_lost = sum(not decoded.hypotheses for _, decoded in done)
        if num_lost and num_lost == len(done) + num_left:
            self._fail()
        else:
            self.pulse.succeed()


def _failure(error: Exception) -> EngineFailure:
    """What a defect is answered with; the log shows where it happened."""
    if isinstance(error, EngineFailure):
        return error
    failure = EngineFailure(f"a lane failed: {error!r}")
    failure.__cause__ = error
    return failure
