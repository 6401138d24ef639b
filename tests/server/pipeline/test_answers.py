"""A request's answers come from threads and are gathered on the event loop."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing, suppress

import pytest

from dragoman.bundle.manifest import Decoding
from dragoman.server.core.errors import Cancelled, EngineFailure
from dragoman.server.core.ports import Done
from dragoman.server.core.segments import Decoded, Segment
from dragoman.server.core.strategies import Engine
from dragoman.server.pipeline.answers import decode, gather
from dragoman.server.pipeline.mailbox import Mailbox
from dragoman.server.testing import FakeLanes

pytestmark = pytest.mark.asyncio(loop_scope="session")


def segment(*ids: int) -> Segment:
    return Segment((*ids, 0), Decoding(max_length=64))


def best(answer: Decoded | Exception) -> tuple[int, ...]:
    assert isinstance(answer, Decoded), answer
    return answer.hypotheses[0].ids


async def test_each_text_comes_once_with_its_answers_in_order(lanes: FakeLanes) -> None:
    """Whatever thread answers first."""
    texts = [[segment(10 * text + number) for number in range(1, 4)] for text in range(1, 6)]

    async with aclosing(decode(lanes, texts)) as finished:
        found = {text: [best(answer) for answer in answers] async for text, answers in finished}

    assert found == {text: [(10 * (text + 1) + number,) for number in range(1, 4)] for text in range(5)}


async def test_a_text_without_segments_waits_for_nobody(lanes: FakeLanes) -> None:
    """It comes first where the others are held."""
    lanes.hold()

    async with aclosing(decode(lanes, [[segment(5)], []])) as finished:
        first = await anext(finished)

    assert first == (1, [])


async def test_a_failure_is_an_answer(lanes: FakeLanes) -> None:
    """The text is finished by it as by any other."""
    lanes.failure = EngineFailure("node 7")

    async with aclosing(decode(lanes, [[segment(5), segment(6)]])) as finished:
        [(_, answers)] = [answer async for answer in finished]

    assert answers == [lanes.failure, lanes.failure]


async def test_closing_it_early_cancels_what_is_not_answered(lanes: FakeLanes) -> None:
    """And nothing else; the lanes are free for others."""
    lanes.hold()
    stream = decode(lanes, [[], [segment(5), segment(6)]])
    await anext(stream)

    await stream.aclose()

    assert (lanes.waiting_segments, lanes.cancelled) == (0, 2)


async def test_after_the_last_answer_nothing_is_cancelled(lanes: FakeLanes) -> None:
    """There is nothing to take out of the lanes."""
    async with aclosing(decode(lanes, [[segment(5)]])) as finished:
        await anext(finished)

    assert lanes.cancelled == 0


async def test_lanes_that_refuse_end_it(lanes: FakeLanes) -> None:
    """Segments that they have taken before are cancelled."""
    lanes.hold()
    submit, taken = lanes.submit, []

    def submit_two(one: Segment, done: object, flow: object = None) -> object:
        if len(taken) == 2:
            raise Cancelled
        taken.append(one)
        return submit(one, done, flow)  # type: ignore[arg-type]

    lanes.submit = submit_two  # type: ignore[assignment, method-assign]
    with pytest.raises(Cancelled):
        await anext(decode(lanes, [[segment(5), segment(6), segment(7)]]))

    assert (len(taken), lanes.cancelled) == (2, 2)


async def test_an_answer_after_the_loop_has_ended_is_dropped(lanes: FakeLanes) -> None:
    """A stop does not wait for all requests: their answers find nobody, and the lane goes on."""

    def abandoned() -> None:
        async def ask() -> None:
            stream = decode(lanes, [[segment(5)]])
            waiting = asyncio.ensure_future(anext(stream))
            await asyncio.sleep(0)
            waiting.cancel()
            lanes.cancel = lambda ticket: None  # type: ignore[method-assign]

        asyncio.run(ask())

    lanes.hold()
    await asyncio.to_thread(abandoned)
    lanes.release()

    async with aclosing(decode(lanes, [[segment(6)]])) as finished:
        assert await anext(finished)


async def test_a_text_is_finished_when_nothing_more_is_decoded_for_it(lanes: FakeLanes) -> None:
    """What replaces its segments is decoded in turn, or is decoded already; the others do not wait for it."""
    asked: list[tuple[int, list[tuple[int, ...]]]] = []

    async def again(text: int, answers: Sequence[Decoded | Exception]) -> Sequence[Segment | Decoded] | None:
        asked.append((text, [best(answer) for answer in answers]))
        match text, answers:
            case 0, [Decoded() as first, _]:
                return [first, segment(3), segment(4)]
            case 0, [_, _, _]:
                return []
            case _:
                return None

    texts = [[segment(1), segment(2)], [segment(5)]]
    async with aclosing(decode(lanes, texts, again)) as finished:
        found = [(text, [best(answer) for answer in answers]) async for text, answers in finished]

    assert sorted(found) == [(0, []), (1, [(5,)])]
    assert [answers for text, answers in asked if text == 0] == [[(1,), (2,)], [(1,), (3,), (4,)], []]
    assert [one.ids[0] for one in lanes.submitted] == [1, 2, 5, 3, 4]


async def test_closing_it_early_cancels_what_is_decoded_again(lanes: FakeLanes) -> None:
    """As what was decoded first."""

    async def again(text: int, answers: Sequence[Decoded | Exception]) -> Sequence[Segment | Decoded] | None:
        if text == 1:
            return None
        lanes.hold()
        return [segment(6), segment(7)]

    stream = decode(lanes, [[segment(5)], []], again)
    assert await anext(stream) == (1, [])
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.to_thread(lanes.wait_until, 2)
    waiting.cancel()
    with suppress(asyncio.CancelledError):
        await waiting

    assert (lanes.waiting_segments, lanes.cancelled) == (0, 2)


async def test_finished_texts_come_together_while_many_more_are_to_come(
    lanes: FakeLanes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last ones come one by one, so that what has to be decoded again does not wait."""
    dones: list[Done] = []
    monkeypatch.setattr(lanes, "submit", lambda _, done, flow: dones.append(done))
    found: list[int] = []

    async def read() -> None:
        async for text, _ in decode(lanes, [[segment(number)] for number in range(8)], together=3):
            found.append(text)

    reading, seen = asyncio.create_task(read()), list[int]()
    await asyncio.sleep(0)
    for done in dones:
        done(EngineFailure("node 7"))
        for _ in range(8):
            await asyncio.sleep(0)
        seen.append(len(found))
    await reading

    assert seen == [0, 0, 3, 3, 5, 6, 7, 8]


