"""A server that answers whatever other clients do."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

import pytest

from dragoman.server.transport import http_listener
from dragoman.server.transport.http_listener import MAX_HEAD_BYTES, MAX_VISITS, HttpListener

LARGE = b"x" * 20_000_000


def answer(path: str, accept: str) -> tuple[int, str, bytes]:
    if path == "/broken":
        raise MemoryError
    return 200, "text/plain", LARGE if path == "/large" else f"{path} {accept}\n".encode()


@pytest.fixture
def listener() -> Iterator[HttpListener]:
    listener = HttpListener("127.0.0.1:0", answer)
    yield listener
    listener.close()


@pytest.fixture
def visit(listener: HttpListener) -> Iterator[Callable[..., socket.socket]]:
    """Opens connections, and sends what it is given."""
    with ExitStack() as stack:

        def connect(*sent: bytes) -> socket.socket:
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", listener.port), timeout=10))
            for data in sent:
                connection.sendall(data)
            return connection

        yield connect


def answered(connection: socket.socket) -> tuple[bytes, bytes]:
    """All that comes, as head and content; empty where the connection is closed without."""
    received = b""
    with suppress(ConnectionError):
        while data := connection.recv(1 << 20):
            received += data
    head, _, content = received.partition(b"\r\n\r\n")
    return head, content


@pytest.mark.parametrize(
    ("sent", "status", "content"),
    [
        (b"GET /livez?verbose HTTP/1.1\r\nHost: a\r\nAccept: text/x\r\n\r\n", b"200 OK", b"/livez text/x\n"),
        (b"GET /livez HTTP/1.0\n\n", b"200 OK", b"/livez \n"),
        (b"HEAD /livez HTTP/1.1\r\n\r\n", b"200 OK", b""),
        (b"POST /livez HTTP/1.1\r\n\r\n", b"405 Method Not Allowed", b"GET or HEAD\n"),
        (b"PRI * HTTP/2.0\r\n\r\n", b"400 Bad Request", b"not HTTP/1.1\n"),
        (b"\x16\x03\x01\r\n\r\n", b"400 Bad Request", b"not HTTP/1.1\n"),
        (b"GET /" + b"x" * MAX_HEAD_BYTES, b"431 Request Header Fields Too Large", b"the header is too long\n"),
    ],
)
def test_a_request_has_one_answer(
    visit: Callable[..., socket.socket], sent: bytes, status: bytes, content: bytes
) -> None:
    """And the connection ends with it."""
    head, got = answered(visit(sent))

    assert head.splitlines()[0] == b"HTTP/1.1 " + status
    assert b"Connection: close" in head.splitlines()
    assert got == content


def test_a_request_may_come_byte_by_byte(visit: Callable[..., socket.socket]) -> None:
    """Others are answered meanwhile."""
    slow = visit()
    for byte in b"GET /slow HTTP/1.1\r\n\r\n":
        slow.sendall(bytes([byte]))
        assert answered(visit(b"GET /quick HTTP/1.1\r\n\r\n"))[1] == b"/quick \n"

    assert answered(slow)[1] == b"/slow \n"


def test_a_large_answer_waits_for_its_reader_alone(visit: Callable[..., socket.socket]) -> None:
    """It is sent as it is read."""
    reader = visit(b"GET /large HTTP/1.1\r\n\r\n")

    assert answered(visit(b"GET /quick HTTP/1.1\r\n\r\n"))[1] == b"/quick \n"
    assert answered(reader)[1] == LARGE


def test_an_answer_that_cannot_be_made_ends_its_connection(visit: Callable[..., socket.socket]) -> None:
    """And no other."""
    assert answered(visit(b"GET /broken HTTP/1.1\r\n\r\n")) == (b"", b"")
    assert answered(visit(b"GET /quick HTTP/1.1\r\n\r\n"))[1] == b"/quick \n"


def test_one_more_than_there_may_be_ends_the_oldest(visit: Callable[..., socket.socket]) -> None:
    """So that nobody can hold all of them."""
    idle = [visit() for _ in range(MAX_VISITS)]
    assert answered(visit(b"GET /quick HTTP/1.1\r\n\r\n"))[1] == b"/quick \n"

    assert answered(idle[0]) == (b"", b"")
    idle[1].sendall(b"GET /late HTTP/1.1\r\n\r\n")
    assert answered(idle[1])[1] == b"/late \n"


def test_a_connection_has_its_time(monkeypatch: pytest.MonkeyPatch, visit: Callable[..., socket.socket]) -> None:
    """Whether or not it sends something now and then."""
    monkeypatch.setattr(http_listener, "LIMIT_S", 0.05)

    assert answered(visit(b"GET /slow")) == (b"", b"")


def test_it_is_closed_however_soon_its_thread_has_ended() -> None:
    """The thread may see that it is to end before it is woken for that."""
    listener = HttpListener("127.0.0.1:0", answer)

    class Late:
        """What wakes the thread, when it has ended."""

        def send(self, data: bytes) -> None:
            waker.send(data)
            listener._thread.join()
            waker.send(data)

        def close(self) -> None:
            waker.close()

    waker, listener._waker = listener._waker, Late()  # type: ignore[assignment]
    listener.close()
    assert waker.fileno() < 0


EXHAUSTED = """
import os, resource, sys, threading
from dragoman.server.transport.http_listener import HttpListener
listener = HttpListener("127.0.0.1:0", lambda path, accept: (200, "text/plain", b"live\\n"))
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
held = []
try:
    while True:
        held.append(os.dup(0))
except OSError:
    pass
print(listener.port, flush=True)
sys.stdin.readline()
before = sum(os.times()[:2])
threading.Event().wait(0.5)
print(sum(os.times()[:2]) - before, flush=True)
sys.stdin.readline()
"""


def test_there_is_an_answer_without_a_descriptor_to_be_had() -> None:
    """From those that were kept back, also where slow clients hold all of them; and no thread spins."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", EXHAUSTED]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environ) as process, ExitStack() as stack:
        assert process.stdin is not None
        assert process.stdout is not None
        address = ("127.0.0.1", int(process.stdout.readline()))

        def asked() -> bytes:
            with socket.create_connection(address, timeout=10) as connection:
                connection.sendall(b"GET /livez HTTP/1.1\r\n\r\n")
                return answered(connection)[1]

        assert [asked() for _ in range(30)] == [b"live\n"] * 30
        for _ in range(30):
            stack.enter_context(socket.create_connection(address, timeout=10)).sendall(b"GET /me")
        time.sleep(0.1)
        assert [asked() for _ in range(30)] == [b"live\n"] * 30
        process.stdin.write("\n")
        process.stdin.flush()
        assert float(process.stdout.readline()) < 0.3
        process.kill()


def test_after_its_end_nobody_listens() -> None:
    """Whoever was still there; the port can be had again."""
    listener = HttpListener("127.0.0.1:0", answer)
    with socket.create_connection(("127.0.0.1", listener.port), timeout=10) as slow:
        slow.sendall(b"GET /slow")
        assert "HttpListener on" in repr(listener)
        port = listener.port
        listener.close()
        assert answered(slow) == (b"", b"")

    HttpListener(f"127.0.0.1:{port}", answer).close()
