"""`/metrics`, `/healthz` and `/livez` over HTTP, on a thread of their own: they answer even where gRPC cannot."""

import socket
from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from dragoman.server.core.addresses import split_address
from dragoman.server.core.errors import StartError
from dragoman.server.transport.http_listener import HttpListener

_TEXT = "text/plain; charset=utf-8"


Page = Callable[[str], tuple[int, str, bytes]]
"""A page's status, content type and content, for what a client accepts."""


def probes(is_ready: Callable[[], bool], is_live: Callable[[], bool]) -> dict[str, Page]:
    """The pages for whoever starts and stops the process."""
    return {
        "/healthz": lambda accept: _verdict("ready", holds=is_ready()),  # noqa: ARG005 - the same for all
        "/livez": lambda accept: _verdict("live", holds=is_live()),  # noqa: ARG005
    }


def metrics(registry: CollectorRegistry) -> dict[str, Page]:
    """The page for Prometheus."""

    def page(accept: str) -> tuple[int, str, bytes]:
        encode, content_type = choose_encoder(accept)
        return 200, content_type, encode(registry)

    return {"/metrics": page}


class HttpServer:
    """Answers with pages while the process lives. `flag` is the option that has the address."""

    def __init__(self, flag: str, address: str, pages: Mapping[str, Page]) -> None:
        self._pages = pages
        try:
            self._listener = HttpListener(address, self._get)
        except OSError as error:
            reason = f"{error.strerror or error}; stop what does, or choose another port"
            raise StartError(f"{flag} {address}: cannot listen there: {listen_problem(address, reason)}") from error
        self.port = self._listener.port
        """The port that is listened on."""

    def close(self) -> None:
        """Stop listening."""
        self._listener.close()

    def _get(self, path: str, accept: str) -> tuple[int, str, bytes]:
        page = self._pages.get(path)
        return page(accept) if page else (404, _TEXT, f"there is {' and '.join(self._pages)}\n".encode())


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
