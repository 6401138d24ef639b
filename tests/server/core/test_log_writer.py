"""A log that nobody reads."""

import errno
import threading

from dragoman.server.core.log_writer import LogWriter

LONG_S = 10


class Pipe:
    """Takes what it is given while it is open, seven bytes at a time."""

    def __init__(self) -> None:
        self.taken = b""
        self.is_open = threading.Event()
        self.is_open.set()
        self.is_asked = threading.Event()
        self.error: int | None = None

    def write(self, data: bytes) -> int:
        self.is_asked.set()
        self.is_open.wait()
        if self.error is not None:
            raise OSError(self.error, "")
        self.taken += data[:7]
        return len(data[:7])


def test_lines_are_written_in_order_and_whole() -> None:
    """However little the pipe takes at a time."""
    pipe = Pipe()
    writer = LogWriter(lambda _: None, pipe.write)

    for n in range(1000):
        writer.write(f"line {n} \U0001f415 \udc80\n")
    assert writer.settle(LONG_S)

    assert pipe.taken.decode() == "".join(f"line {n} \U0001f415 \\udc80\n" for n in range(1000))
    assert writer.dropped == 0


def test_nobody_waits_for_a_pipe_that_nobody_reads() -> None:
    """What does not fit is dropped; when lines flow again it is said how many were."""
    pipe, told = Pipe(), []
    writer = LogWriter(told.append, pipe.write, max_lines=3)
    pipe.is_open.clear()
    writer.write("first\n")
    assert pipe.is_asked.wait(LONG_S)

    for n in range(5):
        writer.write(f"{n}\n")
    assert not writer.settle(0.01)
    assert (writer.dropped, told) == (2, [])
    pipe.is_open.set()
    assert writer.settle(LONG_S)

    assert pipe.taken == b"first\n0\n1\n2\n"
    assert told == [2]
    assert repr(writer) == "<LogWriter 0 lines wait, 2 dropped>"


def test_a_disk_that_is_full_drops_lines_and_goes_on() -> None:
    """And so does a pipe whose reader is gone."""
    pipe, told = Pipe(), []
    writer = LogWriter(told.append, pipe.write)
    for number in (errno.ENOSPC, errno.EPIPE):
        pipe.error = number
        writer.write("lost\n")
        assert writer.settle(LONG_S)
    pipe.error = None

    writer.write("kept\n")
    assert writer.settle(LONG_S)

    assert (pipe.taken, told) == (b"kept\n", [2])
