"""The backlog and the runs of the encoder."""

import itertools

import numpy as np
import pytest

from dragoman.server.batches.encoding import ENCODE_TOKENS, RUN_TOKENS, encoder_runs
from dragoman.server.core.segments import Priority, Size
from dragoman.server.core.strategies import Engine
from dragoman.server.lanes.backlog import WINDOW, Backlog
from dragoman.server.lanes.pace import MEMORY_S, Pace
from dragoman.server.lanes.room import Room
from dragoman.server.runtime.padding import round_up

ENDLESS = 1 << 40


def of(tokens: int) -> Size:
    """A segment of a default request."""
    return Size(tokens, tokens)


def room(places: int, length: int = 0) -> Room:
    """Of so many places, and endless positions, beside a source of this length; 0: none."""
    return Room(places, ENDLESS, [of(length)] if length else [])


def a_backlog(count: int) -> Backlog[int]:
    backlog: Backlog[int] = Backlog()
    for item in range(count):
        backlog.put(item, of(10))
    return backlog


def test_first_come_first_served():
    """A lone lane gets the oldest, as many as it has places for."""
    backlog = a_backlog(5)

    assert backlog.take(room(3), lanes=1) == [0, 1, 2]
    assert repr(backlog) == "<Backlog 2 waiting, 20 tokens>"


def test_a_burst_is_spread_over_the_lanes():
    """Three lanes with room for everything take a third, then a third of the rest, until nothing waits."""
    backlog = a_backlog(10)

    takes = [len(backlog.take(room(16), lanes=3)) for _ in range(6)]

    assert takes == [4, 2, 2, 1, 1, 0]


def test_one_that_left_is_not_taken():
    """Removing says whether it still waited, and its tokens no longer count."""
    backlog = a_backlog(3)

    assert backlog.remove(1)
    assert not backlog.remove(1)
    assert backlog.cost == 20
    assert backlog.take(room(9), lanes=1) == [0, 2]
    assert backlog.cost == 0


def test_higher_priorities_go_first():
    """Interactive before normal before batch, whoever came first; within one, first come first served."""
    backlog: Backlog[str] = Backlog()
    for name, priority in zip("abcdef", [2, 1, 0, 2, 1, 0], strict=True):
        backlog.put(name, of(10), priority=Priority(priority))

    assert backlog.take(room(6), lanes=1) == ["c", "f", "b", "e", "a", "d"]


def test_a_newcomer_does_not_wait_for_a_long_request():
    """A text of one piece that arrives behind a hundred pieces of another request is taken next."""
    backlog: Backlog[str] = Backlog()
    for piece in range(100):
        backlog.put(f"long {piece}", of(40), flow="long")
    assert backlog.take(room(1), lanes=1) == ["long 0"]
    backlog.put("short", of(5), flow="short")

    assert backlog.take(room(3), lanes=1) == ["short", "long 1", "long 2"]


def test_requests_of_one_segment_go_in_the_order_in_which_they_came():
    """However long they are, and however many others are served meanwhile: each waits as long as was predicted."""
    backlog: Backlog[int] = Backlog()
    taken: list[int] = []
    for number in range(300):
        backlog.put(number, of(7 + 13 * number % 50), flow=number)
        if number % 3 == 2:
            taken += backlog.take(room(1), lanes=1)
    taken += backlog.take(room(300), lanes=1)

    assert taken == [*range(300)]


def test_a_lane_gets_what_is_like_what_it_has():
    """Of one request: the closest in length, in the order of arrival where several are; at first, the first."""
    backlog: Backlog[str] = Backlog()
    for name, tokens in {"a": 40, "b": 5, "c": 38, "d": 90, "e": 5, "f": 41}.items():
        backlog.put(name, of(tokens))

    assert backlog.take(room(3), lanes=1) == ["a", "f", "c"]
    assert backlog.take(room(2, 6), lanes=1) == ["b", "e"]


def test_lengths_do_not_decide_between_requests():
    """Each gives its own closest, in turn."""
    backlog: Backlog[str] = Backlog()
    for flow in "xyz":
        for tokens in (50, 10):
            backlog.put(f"{flow}{tokens}", of(tokens), flow=flow)

    assert backlog.take(room(3, 10), lanes=1) == ["x10", "y10", "z10"]


def test_none_is_passed_over_for_ever():
    """Behind an endless request of short segments, its long first one goes after as many others as may be chosen."""
    backlog: Backlog[int] = Backlog()
    backlog.put(0, of(99))
    before = 0
    for item in itertools.count(1):
        backlog.put(item, of(10))
        [taken] = backlog.take(room(1, 10), lanes=1)
        if taken == 0:
            break
        before += 1

    assert before == WINDOW


