"""How the client reaches servers: the address, and what gRPC does about failures by itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import grpc

from dragoman.client.errors import from_call

DEFAULT_SERVER = "127.0.0.1:50051"
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
                # Never DEADLINE_EXCEEDED: a second try would add load to a server that is too slow already.
                "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"],
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

_SCHEMES = ("dns:", "unix:", "unix-abstract:", "ipv4:", "ipv6:", "vsock:", "xds:")


def target(server: str) -> str:
    """A gRPC target for what people write: `HOST:PORT` is looked up again when connections are lost."""
    return server if server.startswith(_SCHEMES) else f"dns:///{server}"


@contextmanager
def own_errors() -> Iterator[None]:
    """Turn gRPC's errors, blocking or asyncio, into the client's own."""
    try:
        yield
    except grpc.RpcError as error:
        # What is raised is always a call that has ended, which the class does not say.
        raise from_call(cast(Any, error)) from error
