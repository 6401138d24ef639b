"""Lanes over a model that is a table: one answer for each segment, whatever happens on the way."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from fake_runtime import FAKE_WORDS, FakeRuntime

from dragoman.bundle.manifest import Decoding, Nat
from dragoman.server.batches.factory import GroupFactory
from dragoman.server.core.errors import Cancelled, DeadlineExceeded, Draining, EngineFailure, Shed
from dragoman.server.core.segments import Decoded, FinishReason, Priority, Segment
from dragoman.server.core.strategies import Beam, Engine
from dragoman.server.decode.strategies.forced import Forced
from dragoman.server.decode.strategies.nat import NonAutoregressive
from dragoman.server.decode.strategies.sampling import Sampling
from dragoman.server.lanes import lanes as module
from dragoman.server.lanes.lanes import Lanes
from dragoman.server.telemetry.liveness import MIN_FAILURES, Fault, fault_of

GREEDY = Decoding(max_length=12, beam_size=1)
NAT = {"ctc": Nat("ctc", 1, 64, upsample=2, blank_id=2)}


class Observer:
    """Adds up what the lanes tell."""

    def __init__(self) -> None:
        self.steps = self.sources = self.tokens = self.failed_rounds = 0
        self.dropped: list[tuple[int, str]] = []

    def on_step(self, rows: int, used_rows: int, seconds: float) -> None:
        assert 0 < used_rows <= rows
        self.steps += 1

    def on_encode(self, sources: int, tokens: int, padded_tokens: int, seconds: float) -> None:
        assert tokens <= padded_tokens
        self.sources += sources
        self.tokens += tokens

    def on_drafts(self, *numbers: object) -> None:
        raise AssertionError("nothing is drafted here")

    def on_drop(self, steps: int, reason: str) -> None:
        self.dropped.append((steps, reason))

    def on_failed_round(self) -> None:
        self.failed_rounds += 1


class Bench:
    """Lanes, what they run on and what they told; `hold` stops them before the next step of the decoder."""

    def __init__(self, num_lanes: int, max_batch: int, **options: int) -> None:
        self.runtime, self.observer = FakeRuntime(nat=NAT), Observer()
        self.may_step, self.is_waiting = threading.Event(), threading.Event()
        self.may_step.set()
        self._step = self.runtime.step
        self.runtime.step = self._held  # type: ignore[method-assign]
        capacity = max(max_batch, options.get("most", 0))
        factory = GroupFactory(self.runtime, None, capacity=capacity, observer=self.observer)
        numbers = {"num_lanes": num_lanes, "max_batch": max_batch, **options}
        self.lanes = Lanes(self.runtime, factory, observer=self.observer, **numbers)
        self.answers: dict[int, Decoded | Exception] = {}
        self._answered = threading.Condition()

    def _held(self, *arguments: object, **options: object) -> object:
        self.is_waiting.set()
        assert self.may_step.wait(10)
        return self._step(*arguments, **options)  # type: ignore[arg-type]

    def hold(self) -> None:
        """No step of the decoder goes on until `may_step` is set."""
        self.may_step.clear()
        self.is_waiting.clear()

    def submit(self, number: int, segment: Segment, **options: object) -> object:
        """Have it decoded; its answer is kept under the number, and a second one fails the test."""

        def done(answer: Decoded | Exception) -> None:
            with self._answered:
                assert number not in self.answers, "answered twice"
                self.answers[number] = answer
                self._answered.notify_all()

        return self.lanes.submit(segment, done, **options)

    def wait(self, count: int) -> dict[int, Decoded | Exception]:
        """All answers, once there are so many."""
        with self._answered:
            assert self._answered.wait_for(lambda: len(self.answers) >= count, 10), self.answers
            return dict(self.answers)


@pytest.fixture
def bench() -> Iterator[Callable[..., Bench]]:
    """Makes lanes, which are closed after the test."""
    benches: list[Bench] = []

    def make(num_lanes: int = 1, max_batch: int = 4, **options: int) -> Bench:
        benches.append(Bench(num_lanes, max_batch, **options))
        return benches[-1]

    yield make
    for one in benches:
        one.may_step.set()
        one.lanes.close()


def segments(count: int, **fields: object) -> list[Segment]:
    rng = np.random.default_rng(5)
    ids = [(*map(int, rng.integers(3, 24, n % 30)), 0) for n in range(count)]
    return [replace(Segment(one, GREEDY), **fields) for one in ids]  # type: ignore[arg-type]


def of(length: int, **fields: object) -> Segment:
    """A segment of so many tokens."""
    return replace(Segment((*[5] * (length - 1), 0), GREEDY), **fields)  # type: ignore[arg-type]


def eventually(holds: Callable[[], bool]) -> None:
    """Lanes take what waits a moment later."""
    end_s = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end_s
        time.sleep(0.001)


def test_every_segment_is_answered_once_with_what_it_is_alone(bench):
    """Three lanes, four places each, strategies mixed; a single lane of one place gives the same."""
    strategies = (Beam(), Sampling(7), Forced((4, 5)), NonAutoregressive("ctc"))
    asked = [replace(one, strategy=strategies[n % 4]) for n, one in enumerate(segments(80))]
    several, single = bench(3, 4), bench(1, 1)
    for n, segment in enumerate(asked):
        several.submit(n, segment)
        single.submit(n, segment)

    together, alone = several.wait(80), single.wait(80)

    assert {n: one.hypotheses for n, one in together.items()} == {n: one.hypotheses for n, one in alone.items()}
    assert several.observer.sources == 80
    assert several.observer.tokens == sum(len(one.ids) for one in asked)
    assert (several.lanes.waiting_segments, several.lanes.active_segments) == (0, 0)


def test_an_answer_says_what_it_took(bench):
    """Engine, steps, and times that add up to no more than what went by."""
    started_s, lanes = time.monotonic(), bench()
    lanes.submit(0, segments(8)[7])

    answer = lanes.wait(1)[0]

    assert answer.engine is Engine.GREEDY
    assert answer.steps == len(answer.hypotheses[0].token_logps) == lanes.observer.steps
    assert min(answer.queue_s, answer.encode_s, answer.decode_s) >= 0
    assert answer.queue_s + answer.encode_s + answer.decode_s <= time.monotonic() - started_s
    assert lanes.lanes.seconds_per_token(Engine.GREEDY) is not None


def test_cancelling_takes_a_segment_out_of_its_lane_or_the_backlog(bench):
    """Within one step; the places go to those who wait, and cancelling what was answered does nothing."""
    lanes = bench(1, 2)
    lanes.hold()
    tickets = [lanes.submit(n, one) for n, one in enumerate(segments(6, ids=(5, 6, 7, 0)))]
    assert lanes.is_waiting.wait(10)

    for n in (0, 5):
        lanes.lanes.cancel(tickets[n])
    assert isinstance(lanes.answers[5], Cancelled), "what waits is answered at once"
    lanes.may_step.set()
    answers = lanes.wait(6)
    lanes.lanes.cancel(tickets[1])

    assert [n for n, one in sorted(answers.items()) if isinstance(one, Cancelled)] == [0, 5]
    assert lanes.observer.dropped == [(1, "cancelled")]


def test_a_deadline_is_kept_in_the_backlog_and_in_a_lane(bench):
    """What is late is not decoded any further: it is answered so, and its place is free."""
    lanes = bench(1, 1)
    lanes.hold()
    (segment,) = segments(1, ids=(5, 6, 7, 0))
    lanes.submit(0, replace(segment, deadline_s=time.monotonic() + 0.05))
    assert lanes.is_waiting.wait(10)
    lanes.submit(1, replace(segment, deadline_s=time.monotonic() + 0.05))
    lanes.submit(2, segment)
    time.sleep(0.06)

    lanes.may_step.set()
    answers = lanes.wait(3)

    assert [type(answers[n]) for n in range(3)] == [DeadlineExceeded, DeadlineExceeded, Decoded]


def test_a_defect_fails_the_round_and_the_lane_goes_on(bench):
    """All that were being decoded are told; those that come after it are decoded."""
    lanes = bench(1, 4)
    asked = segments(4, ids=(5, 6, 7, 0))
    lanes.hold()
    step, lanes._step = lanes._step, lambda *_, **__: 1 // 0
    for n, segment in enumerate(asked):
        lanes.submit(n, segment)
    lanes.may_step.set()
    failed = lanes.wait(4)
    lanes._step = step
    lanes.submit(9, asked[0])

    answers = lanes.wait(5)

    assert {type(failed[n]) for n in range(4)} == {EngineFailure}
    assert isinstance(answers[9], Decoded)
    assert lanes.observer.failed_rounds >= 1
    assert lanes.lanes.pulses[0].failures == 0, "it has decoded since"


def test_a_segment_that_cannot_be_encoded_fails_alone(bench):
    """Those that happened to share its run are encoded without it."""
    lanes, encode = bench(1, 4), None
    encode = lanes.runtime.encode

    def refusing(feed, **wanted):
        if 23 in feed["ids"]:
            raise ValueError("no such word")
        return encode(feed, **wanted)

    lanes.runtime.encode = refusing
    lanes.hold()
    lanes.submit(0, Segment((4, 0), GREEDY))
    assert lanes.is_waiting.wait(10)
    for n, ids in enumerate([(5, 0), (23, 0), (6, 0)], 1):
        lanes.submit(n, Segment(ids, GREEDY))
    lanes.may_step.set()

    answers = lanes.wait(4)

    assert [type(answers[n]) for n in range(4)] == [Decoded, Decoded, EngineFailure, Decoded]


def test_who_is_more_urgent_goes_first(bench):
    """An interactive segment passes those that wait; within a priority flows take turns."""
    lanes, order = bench(1, 1), []
    lanes.hold()
    (segment,) = segments(1, ids=(5, 6, 7, 0))
    lanes.submit(0, segment)
    assert lanes.is_waiting.wait(10)
    for n, (flow, priority) in enumerate([("a", 1), ("a", 1), ("b", 1), ("c", 0)], 1):
        done = lambda _, n=n: order.append(n)  # noqa: E731 - a name for each
        lanes.lanes.submit(replace(segment, priority=Priority(priority)), done, flow)
    assert lanes.lanes.waiting_segments == 4
    assert lanes.lanes.oldest_arrived_s <= time.monotonic()

    lanes.may_step.set()
    lanes.lanes.close()

    assert order == [4, 1, 3, 2]


def test_bulk_never_holds_all_of_a_lane(bench):
    """A light segment is answered while those of bulk that have had all places before it are still being decoded."""
    lanes = bench(1, 2)
    lanes.hold()
    (segment,) = segments(1, ids=(5, 6, 7, 0))
    endless = replace(segment, bulk=True, strategy=Forced((4,) * 20_000))
    bulk = [lanes.submit(n, endless) for n in range(9)]
    assert lanes.is_waiting.wait(10)
    lanes.submit(9, segment)

    lanes.may_step.set()
    answers = lanes.wait(1)
    for ticket in bulk:
        lanes.lanes.cancel(ticket)

    assert isinstance(answers[9], Decoded)
    assert isinstance(lanes.wait(10)[0], Cancelled)


@pytest.mark.parametrize(("number", "times"), [(1, 2.0), (4, 4.0)])
def test_light_sources_have_more_of_the_time_than_bulk(bench, number, times):
    """One has twice that of all bulk, four have four times."""
    lanes, weights = bench(1, 8), set()
    shares = lanes.lanes._lanes[0]._shares
    charge = shares.charge

    def noted(key, seconds, weight):
        weights.add((key, weight))
        charge(key, seconds, weight)

    shares.charge = noted
    lanes.hold()
    (one,) = segments(1, ids=(5, 6, 7, 0), strategy=Forced((4,) * 40))
    for n in range(3 + number):
        lanes.submit(n, replace(one, bulk=n < 3))
    lanes.may_step.set()

    assert len(lanes.wait(3 + number)) == 3 + number
    assert {(True, 1.0), (False, times)} <= weights


def test_a_lane_holds_no_more_positions_than_it_may(bench):
    """Bulk three quarters of them, and light segments the rest, or all."""
    lanes, most = bench(1, 8, budget=lambda: 400), []
    step = lanes._step

    def seen(graph, feed, *, attention):
        most.append([len(half) for half in lanes.lanes._lanes[0]._halves.values()])
        return step(graph, feed, attention=attention)

    lanes._step = seen
    lanes.hold()
    (one,) = segments(1, ids=(*[5] * 49, 0), strategy=Forced((4,) * 40))
    for n in range(30):
        lanes.submit(n, replace(one, bulk=n < 20))
    lanes.may_step.set()

    assert {type(answer) for answer in lanes.wait(30).values()} == {Decoded}
    assert all(light + bulk <= 8 or 1 in (light, bulk) for light, bulk in most), "an empty half takes one in any case"
    assert max(bulk for _, bulk in most) == 6


def test_a_light_request_does_not_wait_for_bulk(bench):
    """Its wait is that of its own class; that of bulk is as long as what is ahead of it takes."""
    lanes = bench(1, 1)
    for bulk in (False, True):
        lanes.lanes.note_pace({bulk: (1000, 1, 1)}, 10.0)
    lanes.hold()
    segment = replace(segments(1, ids=(5, 6, 7, 0))[0], bulk=True)
    lanes.submit(0, segment)
    assert lanes.is_waiting.wait(10)
    bulk = [lanes.submit(n, segment, flow="bulk") for n in range(1, 501)]

    waits = [lanes.lanes.predicted_wait_s(Priority.NORMAL, cost) for cost in (0, 4, 1000, 10_000)]

    assert waits == pytest.approx([0.0, 0.0, 10.0, 20.0], rel=0.2)
    assert (lanes.lanes.waiting_segments, lanes.lanes.waiting_tokens) == (500, 2000)
    for ticket in bulk:  # nobody waits for them
        lanes.lanes.cancel(ticket)


def test_one_of_two_lanes_takes_no_long_bulk_beside_light_requests(bench, monkeypatch):
    """Light segments find it idle; it takes short bulk, and long bulk, too, when no light segment has come for long."""
    monkeypatch.setattr("dragoman.server.lanes.lanes.LOOK_S", 0.01)
    monkeypatch.setattr("dragoman.server.core.segments.LONG_TOKENS", 50)
    long, short = (of(length, bulk=True) for length in (60, 20))
    made = bench(num_lanes=2, max_batch=2)
    made.submit(0, of(4))  # somebody is there
    made.wait(1)
    made.hold()
    for number in range(1, 7):
        made.submit(number, long, flow=number)
    assert made.is_waiting.wait(10)
    time.sleep(0.1)

    assert made.lanes.active_segments == 2
    assert made.lanes.waiting_segments == 4

    made.lanes.cancel(made.submit(7, of(4)))
    made.submit(8, of(4))  # which the idle lane takes at once
    eventually(lambda: made.lanes.active_segments == 3)
    made.submit(9, short)
    made.may_step.set()
    made.wait(10)


def test_long_bulk_has_all_lanes_when_nobody_else_is_there(bench, monkeypatch):
    """From the beginning, beside batches that are light, when the last light segment is long ago, and at the end."""
    monkeypatch.setattr("dragoman.server.lanes.lanes.LOOK_S", 0.01)
    monkeypatch.setattr("dragoman.server.lanes.lanes.KEPT_S", 0.2)
    monkeypatch.setattr("dragoman.server.core.segments.LONG_TOKENS", 50)
    long = of(60, bulk=True)
    for seen in ((), (Priority.BATCH,), (Priority.NORMAL,)):
        made = bench(num_lanes=2, max_batch=2)
        for priority in seen:
            made.submit(0, of(4, priority=priority))
            made.wait(1)
        made.hold()
        for number in range(1, 7):
            made.submit(number, long, flow=number)
        eventually(lambda made=made: made.lanes.active_segments == 4)
        made.may_step.set()
        made.wait(6 + len(seen))

    monkeypatch.setattr("dragoman.server.lanes.lanes.KEPT_S", 60.0)
    made = bench(num_lanes=2, max_batch=1)
    made.submit(0, of(4))
    made.wait(1)
    made.hold()
    for number in (1, 2, 3):
        made.submit(number, long, flow=number)
    eventually(lambda: made.lanes.active_segments == 1)
    closing = threading.Thread(target=made.lanes.close)
    closing.start()
    eventually(lambda: made.lanes.active_segments == 2)
    made.may_step.set()
    closing.join(10)
    assert len(made.answers) == 4


def test_more_are_stepped_together_while_many_wait(bench):
    """Up to the most that there may be, and no more than usual when few are left."""
    made = bench(max_batch=2, most=6)
    rows: list[int] = []
    made.observer.on_step = lambda count, *_: rows.append(count)
    made.hold()
    for n, one in enumerate(segments(60)):
        made.submit(n, one)
    made.may_step.set()

    made.wait(60)
    few = len(rows)
    made.hold()
    for n, one in enumerate(segments(4), 60):
        made.submit(n, one)
    made.may_step.set()
    made.wait(64)

    assert max(rows[:few]) == 6
    assert max(rows[few:]) == 2


def test_closing_finishes_what_was_submitted_and_takes_no_more(bench):
    """When it returns, everything has been answered."""
    lanes = bench(2, 2)
    for n, segment in enumerate(segments(20)):
        lanes.submit(n, segment)

    lanes.lanes.close()

    assert len(lanes.answers) == 20
    with pytest.raises(Draining):
        lanes.submit(20, segments(1)[0])


def test_what_a_caller_raises_is_its_own(bench):
    """An answer that is not taken loses nobody else's."""
    lanes = bench()

    def refuse(_: object) -> None:
        raise RuntimeError("no room")

    lanes.lanes.submit(segments(5)[4], refuse)
    lanes.submit(1, segments(5)[4])

    assert isinstance(lanes.wait(1)[1], Decoded)


