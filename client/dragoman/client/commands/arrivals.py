"""Lines of a file or a pipe in batches, which do not wait for the end: what has come is sent while the rest comes."""

import codecs
import queue
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

from dragoman.client import codec
from dragoman.client.errors import DragomanError, InvalidRequest

LINGER_S = 0.05
"""Longest wait for more lines before those that have come are sent."""
CHUNK_BYTES = 65_536
MAX_CHUNKS = 64
"""What is read ahead of the translations at most."""


class Chunks:
    """What comes of a file, read by a thread of its own, so that nothing else has to wait for it."""

    def __init__(self, file: BinaryIO) -> None:
        # Not through the file's own buffer: the lock that a waiting thread holds there makes the interpreter end badly.
        self._file = getattr(file, "raw", file)
        self._chunks: queue.Queue[bytes | Exception] = queue.Queue(MAX_CHUNKS)
        self._is_left = threading.Event()

    def __enter__(self) -> "Chunks":
        threading.Thread(target=self._read, name="lines", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_left.set()
        with suppress(queue.Empty):
            self._chunks.get_nowait()  # room for the thread to see that it is over

    def next(self, timeout_s: float | None) -> bytes | None:
        """The next bytes; empty at the end, None where nothing came in time."""
        try:
            chunk = self._chunks.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if isinstance(chunk, Exception):
            raise chunk
        return chunk

    def _read(self) -> None:
        """What the thread does."""
        try:
            while not self._is_left.is_set():
                chunk = self._file.read(CHUNK_BYTES)
                self._chunks.put(chunk)
                if not chunk:
                    return
        except (OSError, ValueError) as error:  # ValueError: the file was closed
            self._chunks.put(error)


@dataclass(frozen=True)
class Written:
    """A line as far as it has come."""

    text: str
    end: str | None
    """What it ends with; None where it goes on."""
    error: DragomanError | None = None
    """Why it cannot be read; there is no text then."""


class Writing:
    """The lines of a file while they are being written."""

    def __init__(self, file: BinaryIO) -> None:
        self._chunks = Chunks(file)
        self._is_passed_over = False

    def pass_over(self) -> None:
        """Read no more of the line that is being written; only its end is told."""
        self._is_passed_over = True

    def lines(self) -> Iterator[Written]:
        """Each line as far as it is written, whenever there is more of it, and once more when it is whole."""
        rest, is_open = b"", True
        with self._chunks as chunks:
            while is_open:
                # Of a line that is passed over, what may be half of its end.
                come = [rest[-1:] if self._is_passed_over else rest, chunks.next(None)]
                while come[-1] and len(come) < MAX_CHUNKS:
                    come.append(chunks.next(0))
                is_open = come[-1] != b""
                *ended, rest = b"".join(filter(None, come)).split(b"\n")
                for line in ended:
                    yield self._written(line, "\n")
                    self._is_passed_over = False
                if is_open and rest and not self._is_passed_over:
                    yield self._written(rest, None)
        if rest or self._is_passed_over:
            yield self._written(rest, "")

    def _written(self, line: bytes, end: str | None) -> Written:
        if end and line.endswith(b"\r"):
            line, end = line[:-1], "\r\n"
        if self._is_passed_over:
            return Written("", end)
        try:
            text, _ = codecs.utf_8_decode(line, "strict", end is not None)  # half a character waits for the other half
        except UnicodeDecodeError as error:
            return Written("", end, not_utf8(error))
        return Written(text, end)


def not_utf8(error: UnicodeDecodeError) -> DragomanError:
    """What is wrong with a line that cannot be decoded."""
    return InvalidRequest(f"not UTF-8 ({error.reason} at byte {error.start})")


class Lines:
    """The lines of a file, read once. What is not UTF-8 becomes an empty text, and its error is kept."""

    def __init__(self, file: BinaryIO) -> None:
        self._chunks = Chunks(file)
        self._num_lines = 0
        self._ends: dict[int, str] = {}
        self.errors: dict[int, DragomanError] = {}
        """The errors of lines, by the position of the line from 0."""

    def batches(self, size: int, max_bytes: int) -> Iterator[list[str]]:
        """The lines without their ends, as soon as they come. An empty batch says that no more are there for now."""
        lines: list[bytes] = []
        rest, is_open, is_idle = b"", True, True
        with self._chunks as chunks:
            while is_open:
                chunk = chunks.next(None if is_idle else LINGER_S)
                end_s = time.monotonic() + LINGER_S
                while chunk:
                    *added, rest = (rest + chunk).split(b"\n")
                    lines += added
                    if len(lines) >= size:
                        break
                    chunk = chunks.next(max(0.0, end_s - time.monotonic()))
                is_open, is_idle = chunk != b"", chunk is None
                if rest and not is_open:
                    self._ends[self._num_lines + len(lines)] = ""
                    lines.append(rest)
                # While more comes at once, batches are full.
                num_ready = len(lines) // size * size if chunk else len(lines)
                ready, lines = lines[:num_ready], lines[num_ready:]
                yield from codec.batches(map(self._text, ready), size, max_bytes)
                if is_idle:
                    yield []

    def end(self, index: int) -> str:
        """What a line ended with; asked for once."""
        return self._ends.pop(index, "\n")

    def _text(self, line: bytes) -> str:
        """A line as a text, without its end."""
        index, self._num_lines = self._num_lines, self._num_lines + 1
        if line.endswith(b"\r") and index not in self._ends:
            self._ends[index] = "\r\n"
            line = line[:-1]
        try:
            return line.decode("utf-8")
        except UnicodeDecodeError as error:
            self.errors[index] = not_utf8(error)
            return ""
