"""Lines as they come."""

import io
import os
from itertools import islice

import pytest

from dragoman.client.commands.arrivals import Lines, Writing


def test_a_line_is_given_before_the_next_has_come() -> None:
    """A writer that waits for its answer gets it: a partial batch, then the sign that no more is there for now."""
    reading, writing = os.pipe()
    with open(reading, "rb") as file, open(writing, "wb", buffering=0) as pipe:
        batches = Lines(file).batches(32, 1000)
        pipe.write(b"one\ntwo\nthr")
        assert list(islice(batches, 2)) == [["one", "two"], []]
        pipe.write(b"ee\n")
        assert list(islice(batches, 2)) == [["three"], []]
        pipe.write(b"end")
        pipe.close()
        assert [one for one in batches if one] == [["end"]]


def test_a_full_batch_is_followed_by_the_sign_of_a_pause_too() -> None:
    """Answers to a batch that happens to be full are not kept back until more lines come."""
    reading, writing = os.pipe()
    with open(reading, "rb") as file, open(writing, "wb", buffering=0) as pipe:
        batches = Lines(file).batches(2, 1000)
        pipe.write(b"one\ntwo\n")
        assert list(islice(batches, 2)) == [["one", "two"], []]


def test_lines_of_a_large_file_survive_the_cuts_of_reading() -> None:
    """Characters of several bytes and lines cross the edges of what is read at once; bad bytes keep their place."""
    lines = [f"línea {i}".encode() * (i % 40) for i in range(20_000)]
    lines[7_000] = b"\xc3"
    source = Lines(io.BytesIO(b"\n".join(lines)))

    texts = [text for batch in source.batches(32, 16_000) for text in batch]

    assert len(texts) == len(lines)
    assert [text.encode() for i, text in enumerate(texts) if i != 7_000] == lines[:7_000] + lines[7_001:]
    assert list(source.errors) == [7_000]


def test_an_error_of_reading_is_the_readers() -> None:
    """It is raised where the lines are read, not lost in a thread."""

    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError("disk gone")

    with pytest.raises(OSError, match="disk gone"):
        list(Lines(Broken()).batches(2, 10))


def test_a_line_ends_as_it_did() -> None:
    """In one carriage return at most; the last one perhaps not at all. Other white space is the line's own."""
    source = Lines(io.BytesIO(b"a\r\nb\n\r\n c \r\r\nd\r"))

    texts = [text for batch in source.batches(2, 1000) for text in batch]

    assert texts == ["a", "b", "", " c \r", "d\r"]
    assert [source.end(index) for index in range(5)] == ["\r\n", "\n", "\r\n", "\r\n", ""]


def test_a_line_is_told_while_it_is_written() -> None:
    """Whenever there is more of it; half a character waits, and what is passed over is told at its end alone."""
    reading, writing = os.pipe()
    with open(reading, "rb") as file, open(writing, "wb", buffering=0) as pipe:
        source = Writing(file)
        lines = source.lines()
        for piece, text, end in ((b"on\xc3", "on", None), (b"\xa9\r\n", "oné", "\r\n"), (b"\xff", "", None)):
            pipe.write(piece)
            told = next(lines)
            assert (told.text, told.end) == (text, end)
        assert str(told.error) == "not UTF-8 (invalid start byte at byte 0)"
        source.pass_over()
        pipe.write(b"more")
        pipe.write(b" of it\nlast")
        assert [(told.text, told.end) for told in islice(lines, 2)] == [("", "\n"), ("last", None)]
        pipe.close()
        assert [(told.text, told.end) for told in lines] == [("last", "")]


@pytest.mark.parametrize(("begun", "rest"), [(b"bad", b" one\r\n"), (b"bad\r", b"\n")])
def test_a_line_that_is_passed_over_ends_as_it_did(begun: bytes, rest: bytes) -> None:
    """Also where its end comes in two pieces."""
    reading, writing = os.pipe()
    with open(reading, "rb") as file, open(writing, "wb", buffering=0) as pipe:
        source = Writing(file)
        lines = source.lines()
        pipe.write(begun)
        next(lines)
        source.pass_over()
        pipe.write(rest)
        assert next(lines).end == "\r\n"


@pytest.mark.parametrize("data", [b"", b"\n", b"a\n\nb\n", b"a\nb", b"\xff\nb" * 50_000])
def test_each_line_ends_once(data: bytes) -> None:
    """Also where all of it is there at once, and where its end has no line end."""
    ends = [told.end for told in Writing(io.BytesIO(data)).lines() if told.end is not None]

    assert len(ends) == len(data.splitlines())
    assert ends[-1:] == ([] if not data else ["\n" if data.endswith(b"\n") else ""])
