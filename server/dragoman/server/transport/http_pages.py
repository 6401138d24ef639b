"""`/metrics`, `/healthz` and `/livez` over HTTP, on a thread of their own: they answer even where gRPC cannot."""

import socket
from collections.abc import Callable

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from dragoman.server.core.addresses import split_address
from dragoman.server.core.errors import StartError
from dragoman.server.transport.http_listener import HttpListener

_TEXT = "text/plain; charset=utf-8"


class HttpServer:
    """Answers while the process lives; `is_ready` decides what `/healthz` says, `is_live` what `/livez` says."""

    def __init__(
        self, address: str, registry: CollectorRegistry, is_ready: Callable[[], bool], is_live: Callable[[], bool]
    ) -> None:
        self._registry, self._is_ready, self._is_live = registry, is_ready, is_live
        try:
            self._listener = HttpListener(address, self._get)
        except OSError as error:
            reason = f"{error.strerror or error}; stop what does, or choose another port"
            raise StartError(
                f"--metrics-listen {address}: cannot listen there: {listen_problem(address, reason)}"
            ) from error
        self.port = self._listener.port
        """The port that is listened on."""

    def close(self) -> None:
        """Stop listening."""
        self._listener.close()

    def _get(self, path: str, accept: str) -> tuple[int, str, bytes]:
        """A page's status, content type and content."""
        match path:
            case "/metrics":
                encode, content_type = choose_encoder(accept)
                return 200, content_type, encode(self._registry)
            case "/healthz":
                return _verdict("ready", holds=self._is_ready())
            case "/livez":
                return _verdict("live", holds=self._is_live())
            case _:
                return 404, _TEXT, b"/metrics, /healthz or /livez\n"


def _verdict(word: str, *, holds: bool) -> tuple[int, str, bytes]:
    return (200, _TEXT, f"{word}\n".encode()) if holds else (503, _TEXT, f"not {word}\n".encode())


def listen_problem(address: str, reason: str) -> str:
    """Why a checked HOST:PORT cannot be listened on: `reason`, unless its host is not even known."""
    host, port = split_address(address)
    try:
        socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        return f"the host {host} cannot be resolved ({error.strerror}): name one of this machine's, such as 0.0.0.0"
    return reason
