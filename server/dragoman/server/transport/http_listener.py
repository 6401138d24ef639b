"""A small HTTP server on one thread, which answers while little else does: it holds up probes for nobody.

All connections are watched at once, so that none waits for another's bytes. There are few of them: when one more
comes, the oldest goes, and each goes after `LIMIT_S`. Some file descriptors are kept back: where the process has no
other left, one of them is given up for the connection that comes, and taken again as that connection ends.
"""

import os
import selectors
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from urllib.parse import urlsplit

from dragoman.server.core.addresses import split_address

Answer = Callable[[str, str], tuple[int, str, bytes]]
"""From a path and what is accepted to a status, a content type and a content."""

MAX_VISITS = 64
LIMIT_S = 10.0
"""From a connection's arrival to the end of its answer."""
MAX_HEAD_BYTES = 16 * 1024
KEPT_DESCRIPTORS = 8
_BACKLOG = 128
_PAUSE_S = 0.1
"""How long nobody is accepted where even a kept descriptor was of no use."""


class _Visit:
    """A connection: one request, one answer."""

    def __init__(self, connection: socket.socket, since_s: float) -> None:
        self.connection, self.since_s = connection, since_s
        self.received = b""
        self.answer = memoryview(b"")


class HttpListener:
    """Answers GET and HEAD from its making to `close`. Raises OSError where it cannot listen."""

    def __init__(self, address: str, answer: Answer, clock: Callable[[], float] = time.monotonic) -> None:
        host, port = split_address(address)
        self._answer, self._clock = answer, clock
        both = ":" in host and socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, port), family=family, backlog=_BACKLOG, dualstack_ipv6=both)
        self._listener.settimeout(0)
        self._nothing = os.open(os.devnull, os.O_RDONLY)
        self._kept = [os.dup(self._nothing) for _ in range(KEPT_DESCRIPTORS)]
        self._visits: dict[int, _Visit] = {}
        """By file descriptor, the oldest first."""
        self._paused_until_s = 0.0
        self._wakes, self._waker = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wakes, selectors.EVENT_READ)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        return f"<HttpListener on {self.port}, {len(self._visits)} visits>"

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._listener.getsockname()[1])

    def close(self) -> None:
        """Stop listening; answers that are on their way have one second more. A second call changes nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        self._waker.send(b"\0")
        self._thread.join()
        for end in (self._wakes, self._waker):  # not by the thread, which may be done before it is woken
            end.close()

    def _run(self) -> None:
        while not self._is_closed:
            self._turn()
        self._listener.close()
        until_s = self._clock() + 1.0
        while any(visit.answer for visit in self._visits.values()) and self._clock() < until_s:
            for visit in list(self._visits.values()):
                self._send(visit)
            time.sleep(0.001)
        for visit in list(self._visits.values()):
            self._end(visit)
        self._selector.close()
        for descriptor in (self._nothing, *self._kept):
            os.close(descriptor)

    def _turn(self) -> None:
        """Wait for what comes next, and do it."""
        for key, _ in self._selector.select(self._patience_s()):
            if key.fileobj is self._listener:
                self._accept()
            elif visit := self._visits.get(key.fd):
                try:
                    self._go_on(visit)
                except Exception:  # noqa: BLE001 - a client that left, memory that is short: nobody else's business
                    self._end(visit)
        now_s = self._clock()
        for visit in list(self._visits.values()):
            if now_s - visit.since_s >= LIMIT_S:
                self._end(visit)
        if self._paused_until_s and now_s >= self._paused_until_s:
            self._paused_until_s = 0.0
            self._selector.register(self._listener, selectors.EVENT_READ)
        while len(self._kept) < KEPT_DESCRIPTORS and not self._visits:
            try:
                self._kept.append(os.dup(self._nothing))
            except OSError:
                break

    def _patience_s(self) -> float | None:
        """How long nothing has to be looked after by the clock."""
        if self._paused_until_s:
            return _PAUSE_S
        oldest = next(iter(self._visits.values()), None)
        return None if oldest is None else max(0.0, oldest.since_s + LIMIT_S - self._clock())

    def _accept(self) -> None:
        if len(self._visits) >= MAX_VISITS:
            self._end(next(iter(self._visits.values())))
        try:
            connection, _ = self._accepted()
        except BlockingIOError:
            return
        except OSError:  # others were quicker to take what was given up for it
            self._selector.unregister(self._listener)
            self._paused_until_s = self._clock() + _PAUSE_S
            return
        connection.settimeout(0)
        self._visits[connection.fileno()] = _Visit(connection, self._clock())
        self._selector.register(connection, selectors.EVENT_READ)

    def _accepted(self) -> tuple[socket.socket, object]:
        try:
            return self._listener.accept()
        except BlockingIOError:
            raise
        except OSError:
            if not self._kept and self._visits:
                self._end(next(iter(self._visits.values())))
            if not self._kept:
                raise
            os.close(self._kept.pop())
            return self._listener.accept()

    def _go_on(self, visit: _Visit) -> None:
        if visit.answer:
            self._send(visit)
            return
        data = visit.connection.recv(MAX_HEAD_BYTES)
        visit.received += data
        if not data:
            self._end(visit)
        elif b"\r\n\r\n" in visit.received or b"\n\n" in visit.received:
            self._reply(visit, *self._answered(visit.received))
        elif len(visit.received) > MAX_HEAD_BYTES:
            self._reply(visit, b"GET", 431, "text/plain", b"the header is too long\n")

    def _answered(self, received: bytes) -> tuple[bytes, int, str, bytes]:
        """A request's method, and its answer."""
        first, *fields = received.split(b"\n")
        words = first.split()
        if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
            return b"GET", 400, "text/plain", b"not HTTP/1.1\n"
        if words[0] not in (b"GET", b"HEAD"):
            return b"GET", 405, "text/plain", b"GET or HEAD\n"
        accept = next(
            (value for name, _, value in (field.partition(b":") for field in fields) if name.lower() == b"accept"), b""
        )
        return words[0], *self._answer(urlsplit(words[1].decode("latin-1")).path, accept.strip().decode("latin-1"))

    def _reply(self, visit: _Visit, method: bytes, status: int, content_type: str, content: bytes) -> None:
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nServer: dragoman\r\nConnection: close\r\n"
            f"Content-Type: {content_type}\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        visit.answer = memoryview(head.encode() + (b"" if method == b"HEAD" else content))
        self._selector.modify(visit.connection, selectors.EVENT_WRITE)
        self._send(visit)

    def _send(self, visit: _Visit) -> None:
        with suppress(BlockingIOError):
            while visit.answer:
                visit.answer = visit.answer[visit.connection.send(visit.answer) :]
            self._end(visit)

    def _end(self, visit: _Visit) -> None:
        """Close a connection. Its descriptor is kept where one was given up, before anybody else can take it."""
        descriptor = visit.connection.fileno()
        del self._visits[descriptor]
        self._selector.unregister(visit.connection)
        if len(self._kept) < KEPT_DESCRIPTORS and not self._is_closed:
            with suppress(OSError):
                visit.connection.shutdown(socket.SHUT_RDWR)
            os.dup2(self._nothing, descriptor)
            self._kept.append(visit.connection.detach())
        else:
            visit.connection.close()
