"""Connections that bring more than memory holds: the last resort, before the kernel ends the process.

What comes before a call begins is kept by gRPC's core, outside every limit of this server: until a client has confirmed
the server's settings, 16 MiB of headers for each call, and as many calls as it likes. So while hardly any memory is
left, the connections that have brought the most of late are cut off, with all of their calls; clients of whom that was
unjust try again.
"""

import os
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

LATELY_S = 10.0
"""Twice as long as a client may go on without confirming the settings."""
LOOK_S = 1.0
LEAST_BYTES = 8 << 20
"""Who has brought less takes no memory away."""
SHARE = 0.25
"""Of what the heaviest has brought: who has brought as much is cut off, too."""
_FILES = Path("/proc/self/fd")
_ESTABLISHED = 1
_RECEIVED = struct.Struct("Q")
_RECEIVED_AT = 128
"""Where `tcp_info` has the bytes that were received."""


class Floods:
    """What the connections to some ports have brought of late. Used by one thread."""

    def __init__(self, ports: Callable[[], Collection[int]], clock: Callable[[], float] = time.monotonic) -> None:
        self._ports, self._clock = ports, clock
        self._looks: deque[tuple[float, Mapping[int, int]]] = deque()
        """The oldest first: bytes by connection, which is the number of its socket."""

    def look(self) -> None:
        """Note what they have brought, once in a while."""
        now_s = self._clock()
        if self._looks and now_s - self._looks[-1][0] < LOOK_S:
            return
        while self._looks and now_s - self._looks[0][0] > LATELY_S:
            self._looks.popleft()
        self._looks.append((now_s, {number: size for number, _, size in _received(self._ports())}))

    def cut(self) -> int:
        """Cut off those that have brought the most; how many these were."""
        _, before = self._looks[0] if self._looks else (0.0, {})
        brought = [(size - before.get(number, 0), number, file) for number, file, size in _received(self._ports())]
        least = max(LEAST_BYTES, SHARE * max(brought)[0]) if brought else LEAST_BYTES
        return sum(_cut(file, number) for size, number, file in brought if size >= least)


def _received(ports: Collection[int]) -> Iterator[tuple[int, int, int]]:
    """Each connection to the ports: its socket's number, its file, and how many bytes have come."""
    for name in os.listdir(_FILES):
        with suppress(OSError, ValueError):  # it is closed, or no socket of TCP
            kind, _, number = os.readlink(_FILES / name).partition(":[")
            if kind == "socket":
                # Of a number, so that no descriptor is needed where none may be left.
                connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM, fileno=int(name))
                try:
                    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
                    if info[0] == _ESTABLISHED and connection.getsockname()[1] in ports:
                        yield int(number[:-1]), int(name), _RECEIVED.unpack_from(info, _RECEIVED_AT)[0]
                finally:
                    connection.detach()


def _cut(file: int, number: int) -> bool:
    """End a connection; False where it has ended meanwhile."""
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_STREAM, fileno=os.dup(file)) as connection:
        if os.fstat(connection.fileno()).st_ino == number:
            connection.shutdown(socket.SHUT_RDWR)
            return True
    return False
