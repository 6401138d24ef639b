"""A lane's halves: one for the segments of light requests, one for those of bulk.

Each has places of its own, and they share the lane's time. A turn is one run of the encoder, or one step of one group:
so what is bulk holds up what is light for as long as one run of a graph takes, and never by being there first. With one
half at work and one group in it, every step is that group's, and a run of the encoder comes before it where there are
newcomers.

Only the lane's thread touches a half. A ticket in it is answered exactly once.
"""

import itertools
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence

from dragoman.server.batches.encoding import (
    ENCODE_TOKENS,
    GPU_ENCODE_TOKENS,
    GPU_RUN_TOKENS,
    RUN_TOKENS,
    encode,
    encoder_runs,
    gpu_padded_tokens,
    padded_tokens,
)
from dragoman.server.batches.factory import GroupFactory
from dragoman.server.batches.group import Group
from dragoman.server.batches.step_batch import StepBatch
from dragoman.server.core import logs
from dragoman.server.core.changing import changed
from dragoman.server.core.errors import Cancelled, DeadlineExceeded, EngineFailure, ServingError, Shed
from dragoman.server.core.ports import Done, LaneObserver, Pulse
from dragoman.server.core.segments import Decoded, Segment, Size
from dragoman.server.core.strategies import Engine
from dragoman.server.lanes.shares import Shares
from dragoman.server.runtime.padding import round_up
from dragoman.server.runtime.runtime import Runtime

NEW_TOKENS = 512
"""Source tokens that join a half's groups between two steps, where they are several runs: all places of sentences."""
GPU_NEW_TOKENS = 16_384
"""The same of a GPU, on which all of them take no longer."""

_logger = logging.getLogger(__name__)


class LaneTicket:
    """A submitted segment, until it is answered."""

    def __init__(self, segment: Segment, size: Size, done: Done, now_s: float) -> None:
        self.segment, self.size, self.done = segment, size, done
        self.arrived_s = now_s
        self.admitted_s = now_s
        self.encoded_s = now_s
        self.deadline_s = math.inf if segment.deadline_s is None else segment.deadline_s
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
        if now_s >= self.deadline_s:
            return DeadlineExceeded()
        return None


NoteSpeed = Callable[[Engine, float], None]
"""A token took an engine so many seconds."""


