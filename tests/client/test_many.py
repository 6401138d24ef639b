"""What is sent again, what is given up, and whose fault it is: exchanges without a server."""

from collections.abc import Callable

import pytest

from dragoman.client import (
    DragomanError,
    InvalidRequest,
    Options,
    Overloaded,
    Translation,
    Unavailable,
    UnknownModel,
    many,
)
from dragoman.client.errors import from_status
from dragoman.v1 import translation_pb2 as pb

FULL = from_status("RESOURCE_EXHAUSTED", "the backlog holds 65000 source tokens")
TOO_LARGE = from_status("RESOURCE_EXHAUSTED", "Received message larger than max (5000000 vs. 4194304)")
GONE = from_status("UNAVAILABLE", "connection refused")


def answer(message: pb.TranslateRequest) -> pb.TranslateResponse:
    """Each text in capitals."""
    return pb.TranslateResponse(
        results=[{"index": i, "text": one.text.upper(), "finish_reason": 1} for i, one in enumerate(message.texts)]
    )


class Play:
    """Carries exchanges out against a function, on a clock that only pauses move."""

    def __init__(self, reply: Callable[[list[str]], DragomanError | None], timeout_s: float = 10) -> None:
        self.now_s = 0.0
        self.sent: list[list[str]] = []
        self._reply = reply
        self._exchanges = many.translating(Options(), timeout_s, clock=lambda: self.now_s)

    def texts(self, *texts: str) -> list[str | DragomanError]:
        exchange = self._exchanges.exchange(texts)
        step = many.advance(exchange)
        while isinstance(step, many.Attempt):
            self.now_s += step.pause_s
            sent = [one.text for one in step.message.texts]
            self.sent.append(sent)
            step = many.advance(exchange, self._reply(sent) or answer(step.message))
        return [one.text if isinstance(one, Translation) else one for one in step]


def test_a_full_server_is_asked_again_until_it_has_room() -> None:
    """Nothing is lost, however often it refuses within the time."""
    play = Play(lambda texts: FULL if play.now_s < 8 else None)

    assert play.texts("a", "b") == ["A", "B"]
    assert 8 <= play.now_s <= 10
    assert len(play.sent) < 12  # pauses grow


def test_patience_ends_with_the_timeout() -> None:
    """The server's own error is raised then, and no pause goes beyond it."""
    play = Play(lambda texts: FULL)

    with pytest.raises(Overloaded, match="65000"):
        play.texts("a")
    assert 7 < play.now_s <= 10


def test_a_server_that_was_there_is_waited_for_and_one_that_was_not_is_not() -> None:
    """A restart in the midst of a book costs nothing; a wrong address is told at once."""
    play = Play(lambda texts: GONE if texts == ["b"] and play.now_s < 5 else None)
    assert [play.texts("a"), play.texts("b")] == [["A"], ["B"]]

    absent = Play(lambda texts: GONE)
    with pytest.raises(Unavailable):
        absent.texts("a")
    assert (absent.now_s, len(absent.sent)) == (0, 1)


@pytest.mark.parametrize("error", [InvalidRequest("texts[0].text: too long"), InvalidRequest("no"), TOO_LARGE])
def test_a_refused_batch_is_sent_text_by_text(error: DragomanError) -> None:
    """The text that is at fault gets the error, without a pause; the others are translated."""
    play = Play(lambda texts: error if "bad" in texts else None)

    assert play.texts("a", "bad", "c") == ["A", error, "C"]
    assert play.sent == [["a", "bad", "c"], ["a"], ["bad"], ["c"]]
    assert play.now_s == 0
    assert play.texts("bad") == [error]


@pytest.mark.parametrize(
    "error",
    [
        UnknownModel("model: no model is called m"),
        from_status("UNIMPLEMENTED", "decoding.nat: not implemented"),
        from_status("DEADLINE_EXCEEDED", "Deadline Exceeded"),
        InvalidRequest("decoding.beam_size: 99 is above the limit of 12"),
        InvalidRequest("model: name a model or a language pair"),
    ],
    ids=lambda error: str(error)[:12],
)
def test_what_every_text_would_meet_is_raised(error: DragomanError) -> None:
    """Once, and not for each of a million lines."""
    play = Play(lambda texts: error)

    with pytest.raises(type(error)) as caught:
        play.texts("a", "b")
    assert caught.value is error
    assert len(play.sent) == 1


def test_a_text_that_cannot_be_sent_is_its_own_error() -> None:
    """A lone surrogate has no UTF-8, and its neighbours go without it."""
    first, second = Play(lambda texts: None).texts("\ud800", "b")

    assert isinstance(first, InvalidRequest)
    assert second == "B"