def test_too_little_memory_is_told_from_a_defect(bench):
    """Its caller may try again; what comes later is decoded."""
    lanes = bench()
    step, failures = lanes._step, [MemoryError()]

    def short(graph, feed, *, attention):
        if failures:
            raise failures.pop()
        return step(graph, feed, attention=attention)

    lanes._step = short
    lanes.submit(0, segments(5)[4])
    refused = lanes.wait(1)[0]
    lanes.submit(1, segments(5)[4])

    assert isinstance(refused, Shed)
    assert isinstance(lanes.wait(2)[1], Decoded)


def test_a_source_whose_numbers_are_not_finite_is_answered_so(bench):
    """With the reason; nothing is made up."""
    lanes = bench()
    step = lanes._step

    def broken(graph, feed, *, attention):
        said, new = step(graph, feed, attention=attention)
        said["topk_logp"][:] = np.nan
        return said, new

    lanes._step = broken
    lanes.submit(0, segments(5)[4])

    answer = lanes.wait(1)[0]

    assert isinstance(answer, EngineFailure)
    assert "not finite" in str(answer.detail)


@pytest.fixture
def failing(bench: Callable[..., Bench]) -> Bench:
    """A lane whose decoder gives NaN for the first sources of each step: for as many as `lost` says, at first all."""
    lanes = bench()
    step, lanes.lost = lanes._step, itertools.repeat(99)

    def broken(graph, feed, *, attention):
        said, new = step(graph, feed, attention=attention)
        said["topk_logp"][: next(lanes.lost)] = np.nan
        return said, new

    lanes._step = broken
    return lanes