def test_newcomers_do_not_hold_up_a_request_of_several_segments():
    """With a new request of one segment for each place that comes free, for ever, all of a document gets its turns."""
    backlog: Backlog[tuple[str, int]] = Backlog()
    for single in range(20):
        backlog.put(("early", single), of(25), flow=("early", single))
    for piece in range(3):
        backlog.put(("document", piece), of(25), flow="document")
    taken = []
    while sum(flow == "document" for flow, _ in taken) < 3:
        backlog.put(("single", len(taken)), of(25), flow=("single", len(taken)))
        taken += backlog.take(room(1), lanes=1)
        assert len(taken) < 200

    waits = [place - number for place, (flow, number) in enumerate(taken) if flow == "single"]
    assert max(waits) <= 23  # those who were there before it


def test_turns_of_requests_that_left_do_not_pile_up():
    """A thousand requests that are cancelled behind one that is never served leave little behind."""
    backlog: Backlog[int] = Backlog()
    backlog.put(-1, of(10))
    for item in range(1000):
        backlog.put(item, of(10), flow=item)
        backlog.remove(item)

    assert max(len(queue.turns) for queue in backlog._queues.values()) < 100


def test_a_flow_that_ended_leaves_no_turn_behind():
    """A later flow of its name, at the same turn, has one turn and not two."""
    backlog: Backlog[str] = Backlog()
    backlog.put("a", of(10), flow="x")
    backlog.remove("a")
    for name in ("b", "c"):
        backlog.put(name, of(10), flow="x")
    backlog.put("d", of(10), flow="y")

    assert backlog.take(room(3), lanes=1) == ["b", "d", "c"]


def test_flows_share_by_tokens_and_not_by_pieces():
    """Of two requests, the one of pieces four times as long gets a quarter of the turns."""
    backlog: Backlog[str] = Backlog()
    for _ in range(40):
        backlog.put(f"wide {_}", of(40), flow="wide")
    for _ in range(40):
        backlog.put(f"narrow {_}", of(10), flow="narrow")

    taken = backlog.take(room(25), lanes=1)

    assert sum(name.startswith("wide") for name in taken) == 5


def test_a_flow_that_slept_has_saved_nothing():
    """Turns count from when a flow comes, not from the start: one that comes late does not shut out the others."""
    backlog: Backlog[str] = Backlog()
    for piece in range(10):
        backlog.put(f"early {piece}", of(10), flow="early")
    backlog.take(room(8), lanes=1)
    for piece in range(4):
        backlog.put(f"late {piece}", of(10), flow="late")

    assert backlog.take(room(4), lanes=1) == ["late 0", "early 8", "late 1", "early 9"]


def test_what_there_is_no_room_for_waits_and_none_passes_it():
    """Not even what is smaller, or of lower priority: or it would wait for ever. An empty lane takes anything."""
    backlog: Backlog[str] = Backlog()
    backlog.put("wide", Size(40, 40, width=16), flow="a")
    backlog.put("small", of(10), flow="b")
    backlog.put("later", of(10), priority=Priority.BATCH)

    assert backlog.take(Room(4, 600, [of(10)]), lanes=1) == []
    assert backlog.take(Room(4, 640, []), lanes=1) == ["wide"]
    assert backlog.take(Room(4, 30, [of(10)]), lanes=1) == ["small", "later"]


def test_padding_counts():
    """Beside a long one, short ones take as much as it does: fewer of them have room."""
    backlog = a_backlog(9)

    assert backlog.take(Room(9, 400, [of(100)]), lanes=1) == [0, 1, 2]


def test_flows_share_by_cost_and_lanes_choose_by_length():
    """A wide search costs more turns than its length says."""
    backlog: Backlog[str] = Backlog()
    for n in range(12):
        backlog.put(f"beam {n}", Size(60, 10, width=6), flow="beam")
        backlog.put(f"greedy {n}", of(10), flow="greedy")

    taken = backlog.take(room(14), lanes=1)

    assert sum(name.startswith("beam") for name in taken) == 2


def slow_ahead(waiting: dict[int, tuple[int, int, Priority]], cost: int, priority: Priority) -> int:
    """What is ahead of a newcomer, counted: all that is more urgent, and of each flow its first, or as much as its own,
    but not more than there is.
    """
    above = sum(size for size, _, other in waiting.values() if other < priority)
    equal = [(size, flow) for size, flow, other in waiting.values() if other == priority]
    firsts = {flow: size for size, flow in reversed(equal)}
    return above + min(sum(size for size, _ in equal), max(sum(firsts.values()), cost * len(firsts)))


@pytest.mark.parametrize("seed", range(20))
def test_a_newcomer_waits_for_its_turn_and_not_for_all(seed):
    """Whatever was put, taken and removed before."""
    rng = np.random.default_rng(seed)
    backlog: Backlog[int] = Backlog()
    waiting: dict[int, tuple[int, int, Priority]] = {}
    for item in range(200):
        tokens, flow, priority = int(rng.integers(1, 50)), int(rng.integers(5)), Priority(int(rng.integers(3)))
        backlog.put(item, of(tokens), flow=flow, priority=priority)
        waiting[item] = tokens, flow, priority
        if rng.random() < 0.4:
            victim = int(rng.choice(sorted(waiting)))
            backlog.remove(victim)
            del waiting[victim]
        if rng.random() < 0.4:
            for taken in backlog.take(room(int(rng.integers(0, 4))), lanes=1):
                del waiting[taken]
        for cost in (0, 30, ENDLESS):
            for other in Priority:
                assert backlog.ahead(cost, other) == slow_ahead(waiting, cost, other)


