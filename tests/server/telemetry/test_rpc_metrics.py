"""RPCs under their customary names."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from prometheus_client import CollectorRegistry

from dragoman.server.app.app import SERVICE
from dragoman.server.telemetry.rpc_metrics import CODES, RpcMetrics


@dataclass
class Method:
    """A method as its descriptor describes it."""

    name: str
    client_streaming: bool
    server_streaming: bool


def test_unknown_rpcs_share_one_label() -> None:
    """Methods come from the service's own description; nobody outside can add one."""
    registry = CollectorRegistry()
    rpc = RpcMetrics(registry, [(SERVICE.full_name, method) for method in SERVICE.methods])
    labels = {"grpc_service": SERVICE.full_name, "grpc_method": "TranslateStream", "grpc_type": "server_stream"}

    stream = rpc.method("/dragoman.v1.TranslationService/TranslateStream")
    stream.started()
    stream.received()
    stream.sent()
    stream.handled("OK", 0.1)
    for n in range(5):
        rpc.method(f"/x/{n}").started()
    rpc.method("/x/y").refused("UNIMPLEMENTED", 1)

    assert registry.get_sample_value("grpc_server_handled_total", {**labels, "grpc_code": "OK"}) == 1
    assert registry.get_sample_value("grpc_server_handling_seconds_count", labels) == 1
    assert registry.get_sample_value("grpc_server_msg_received_total", labels) == 1
    assert registry.get_sample_value("grpc_server_msg_sent_total", labels) == 1
    other = {"grpc_service": "_other", "grpc_method": "_other", "grpc_type": "unary"}
    assert registry.get_sample_value("grpc_server_started_total", other) == 6
    assert registry.get_sample_value("grpc_server_handled_total", {**other, "grpc_code": "UNIMPLEMENTED"}) == 1


@pytest.mark.parametrize(
    ("client", "server", "kind"),
    [
        (False, False, "unary"),
        (False, True, "server_stream"),
        (True, False, "client_stream"),
        (True, True, "bidi_stream"),
    ],
)
def test_the_type_says_who_streams(client: bool, server: bool, kind: str) -> None:
    """In the words of gRPC's middleware."""
    registry = CollectorRegistry()
    rpc = RpcMetrics(registry, [("a.B", Method("C", client, server))])

    rpc.method("/a.B/C").started()

    labels = {"grpc_type": kind, "grpc_service": "a.B", "grpc_method": "C"}
    assert registry.get_sample_value("grpc_server_started_total", labels) == 1


def test_every_code_is_there_at_zero() -> None:
    """A rate must not miss the first call that fails in a way."""
    registry = CollectorRegistry()
    RpcMetrics(registry, [("a.B", Method("C", False, False))])

    labels = {"grpc_type": "unary", "grpc_service": "a.B", "grpc_method": "C"}
    counts = [registry.get_sample_value("grpc_server_handled_total", {**labels, "grpc_code": code}) for code in CODES]
    assert counts == [0] * 17
