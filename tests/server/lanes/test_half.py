"""One half of a lane, turn by turn, over a model that is a table."""

import itertools
import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from fake_runtime import FakeRuntime

from dragoman.bundle.graphs import ENCODER, STEP
from dragoman.bundle.manifest import Decoding
from dragoman.server.batches.factory import GroupFactory
from dragoman.server.core.errors import Cancelled, DeadlineExceeded, EngineFailure
from dragoman.server.core.ports import LaneObserver, Pulse
from dragoman.server.core.segments import Decoded, Segment, Size
from dragoman.server.core.strategies import Engine
from dragoman.server.lanes import half as half_module
from dragoman.server.lanes.half import Half, LaneTicket

LONG = Decoding(max_length=60, max_length_factor=99.0, beam_size=1, min_length=50)
Answers = dict[int, Decoded | Exception]


class Desk:
    """A half, and what it answered."""

    def __init__(self) -> None:
        self.runtime, self.pulse, self.observer = FakeRuntime(), Pulse(0.0), LaneObserver()
        self.speeds: list[tuple[Engine, float]] = []
        factory = GroupFactory(self.runtime, None, capacity=64, observer=self.observer)
        note = lambda engine, seconds: self.speeds.append((engine, seconds))  # noqa: E731
        self.half = Half(self.runtime, factory, self.observer, self.pulse, note)
        self.answers: Answers = {}

    def tickets(self, *segments: Segment) -> list[LaneTicket]:
        """Tickets whose answers are kept by their numbers, which go on."""
        first = len(self.answers) + len(self.half)
        return [
            LaneTicket(one, Size(len(one.ids), len(one.ids)), self._done(n), time.monotonic())
            for n, one in enumerate(segments, first)
        ]

    def _done(self, number: int) -> Callable[[Decoded | Exception], None]:
        return lambda answer: self.answers.setdefault(number, answer) and None

    def admit(self, *segments: Segment) -> list[LaneTicket]:
        tickets = self.tickets(*segments)
        self.half.admit(tickets, time.monotonic())
        return tickets


@pytest.fixture
def desk() -> Desk:
    return Desk()


def segment(length: int, decoding: Decoding = LONG, **fields: object) -> Segment:
    return Segment((*np.random.default_rng(length).integers(3, 24, length - 1).tolist(), 0), decoding, **fields)  # type: ignore[arg-type]


def test_a_turn_is_one_run_of_one_graph(desk: Desk) -> None:
    """Newcomers are encoded before the next step, but for long ones, between which there are steps."""
    desk.admit(*[segment(120 + n // 2) for n in range(8)])
    desk.admit(segment(500), segment(500))

    for _ in range(10):
        desk.half.turn()

    assert desk.runtime.runs == [ENCODER, ENCODER, STEP, ENCODER, ENCODER, STEP, ENCODER, STEP, ENCODER, STEP]
    assert not desk.half.is_encoding


def test_groups_share_the_time_of_a_half(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn is a step of one of them, and each has its turns; here all steps take the same time."""
    clock = itertools.count()
    monkeypatch.setattr(half_module, "time", SimpleNamespace(monotonic=lambda: float(next(clock))))
    decodings = [LONG, replace(LONG, beam_size=2), replace(LONG, beam_size=3)]
    desk.admit(*[segment(9, decoding) for decoding in decodings])
    for _ in range(80):
        desk.half.turn()

    lengths = sorted(len(group.owners) and group.drop(group.owners[0]) for group in desk.half._groups.values())

    assert sum(lengths) == 79
    assert lengths[0] > 20


def test_what_is_late_or_cancelled_leaves_wherever_it_is(desk: Desk) -> None:
    """Before its run of the encoder, in the group that was stepped last, and in one that was not."""
    tickets = desk.admit(segment(200), segment(200, replace(LONG, beam_size=2)), segment(300), segment(400))
    for _ in range(4):
        desk.half.turn()
    assert len(desk.half) == 4
    assert desk.half.is_encoding

    for ticket in tickets[:2]:
        ticket.is_cancelled = True
    tickets[3].deadline_s = time.monotonic() - 1
    desk.half.drop(time.monotonic())

    assert {n: type(answer) for n, answer in desk.answers.items()} == {0: Cancelled, 1: Cancelled, 3: DeadlineExceeded}
    assert list(desk.half) == [tickets[2]]


def test_a_step_that_fails_takes_its_group_alone(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of other groups are decoded to their ends."""
    desk.admit(segment(9), segment(9, replace(LONG, beam_size=2)))
    desk.half.turn()
    step = desk.runtime.step

    def failing(graph, feed, *, attention):
        if feed["ids"].shape[1] == 2:
            raise RuntimeError("a defect")
        return step(graph, feed, attention=attention)

    monkeypatch.setattr(desk.runtime, "step", failing)
    while len(desk.half):
        desk.half.turn()

    assert isinstance(desk.answers[0], Decoded)
    assert isinstance(desk.answers[1], EngineFailure)
    assert desk.speeds == [(Engine.GREEDY, pytest.approx(desk.speeds[0][1]))]


def test_a_turn_says_what_the_finished_cost(desk: Desk) -> None:
    """Nothing, as long as none is."""
    desk.admit(segment(9), segment(9), segment(30, replace(LONG, max_length=3, min_length=0)))

    costs = []
    while len(desk.half):
        costs.append(desk.half.turn())

    assert sum(costs) == 48
    assert costs[0] == 0
    assert set(costs) <= {0, 9, 18, 30}


def test_clearing_answers_all(desk: Desk) -> None:
    """Newcomers and those that are being decoded."""
    desk.admit(segment(9), segment(300))
    desk.half.turn()

    desk.half.clear(ValueError("no"))

    assert {type(answer) for answer in desk.answers.values()} == {EngineFailure}
    assert len(desk.answers) == 2
    assert len(desk.half) == 0


def test_several_decoders_share_a_half(desk: Desk) -> None:
    """Each source is read by its own decoder's encoder and steps, and has what it has alone."""
    other = FakeRuntime(seed=1, decoder="ssru")
    desk.runtime.siblings = {"ssru": other}
    short = replace(LONG, min_length=4, max_length=20)
    segments = [segment(5 + n, short, decoder="ssru" if n % 2 else None) for n in range(8)]

    desk.admit(*segments)
    while len(desk.half):
        desk.half.turn()

    together = {n: answer.hypotheses for n, answer in desk.answers.items() if isinstance(answer, Decoded)}
    for n, one in enumerate(segments):
        alone = Desk()
        alone.runtime = other if one.decoder else desk.runtime
        alone.half = Half(
            alone.runtime,
            GroupFactory(alone.runtime, None, capacity=4, observer=alone.observer),
            alone.observer,
            alone.pulse,
            lambda *_: None,
        )
        alone.admit(replace(one, decoder=None))
        while len(alone.half):
            alone.half.turn()
        [answer] = alone.answers.values()
        assert isinstance(answer, Decoded)
        assert together[n] == answer.hypotheses
    assert {ENCODER, STEP} == set(other.runs) == set(desk.runtime.runs)
