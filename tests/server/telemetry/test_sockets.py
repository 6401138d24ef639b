"""What the kernel says of this process's own sockets."""

import socket

from dragoman.server.telemetry import sockets


def files(found: object) -> list[int]:
    return [file for file, _ in found]  # type: ignore[attr-defined] # pairs


def test_connections_of_a_port_are_told_from_what_listens_there() -> None:
    """From the other ends, too, which are in this process but have another port, and from other ports."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_server(("127.0.0.1", 0)) as other:
        port = server.getsockname()[1]
        assert files(sockets.established([port])) == []
        assert files(sockets.listening([port])) == [server.fileno()]
        with socket.create_connection(("127.0.0.1", port)) as client:
            taken, (_, client_port) = server.accept()
            with taken, socket.create_connection(other.getsockname()), other.accept()[0]:
                assert files(sockets.established([port])) == [taken.fileno()]
                assert sockets.peer_port(taken.fileno()) == client_port
                assert sockets.peer_port(client.fileno()) == port
        assert files(sockets.established([port])) == []
        assert sockets.peer_port(server.fileno()) == 0
