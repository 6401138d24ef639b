"""Events as lines."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from dragoman.server.core import logs

LOGGER = logging.getLogger("dragoman.server.example")


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Leave the project's logger as it was found."""
    project = logging.getLogger(logs.ROOT)
    before = (project.handlers, project.level, project.propagate)
    yield
    project.handlers, project.level, project.propagate = before


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