async def _nothing_more(_: int, __: Sequence[Decoded | Exception]) -> None:
    """Every text is finished with its first answers."""


def mailbox() -> Mailbox:
    return Mailbox(asyncio.get_running_loop())


async def test_all_answers_are_gathered_in_order(lanes: FakeLanes) -> None:
    """Of texts with several segments, with one that is decoded already, and with none."""
    known = Decoded((), Engine.GREEDY, 1)
    texts = [[segment(11), segment(12)], [], [known, segment(31)]]

    first, second, third = await gather(lanes, texts, _nothing_more, mailbox())

    assert ([best(answer) for answer in first], second) == ([(11,), (12,)], [])
    assert (third[0], best(third[1])) == (known, (31,))


async def test_what_is_decoded_again_takes_the_place_of_the_first_answers(lanes: FakeLanes) -> None:
    """As often as somebody asks for it; other texts are asked about once."""
    asked = list[tuple[int, list[tuple[int, ...]]]]()

    async def again(text: int, answers: Sequence[Decoded | Exception]) -> Sequence[Segment] | None:
        asked.append((text, [best(answer) for answer in answers]))
        return [segment(20 + len(asked))] if text == 1 and len(asked) < 4 else None

    first, second = await gather(lanes, [[segment(10)], [segment(20)]], again, mailbox())

    assert asked == [(0, [(10,)]), (1, [(20,)]), (1, [(22,)]), (1, [(23,)])]
    assert ([*map(best, first)], [*map(best, second)]) == ([(10,)], [(23,)])


async def test_cancelling_a_gathering_takes_its_segments_out_of_the_lanes(lanes: FakeLanes) -> None:
    """Those that wait for their answers."""
    lanes.hold()
    task = asyncio.create_task(gather(lanes, [[segment(5), segment(6)]], _nothing_more, mailbox()))
    await asyncio.sleep(0)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert (lanes.waiting_segments, lanes.cancelled) == (0, 2)