class Half:
    """What waits to be encoded, and the groups of what is being decoded."""

    def __init__(
        self, runtime: Runtime, factory: GroupFactory, observer: LaneObserver, pulse: Pulse, note_speed: NoteSpeed
    ) -> None:
        self._factory, self._observer = factory, observer
        self._pulse, self._note_speed = pulse, note_speed
        self._on_gpu = on_gpu = runtime.provider == "cuda"
        self._encode_tokens = GPU_ENCODE_TOKENS if on_gpu else ENCODE_TOKENS
        self._run_tokens = GPU_RUN_TOKENS if on_gpu else RUN_TOKENS
        self._area = gpu_padded_tokens if on_gpu else padded_tokens
        self._most_new_tokens = GPU_NEW_TOKENS if on_gpu else NEW_TOKENS
        self._runs: deque[list[LaneTicket]] = deque()
        self._groups: dict[Hashable, Group[LaneTicket]] = {}
        self._shares: Shares[Hashable] = Shares()
        self._new_tokens = 0  # of newcomers since the last step
        self.steps_since = 0
        """Steps since it last took in anything, or had no place."""

    def __len__(self) -> int:
        return sum(map(len, self._runs)) + sum(map(len, self._groups.values()))

    def __iter__(self) -> Iterator[LaneTicket]:
        yield from (ticket for run in self._runs for ticket in run)
        yield from (ticket for group in self._groups.values() for ticket in group.owners)

    def __repr__(self) -> str:
        return f"<Half {len(self._runs)} runs to encode, {list(self._groups.values())}>"

    @property
    def is_encoding(self) -> bool:
        """Whether there is something to encode."""
        return bool(self._runs)

    def admit(self, tickets: Sequence[LaneTicket], now_s: float) -> None:
        """Take in segments."""
        if not tickets:
            return
        self.steps_since = 0
        for ticket in tickets:
            ticket.admitted_s = now_s
        for decoder in dict.fromkeys(ticket.segment.decoder for ticket in tickets):  # each has its own encoder graph
            self._runs += encoder_runs(
                [ticket for ticket in tickets if ticket.segment.decoder == decoder],
                lambda ticket: len(ticket.segment.ids),
                self._encode_tokens,
                self._run_tokens,
                self._area,
            )

    def drop(self, now_s: float) -> None:
        """Answer those that were cancelled or are late."""
        # Looked through in each round: a call for each would take a tenth of a step on a device.
        tickets = itertools.chain(*self._runs, *(group.owners for group in self._groups.values()))
        gone = [one for one in tickets if one.is_cancelled or now_s >= one.deadline_s]
        if not gone:
            return
        reasons = {ticket: reason for ticket in gone if (reason := ticket.problem(now_s))}
        for group in self._groups.values():
            for ticket in [ticket for ticket in group.owners if ticket in reasons]:
                self._observer.on_drop(group.drop(ticket), reasons[ticket].outcome)
                ticket.answer(reasons[ticket])
        self._runs = deque(left for run in self._runs if (left := [each for each in run if each not in reasons]))
        for ticket, reason in reasons.items():
            ticket.answer(reason)  # again, of those that were in a group, which changes nothing
        for key in [*self._groups]:
            self._forget_empty(key)

    def clear(self, error: Exception) -> None:
        """Answer all with an error."""
        tickets = [*self]
        self._runs.clear()
        self._groups.clear()
        for ticket in tickets:
            ticket.answer(failure_of(error))

    def turn(self) -> int:
        """Encode a run of newcomers, or step a group; the cost of what that finished.

        The first step with newcomers may begin with drafts of all of each: so many that this would take long are parted
        by steps.
        """
        if self._runs:
            self._new_tokens += sum(len(ticket.segment.ids) for ticket in self._runs[0])
            if self._new_tokens <= self._most_new_tokens or not self._groups:
                self._encode(self._runs.popleft())
                return 0
        self._new_tokens = 0
        self.steps_since += 1
        key = self._shares.next(self._groups)
        group, started_s = self._groups[key], time.monotonic()
        owners, weight = [*group.owners], math.sqrt(len(group))
        try:
            cost = self._step(group)
            self._forget_empty(key)
        except Exception as error:  # noqa: BLE001 - whatever it was, nobody may be left waiting
            del self._groups[key]
            for ticket in owners:
                ticket.answer(failure_of(error))
            self._fail()
            cost = 0
        self._shares.charge(key, time.monotonic() - started_s, weight)
        return cost

    def _forget_empty(self, key: Hashable) -> None:
        """An empty group is let go with all that it grew to."""
        if not len(self._groups[key]):
            del self._groups[key]

    def _fail(self) -> None:
        self._pulse.fail(time.monotonic())
        self._observer.on_failed_round()

    def _encode(self, run: list[LaneTicket]) -> None:
        started_s = time.monotonic()
        segments = [ticket.segment for ticket in run]
        cross, hidden = map(any, zip(*map(self._factory.reads, segments), strict=True))
        try:
            runtime = self._factory.runtime(segments[0].decoder)
            sources = encode(runtime, segments, cross=cross, hidden=hidden)
        except Exception as error:  # noqa: BLE001 - those that are being decoded have no part in it
            if len(run) == 1:
                run[0].answer(failure_of(error))
                self._fail()
            else:  # nor have those that happened to share the run
                for ticket in run:
                    self._encode([ticket])
            return
        ended_s = time.monotonic()
        for ticket, source in zip(run, sources, strict=True):
            ticket.encoded_s = ended_s
            self._group(ticket.segment, run).admit(ticket, ticket.segment, source)
        lengths = [len(segment.ids) for segment in segments]
        self._observer.on_encode(len(run), sum(lengths), len(run) * round_up(max(lengths)), ended_s - started_s)

    def _group(self, segment: Segment, run: Sequence[LaneTicket]) -> Group[LaneTicket]:
        """That of a segment of this run of the encoder."""
        key = self._factory.key(segment)
        if key not in self._groups:
            group = self._groups[key] = self._factory.group(segment)
            if self._on_gpu and self._runs and isinstance(group, StepBatch):
                group.expect(sum(_are_alike(segment, each.segment) for each in itertools.chain(run, *self._runs)))
        return self._groups[key]

    def _step(self, group: Group[LaneTicket]) -> int:
        started_s = time.monotonic()
        rows, live = group.rows, group.num_live
        done = group.step()
        ended_s = time.monotonic()
        self._note_answers(done, len(group))
        for ticket, decoded in done:
            if not decoded.hypotheses:
                ticket.answer(EngineFailure("the decoder gave numbers that are not finite"))
                continue
            self._note_speed(decoded.engine, (ended_s - ticket.admitted_s) / ticket.size.length)
            ticket.answer(
                changed(
                    decoded,
                    queue_s=ticket.admitted_s - ticket.arrived_s,
                    encode_s=ticket.encoded_s - ticket.admitted_s,
                    decode_s=ended_s - ticket.encoded_s,
                )
            )
        self._observer.on_step(rows, live, ended_s - started_s)
        return sum(ticket.size.cost for ticket, _ in done)

    def _note_answers(self, done: Sequence[tuple[LaneTicket, Decoded]], num_left: int) -> None:
        """A step in which no source at all had finite numbers is a failed round, though it ran."""
        num_lost = sum(not decoded.hypotheses for _, decoded in done)
        if num_lost and num_lost == len(done) + num_left:
            self._fail()
        else:
            self._pulse.succeed()


def _are_alike(one: Segment, other: Segment) -> bool:
    """Whether they are likely to share a group, at a glance."""
    return (one.strategy, one.decoding, one.decoder) == (other.strategy, other.decoding, other.decoder)


def failure_of(error: Exception) -> ServingError:
    """What a defect, or too little memory, is answered with; the log shows where it happened."""
    if isinstance(error, EngineFailure):
        return error
    if isinstance(error, MemoryError):
        logs.event(_logger, logging.ERROR, "out_of_memory", exc_info=error)
        return Shed("memory", "there was not enough memory to decode this")
    failure = EngineFailure(f"a lane failed: {error!r}")
    failure.__cause__ = error
    return failure
