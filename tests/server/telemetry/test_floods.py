"""Connections that bring too much are cut off, and no others."""

import socket
import threading
from collections.abc import Iterator

import pytest

from dragoman.server.telemetry import floods
from dragoman.server.telemetry.floods import Floods

MIB = 1 << 20


class Listener:
    """Takes what comes, and throws it away."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._taken: list[socket.socket] = []

    def connect(self) -> tuple[socket.socket, socket.socket]:
        """Both ends of a connection."""
        client = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        server, _ = self._socket.accept()
        self._taken += [client, server]
        return client, server

    def close(self) -> None:
        for each in (*self._taken, self._socket):
            each.close()


def send(client: socket.socket, server: socket.socket, size: int) -> None:
    """So many bytes, read as they come."""
    sending = threading.Thread(target=client.sendall, args=(bytes(size),))
    sending.start()
    while size:
        size -= len(server.recv(min(size, MIB)))
    sending.join()


def is_cut(client: socket.socket) -> bool:
    client.settimeout(0.05)
    try:
        return client.recv(1) == b""
    except TimeoutError:
        return False


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.close()


def test_those_that_bring_the_most_are_cut_off(listener: Listener) -> None:
    """And those that bring nearly as much; not those that bring little, nor connections to other ports."""
    other = Listener()
    ends = [listener.connect() for _ in range(4)] + [other.connect()]
    watched = Floods(lambda: [listener.port])
    for (client, server), size in zip(ends, (40 * MIB, 12 * MIB, 9 * MIB, 0, 50 * MIB), strict=True):
        send(client, server, size)

    assert watched.cut() == 2
    assert [is_cut(client) for client, _ in ends] == [True, True, False, False, False]
    assert watched.cut() == 1, "what is cut off is counted no more"
    other.close()


def test_only_what_was_brought_of_late_counts(listener: Listener) -> None:
    """A connection that has brought much in hours is not one that brings much now."""
    now_s = 0.0
    watched = Floods(lambda: [listener.port], lambda: now_s)
    old, new = listener.connect(), listener.connect()
    send(*old, 60 * MIB)
    watched.look()
    now_s += floods.LATELY_S / 2
    watched.look()
    send(*new, 10 * MIB)
    send(*old, 1 * MIB)

    assert watched.cut() == 1
    assert (is_cut(old[0]), is_cut(new[0])) == (False, True)


def test_looks_are_forgotten(listener: Listener) -> None:
    """One is made once a second at most, and none is kept that is older than what counts."""
    now_s = 0.0
    watched = Floods(lambda: [listener.port], lambda: now_s)
    listener.connect()
    for _ in range(1_000):
        watched.look()
        now_s += 0.1

    assert len(watched._looks) <= floods.LATELY_S / floods.LOOK_S + 2


def test_nothing_is_cut_where_nothing_comes(listener: Listener) -> None:
    """No connection, or none that has brought much."""
    watched = Floods(lambda: [listener.port])
    assert watched.cut() == 0
    client, server = listener.connect()
    send(client, server, 7 * MIB)
    assert watched.cut() == 0
    assert not is_cut(client)