def test_a_lane_without_any_finite_number_is_seen_to_fail(failing):
    """Each round is a failure, though no run raises, until an answer is finite."""
    for n in range(MIN_FAILURES):
        failing.submit(n, segments(5)[4])
        failing.wait(n + 1)
        time.sleep(0.001)
    [pulse] = failing.lanes.pulses
    assert (pulse.failures, failing.observer.failed_rounds) == (MIN_FAILURES, MIN_FAILURES)
    assert fault_of([pulse], None, time.monotonic(), 0.001) is Fault.FAILURE

    failing.lost = itertools.repeat(0)
    failing.submit(99, segments(5)[4])

    assert isinstance(failing.wait(MIN_FAILURES + 1)[99], Decoded)
    assert fault_of([pulse], None, time.monotonic(), 0.001) is None


def test_a_source_without_finite_numbers_fails_alone(failing):
    """Those that share its steps are answered, and the lane is well."""
    failing.hold()
    failing.lost = itertools.chain([0, 1], itertools.repeat(0))
    for n in range(3):
        failing.submit(n, segments(5)[4])
    failing.may_step.set()

    answers = failing.wait(3)

    assert sorted(type(answer) is EngineFailure for answer in answers.values()) == [False, False, True]
    assert failing.lanes.pulses[0].failures == 0


