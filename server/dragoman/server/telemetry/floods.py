"""Connections that bring more than memory holds: the last resort, before the kernel ends the process.

What comes before a call begins is kept by gRPC's core, outside every limit of this server: until a client has confirmed
the server's settings, for which it has some seconds, 16 MiB of headers on each of its connections. So new connections
are cut off when they have brought too much of which no call has come; and while hardly any memory is left, all that
have brought the most of late, with all of their calls. Clients of whom that was unjust try again.
"""

import ctypes
import os
import socket
import struct
import time
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from dragoman.server.telemetry import sockets
from dragoman.server.telemetry.sockets import LIBRARY, peer_port

LATELY_S = 10.0
"""Twice as long as a client may go on without confirming the settings."""
LOOK_S = 1.0
LEAST_BYTES = 8 << 20
"""Who has brought less takes no memory away."""
LEAST_LOOSE_BYTES = 32 << 10
"""What a new client may have brought without a call, whatever others bring: all headers that it may send, and more."""
HOLD_S = 0.9
"""How long nobody new is let in after that: who comes at once takes all time from whoever frees what is cut off."""
SHARE = 0.25
"""Of what the heaviest has brought: who has brought as much is cut off, too."""
_ATTACH_FILTER, _DETACH_FILTER = 26, 27
_RETURN = 6
_RECEIVED = struct.Struct("Q")
_RECEIVED_AT = 128
"""Where `tcp_info` has the bytes that were received."""
_NOWHERE = bytes(16)
"""The address that a connection is cut off by: its family is AF_UNSPEC."""


@dataclass(frozen=True, slots=True)
class _Connection:
    """One of gRPC's: its file, its client's port, and how many bytes have come."""

    file: int
    port: int
    size: int

    @property
    def key(self) -> tuple[int, int]:
        """What no other connection has at the same time, nor soon after."""
        return self.file, self.port


class Floods:
    """What the connections to some ports have brought of late. Used by one thread, but for `bring`."""

    def __init__(
        self,
        ports: Callable[[], Collection[int]],
        most_loose_bytes: int = 64 << 20,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ports, self._most_loose_bytes, self._clock = ports, most_loose_bytes, clock
        self._looks: deque[tuple[float, Mapping[tuple[int, int], int]]] = deque()
        """The oldest first: bytes by connection."""
        self._brought: defaultdict[bytes, int] = defaultdict(int)
        """Bytes that have come with calls since the last look, by the client's address."""
        self._called: dict[int, int] = {}
        """Those of before, by the client's port: its host is written in too many ways."""
        self._held_until_s = 0.0
        """Until then nobody new is let in; 0 where everybody is."""

    def bring(self, peer: bytes, size: int) -> None:
        """So many bytes of calls have come from there. Of any thread."""
        self._brought[peer] += size

    def look(self) -> None:
        """Note what they have brought, once in a while."""
        now_s = self._clock()
        if 0 < self._held_until_s < now_s:
            self._release()
        if self._looks and now_s - self._looks[-1][0] < LOOK_S:
            return
        while self._looks and now_s - self._looks[0][0] > LATELY_S:
            self._looks.popleft()
        connections = list(self._connections())
        self._looks.append((now_s, {each.key: each.size for each in connections}))
        self._count({each.port for each in connections})

    def cut(self) -> int:
        """Cut off those that have brought the most; how many these were."""
        before = self._before()
        brought = [(each.size - before.get(each.key, 0), each) for each in self._connections()]
        heaviest = max((size for size, _ in brought), default=0)
        return sum(_cut(each) for size, each in brought if size >= max(LEAST_BYTES, SHARE * heaviest))

    def cut_loose(self) -> int:
        """Cut off the new ones that have brought much without a call, if it is too much; how many these were."""
        before, connections = self._before(), list(self._connections())
        self._count({each.port for each in connections})
        new = [each for each in connections if each.key not in before]
        loose = [(each.size - self._called.get(each.port, 0), each) for each in new]
        heavy = [(size, each) for size, each in loose if size >= LEAST_LOOSE_BYTES]
        if sum(size for size, _ in heavy) < self._most_loose_bytes:
            return 0
        number = sum(_cut(each) for _, each in heavy)
        self._hold()
        return number

    def _before(self) -> Mapping[tuple[int, int], int]:
        """The connections of a while ago."""
        return self._looks[0][1] if self._looks else {}

    def _count(self, ports: Collection[int]) -> None:
        """What has come with calls is noted, of these clients; the others are gone."""
        called = {port: self._called.get(port, 0) for port in ports}
        for peer in list(self._brought):
            _, _, port = peer.rpartition(b":")
            size = self._brought.pop(peer, 0)
            if port.isdigit() and int(port) in called:
                called[int(port)] += size
        self._called = called

    def _connections(self) -> Iterator[_Connection]:
        for file, info in sockets.established(self._ports()):
            (size,) = _RECEIVED.unpack_from(info, _RECEIVED_AT)
            if port := peer_port(file):
                yield _Connection(file, port, size)

    def _hold(self) -> None:
        """Let nobody in: what comes to the ports is dropped by the kernel, and clients try again after a second."""
        self._held_until_s = self._clock() + HOLD_S
        nothing = ctypes.create_string_buffer(struct.pack("HBBI", _RETURN, 0, 0, 0))
        program = struct.pack("HP", 1, ctypes.addressof(nothing))
        for file, _ in sockets.listening(self._ports()):
            LIBRARY.setsockopt(file, socket.SOL_SOCKET, _ATTACH_FILTER, program, len(program))

    def _release(self) -> None:
        self._held_until_s = 0.0
        for file, _ in sockets.listening(self._ports()):
            LIBRARY.setsockopt(file, socket.SOL_SOCKET, _DETACH_FILTER, bytes(4), 4)


def _cut(connection: _Connection) -> bool:
    """End a connection; False where it has ended meanwhile.

    What has come of it and is not read yet, which may be megabytes, is thrown away: after a shutdown it would be read.
    """
    with suppress(OSError):
        file = os.dup(connection.file)  # which nobody can close between the two looks at it
        try:
            is_same = peer_port(file) == connection.port
            return is_same and not LIBRARY.connect(file, _NOWHERE, len(_NOWHERE))
        finally:
            os.close(file)
    return False
