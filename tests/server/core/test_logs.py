"""Events as lines."""

import io
import json
import logging
import threading
from collections.abc import Iterator

import pytest

from dragoman.server.core import logs
from dragoman.server.core.log_writer import LogWriter

LOGGER = logging.getLogger("dragoman.server.example")


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Leave the project's logger as it was found."""
    loggers = [logging.getLogger(name) for name in (logs.ROOT, *logs.OTHERS)]
    before = [(logger.handlers, logger.level, logger.propagate) for logger in loggers]
    yield
    for logger, state in zip(loggers, before, strict=True):
        logger.handlers, logger.level, logger.propagate = state


def test_text_lines_have_quoted_fields() -> None:
    """A value that is not one plain word is quoted, so that a line can be taken apart again; there is one line only."""
    stream = io.StringIO()
    logs.configure("info", "text", stream)

    logs.event(LOGGER, logging.INFO, "drained", seconds=0.25, name="two words", odd='a"b\nc', empty="")

    line = stream.getvalue()
    assert line.endswith(' info drained seconds=0.25 name="two words" odd="a\\"b\\nc" empty=""\n')
    assert line.count("\n") == 1


def test_json_lines_are_json() -> None:
    """One object a line, with the level and the event's name."""
    stream = io.StringIO()
    logs.configure("debug", "json", stream)

    logs.event(LOGGER, logging.DEBUG, "call_ended", code="OK", seconds=0.5)

    fact = json.loads(stream.getvalue())
    assert fact.pop("time").endswith("Z")
    assert fact == {"level": "debug", "event": "call_ended", "code": "OK", "seconds": 0.5}


def test_an_exception_is_logged_without_its_message() -> None:
    """The message could quote a user's text; the type and the place are enough to find it."""
    stream = io.StringIO()
    logs.configure("info", "text", stream)

    try:
        raise ValueError("confidential text")
    except ValueError as error:
        logs.event(LOGGER, logging.ERROR, "internal_error", exc_info=error)

    assert "confidential" not in stream.getvalue()
    assert "error=ValueError" in stream.getvalue()
    assert "test_an_exception_is_logged_without_its_message:" in stream.getvalue()


def test_less_severe_events_are_not_written() -> None:
    """The level is a threshold."""
    stream = io.StringIO()
    logs.configure("warning", "text", stream)

    logs.event(LOGGER, logging.INFO, "draining")

    assert stream.getvalue() == ""


def test_what_libraries_say_is_a_line_too() -> None:
    """In a field, whatever it has in it: the line can still be taken apart."""
    stream = io.StringIO()
    logs.configure("info", "text", stream)

    logging.getLogger("asyncio").warning("a %s\nb", "x=y")
    logging.getLogger("asyncio").info("no warning")

    assert stream.getvalue().endswith(' warning log logger=asyncio message="a x=y\\nb"\n')
    assert stream.getvalue().count("\n") == 1


def test_last_words_come_behind_what_was_logged() -> None:
    """Whatever the log's stream is."""
    taken: list[bytes] = []

    def write(data: bytes) -> int:
        taken.append(data)
        return len(data)

    logs.configure("info", "text", LogWriter(lambda _: None, write))
    logs.event(LOGGER, logging.INFO, "ending")
    logs.last_words("all threads\n", 10)

    assert b"".join(taken).endswith(b" info ending\nall threads\n")
    assert logs.dropped() == 0


def test_last_words_are_not_waited_for_where_nobody_reads() -> None:
    """The process ends all the same."""
    let_go = threading.Event()

    def write(data: bytes) -> int:
        let_go.wait()
        return len(data)

    logs.configure("info", "text", LogWriter(lambda _: None, write))
    logs.last_words("all threads\n", 0.01)
    let_go.set()
