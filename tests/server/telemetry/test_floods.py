"""Connections that bring too much are cut off, and no others."""

import select
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
        server, self.peer = self._socket.accept()
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
    except ConnectionResetError:
        return True
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
    watched = Floods(lambda: [listener.port], clock=lambda: now_s)
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
    watched = Floods(lambda: [listener.port], clock=lambda: now_s)
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


def test_what_is_cut_off_is_read_no_more(listener: Listener) -> None:
    """What has come of it and was not read yet is thrown away."""
    client, server = listener.connect()
    send(client, server, 9 * MIB)
    client.sendall(bytes(1000))

    assert Floods(lambda: [listener.port]).cut() == 1
    with pytest.raises(OSError, match=r"reset|not connected"):
        server.recv(1000)


def named(listener: Listener) -> bytes:
    """The last client, as gRPC's core writes it."""
    host, port = listener.peer
    return f"ipv4:{host}:{port}".encode()


def test_new_connections_that_call_nothing_are_cut_off(listener: Listener) -> None:
    """All of those that have brought more than the headers of a call, once that is too much together; not who calls."""
    watched = Floods(lambda: [listener.port], 10 * MIB)
    caller = listener.connect()
    send(*caller, 12 * MIB)
    watched.bring(named(listener), 7 * MIB)
    watched.bring(named(listener), 5 * MIB)
    light, first = listener.connect(), listener.connect()
    send(*light, 20_000)
    send(*first, 6 * MIB)
    assert watched.cut_loose() == 0, "it is not too much yet"

    second = listener.connect()
    send(*second, 5 * MIB)
    assert watched.cut_loose() == 2
    assert [is_cut(client) for client, _ in (caller, light, first, second)] == [False, False, True, True]


def test_old_connections_may_bring_what_they_like(listener: Listener) -> None:
    """Clients that have been there for a while have confirmed the settings, or the core has closed them."""
    now_s = 0.0
    watched = Floods(lambda: [listener.port], MIB, clock=lambda: now_s)
    old = listener.connect()
    watched.look()
    send(*old, 20 * MIB)

    assert watched.cut_loose() == 0
    assert not is_cut(old[0])


def test_nobody_is_let_in_for_a_moment(listener: Listener) -> None:
    """After new connections were cut off; those that there are go on, and who has tried meanwhile comes in later."""
    now_s = 0.0
    watched = Floods(lambda: [listener.port], MIB, clock=lambda: now_s)
    calm = listener.connect()
    send(*listener.connect(), 2 * MIB)
    assert watched.cut_loose() == 1

    coming = socket.socket()
    coming.setblocking(False)
    assert coming.connect_ex(("127.0.0.1", listener.port)) != 0
    _, let_in, _ = select.select([], [coming], [], 0.1)
    assert not let_in
    send(*calm, 1000)

    now_s += floods.HOLD_S + 0.1
    watched.look()
    _, let_in, _ = select.select([], [coming], [], 20)
    assert let_in
    coming.close()
    assert not is_cut(listener.connect()[0])


def test_calls_of_clients_that_have_gone_are_forgotten(listener: Listener) -> None:
    """A port that is used again begins anew, and what has no port is nobody's."""
    now_s = 0.0
    watched = Floods(lambda: [listener.port], MIB, clock=lambda: now_s)
    client, server = listener.connect()
    watched.bring(named(listener), 1000)
    watched.bring(b"unix:", 1000)
    watched.look()
    assert len(watched._called) == 1
    client.close()
    server.close()
    now_s += floods.LOOK_S
    watched.look()

    assert not watched._called
