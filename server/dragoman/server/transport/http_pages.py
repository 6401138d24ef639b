"""`/metrics`, `/healthz` and `/livez` over HTTP, on a thread of their own: they answer even where gRPC cannot."""

import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from dragoman.server.core.addresses import split_address
from dragoman.server.core.errors import StartError

_IDLE_TIMEOUT_S = 30
_POLL_S = 0.1
"""How often the thread that listens looks whether it shall stop."""
_TEXT = "text/plain; charset=utf-8"


class HttpServer:
    """Answers while the process lives; `is_ready` decides what `/healthz` says, `is_live` what `/livez` says."""

    def __init__(
        self, address: str, registry: CollectorRegistry, is_ready: Callable[[], bool], is_live: Callable[[], bool]
    ) -> None:
        self._registry, self._is_ready, self._is_live = registry, is_ready, is_live

        class Page(_Page):
            get = staticmethod(self._get)

        try:
            self._server = _Server(split_address(address), Page)
        except OSError as error:
            reason = f"{error.strerror or error}; stop what does, or choose another port"
            raise StartError(
                f"--metrics-listen {address}: cannot listen there: {listen_problem(address, reason)}"
            ) from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": _POLL_S}, name="http", daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

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


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], page: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, page)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away in the middle is no event of ours."""


def _verdict(word: str, *, holds: bool) -> tuple[int, str, bytes]:
    return (200, _TEXT, f"{word}\n".encode()) if holds else (503, _TEXT, f"not {word}\n".encode())


class _Page(BaseHTTPRequestHandler):
    get: Callable[[str, str], tuple[int, str, bytes]]
    timeout = _IDLE_TIMEOUT_S
    server_version = "dragoman"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer a GET."""
        status, content_type, content = self.get(urlsplit(self.path).path, self.headers.get("Accept") or "")
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_HEAD = do_GET  # noqa: N815 - the base class looks for this name

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Scrapes are not logged."""


def listen_problem(address: str, reason: str) -> str:
    """Why a checked HOST:PORT cannot be listened on: `reason`, unless its host is not even known."""
    host, port = split_address(address)
    try:
        socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        return f"the host {host} cannot be resolved ({error.strerror}): name one of this machine's, such as 0.0.0.0"
    return reason