def test_one_sentence_behind_a_long_request_waits_for_one_turn():
    """Of the thousand segments that wait before it, one counts, and as many as it has itself of a request like them."""
    backlog: Backlog[int] = Backlog()
    for item in range(1000):
        backlog.put(item, of(30), flow="long")

    assert backlog.ahead(20, Priority.NORMAL) == 30
    assert backlog.ahead(3000, Priority.NORMAL) == 3000
    assert backlog.ahead(90_000, Priority.NORMAL) == 30_000
    assert backlog.ahead(20, Priority.INTERACTIVE) == 0
    assert backlog.ahead(20, Priority.BATCH) == 30_000


@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_lost_or_kept(seed):
    """Whatever is put, removed and taken in whatever order: each item leaves once, and no token stays behind."""
    rng = np.random.default_rng(seed)
    backlog: Backlog[int] = Backlog()
    waiting, gone = set(), []
    for item in range(300):
        tokens, flow = int(rng.integers(1, 50)), int(rng.integers(5))
        backlog.put(item, of(tokens), flow=flow, priority=Priority(int(rng.integers(3))))
        waiting.add(item)
        if rng.random() < 0.3:
            victim = int(rng.choice(sorted(waiting)))
            assert backlog.remove(victim)
            waiting.remove(victim)
        if rng.random() < 0.3:
            taken = backlog.take(room(int(rng.integers(0, 6))), lanes=int(rng.integers(1, 4)))
            assert waiting.issuperset(taken)
            waiting -= set(taken)
            gone += taken
    gone += backlog.take(room(1000), lanes=1)

    assert len(gone) == len(set(gone))
    assert set(gone) >= waiting
    assert repr(backlog) == "<Backlog 0 waiting, 0 tokens>"
    assert not any(queue.flows for queue in backlog._queues.values()), "a flow without segments is forgotten"


def test_the_pace_is_what_lanes_did_lately():
    """Nothing is predicted before anything was measured; then tokens by what they took, old measurements fading."""
    pace = Pace()
    assert pace.seconds_for(1000, lanes=2) == 0.0

    pace.note(cost=500, seconds=1.0)
    assert pace.seconds_for(1000, lanes=1) == pytest.approx(2.0)
    assert pace.seconds_for(1000, lanes=2) == pytest.approx(1.0)

    for _ in range(10):
        pace.note(cost=5000, seconds=MEMORY_S)
    assert pace.seconds_for(5000, lanes=1) == pytest.approx(MEMORY_S, rel=0.01)


@pytest.mark.parametrize("seed", range(30))
def test_runs_hold_everything_once_and_pad_little(seed):
    """Every item is in one run, runs ascend, none exceeds the bound, padding costs less than the runs it saves."""
    rng = np.random.default_rng(seed)
    lengths = [int(n) for n in rng.integers(1, 500, rng.integers(0, 60))]
    items = list(enumerate(lengths))

    runs = encoder_runs(items, lambda item: item[1])

    assert sorted(item for run in runs for item in run) == sorted(items)
    flat = [length for run in runs for _, length in run]
    assert flat == sorted(lengths)
    for run in runs:
        positions = round_up(run[-1][1])
        assert len(run) == 1 or len(run) * positions <= ENCODE_TOKENS
        wasted = sum(positions - round_up(length) for _, length in run)
        assert wasted <= RUN_TOKENS * (len(run) - 1)


def test_equal_lengths_share_runs_up_to_the_bound():
    """Forty sources of one length need as many runs as the bound asks for, in the order they came."""
    runs = encoder_runs(range(40), lambda _: 60)

    most = ENCODE_TOKENS // 64
    assert [len(run) for run in runs] == [most] * (40 // most) + [40 % most] * (40 % most > 0)
    assert [item for run in runs for item in run] == list(range(40))


def test_a_source_over_the_bound_has_a_run_of_its_own():
    """Nothing is too long to be encoded."""
    assert encoder_runs([2000, 5], lambda n: n) == [[5], [2000]]


def test_speeds_follow_what_was_measured_lately():
    """Speculation counts as greedy search; what has not run for half a minute is not known any more."""
    pace = Pace()
    assert pace.seconds_per_token(Engine.NAT, 0.0) is None

    pace.note_engine(Engine.GREEDY, 1.0, 0.0)
    pace.note_engine(Engine.SPECULATIVE, 2.0, 1.0)
    pace.note_engine(Engine.NAT, 5.0, 1.0)

    assert pace.seconds_per_token(Engine.GREEDY, 2.0) == pytest.approx(1.1)
    assert pace.seconds_per_token(Engine.NAT, 31.0) == 5.0
    assert pace.seconds_per_token(Engine.NAT, 31.1) is None
    pace.note_engine(Engine.NAT, 7.0, 40.0)
    assert pace.seconds_per_token(Engine.NAT, 40.0) == 7.0