@pytest.mark.parametrize("strategy", [Beam(), Sampling(7)])
@pytest.mark.parametrize("beam_size", [1, 4])
def test_a_translation_to_which_no_word_may_be_added_ends(bench, strategy, beam_size):
    """With all words said once, none may be repeated, and the end is forbidden: yet there is an answer."""
    lanes = bench()
    decoding = replace(GREEDY, beam_size=beam_size, max_length=60, max_length_factor=99.0, min_length=59)
    segment = Segment((5, 6, 7, 0), replace(decoding, no_repeat_ngram_size=1), strategy=strategy)
    lanes.submit(0, segment)

    [hypothesis] = lanes.wait(1)[0].hypotheses

    assert hypothesis.reason is FinishReason.STOP
    assert sorted(hypothesis.ids) == [word for word in range(FAKE_WORDS) if word not in (0, 1)], "each word once"


def test_the_runtime_prepares_what_it_likes_while_nobody_waits(bench):
    """Piece by piece, until nothing is left; and what goes wrong with it is nobody's failure."""
    one = bench()
    left, is_done, waited = [True, True], threading.Event(), []

    def prepare() -> bool:
        waited.append(not one.lanes.is_idle)
        if left:
            return left.pop()
        is_done.set()
        raise ValueError("a defect")

    one.runtime.prepare = prepare
    one.hold()
    first, second = segments(2)
    one.submit(0, first)
    assert one.is_waiting.wait(10)
    assert waited == []
    one.may_step.set()
    one.wait(1)

    assert is_done.wait(10)
    assert waited == [False] * 3
    one.submit(1, second)
    assert isinstance(one.wait(2)[1], Decoded)
    assert one.observer.failed_rounds == 0


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("is_placed", [False, True])
def test_each_lane_rehearses_on_a_device_before_it_takes_anything(bench, monkeypatch, is_placed, fails):
    """On its own thread; what goes wrong with it is nobody's failure. On a processor there is nothing to rehearse."""
    rehearsals: list[tuple[str, int]] = []

    def rehearse(runtime, factory, most, decoder) -> None:
        rehearsals.append((threading.current_thread().name, most))
        if len(rehearsals) == 2:
            runtime.is_placed = False  # or the fake would be asked for what a device has
        if fails:
            raise MemoryError("a defect")

    monkeypatch.setattr(module, "rehearse", rehearse)
    if is_placed:
        monkeypatch.setattr(FakeRuntime, "is_placed", True)
        monkeypatch.setattr(FakeRuntime, "provider", "cuda")
    one = bench(num_lanes=2)
    while is_placed and one.runtime.is_placed:
        time.sleep(0.001)
    one.submit(0, segments(1)[0])

    assert isinstance(one.wait(1)[0], Decoded)
    assert sorted(rehearsals) == ([("lane-0", 4), ("lane-1", 4)] if is_placed else [])
    assert one.observer.failed_rounds == 0
