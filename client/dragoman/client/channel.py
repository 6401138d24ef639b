"""How the client reaches servers: the address, and what gRPC does about failures by itself."""

import asyncio
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import grpc

from dragoman.client.errors import Cancelled, from_call

DEFAULT_PORT = 50051
DEFAULT_SERVER = f"127.0.0.1:{DEFAULT_PORT}"
DEFAULT_TIMEOUT_S = 60.0

MAX_RECEIVE_BYTES = 64 * 2**20
"""Many hypotheses with their scores are larger than gRPC's own limit of 4 MiB."""

SERVICE_CONFIG = {
    # One connection to each address of the name, and calls spread over them.
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [{"service": "dragoman.v1.TranslationService"}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.1s",
                "maxBackoff": "2s",
                "backoffMultiplier": 3,
                # CANCELLED by the server is what becomes of a call that arrives in the moment in which it stops.
                # Never DEADLINE_EXCEEDED: a second try would add load to a server that is too slow already.
                "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "CANCELLED"],
            },
        }
    ],
    # After 50 failures in a row no more retries, until one call in ten goes well again.
    "retryThrottling": {"maxTokens": 100, "tokenRatio": 0.1},
}

OPTIONS: tuple[tuple[str, str | int], ...] = (
    ("grpc.service_config", json.dumps(SERVICE_CONFIG)),
    ("grpc.max_receive_message_length", MAX_RECEIVE_BYTES),
    ("grpc.max_send_message_length", -1),  # the server's limit holds, and it says what it is
)

_LOCAL = re.compile(r"(unix(-abstract)?:|(dns:/*|ipv[46]:)?(localhost|127\.\d+\.\d+\.\d+|::1|\[::1\])(:\d+)?$)")
_SCHEMES = ("dns:", "unix:", "unix-abstract:", "ipv4:", "ipv6:", "vsock:", "xds:")


def target(server: str) -> str:
    """A gRPC target for what people write: `HOST:PORT` is looked up again when connections are lost."""
    if server.startswith(_SCHEMES):
        return server
    if server.count(":") > 1 and not server.startswith("["):
        server = f"[{server}]"  # an IPv6 address, whose colons are its own
    has_port = ":" in server.rpartition("]")[2]
    return f"dns:///{server}" if has_port else f"dns:///{server}:{DEFAULT_PORT}"


@dataclass(frozen=True)
class Connection:
    """A server and what a channel to it is opened with, as `Client` takes them."""

    server: str
    credentials: grpc.ChannelCredentials | None = None


def connection(server: str, tls: Sequence[Path | None] | None, token: str | None) -> Connection:
    """To a server, over TLS where there are files for it: authorities, key and certificate, or None for the system's
    authorities and for no certificate. Raises `ValueError` where a token would travel in plain text.
    """
    files = [None if path is None else path.read_bytes() for path in tls or ()]
    credentials = None if tls is None else grpc.ssl_channel_credentials(*files)
    return Connection(server, credentials_of(server, credentials, token))


def credentials_of(
    server: str, credentials: grpc.ChannelCredentials | None, token: str | None
) -> grpc.ChannelCredentials | None:
    """What a channel is opened with; None: plain. A token is never sent in plain text, but within this machine."""
    if token is None:
        return credentials
    if credentials is None:
        if not _LOCAL.match(server):
            raise ValueError(f"a token for {server} would travel in plain text: pass credentials, too")
        is_unix = server.startswith("unix")
        kind = grpc.LocalConnectionType.UDS if is_unix else grpc.LocalConnectionType.LOCAL_TCP
        credentials = grpc.local_channel_credentials(kind)
    return grpc.composite_channel_credentials(credentials, grpc.access_token_call_credentials(token))


@contextmanager
def client_errors(is_closed: Callable[[], bool]) -> Iterator[None]:
    """Turn gRPC's errors, blocking or asyncio, into the client's."""
    if is_closed():
        raise Cancelled("the client is closed: make another one")
    try:
        yield
    except grpc.RpcError as error:
        # What is raised is always a call that has ended, which the class does not say.
        raise from_call(cast(Any, error)) from error
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if not is_closed() or (task and task.cancelling()):
            raise  # whoever cancelled the task waits for this
        raise Cancelled("the client was closed while the call was under way") from error
