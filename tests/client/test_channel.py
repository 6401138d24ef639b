"""Addresses and what gRPC does by itself."""

from contextlib import nullcontext

import grpc
import pytest

from dragoman.client.channel import SERVICE_CONFIG, credentials_of, target
from dragoman.v1 import translation_pb2 as pb


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ("localhost:50051", "dns:///localhost:50051"),
        ("dnsmasq:1", "dns:///dnsmasq:1"),
        ("[::1]:50051", "dns:///[::1]:50051"),
        ("localhost", "dns:///localhost:50051"),
        ("[::1]", "dns:///[::1]:50051"),
        ("::1", "dns:///[::1]:50051"),
        ("dns:///a:1", "dns:///a:1"),
        ("unix:/run/dragoman.sock", "unix:/run/dragoman.sock"),
        ("ipv4:10.0.0.1:1,10.0.0.2:1", "ipv4:10.0.0.1:1,10.0.0.2:1"),
    ],
)
def test_an_address_is_looked_up_by_name_unless_it_says_how(server: str, expected: str) -> None:
    """A host and a port become a name to resolve; whole targets stay as they are."""
    assert target(server) == expected


def test_the_retry_policy_is_for_the_service_of_the_contract() -> None:
    """A renamed service would lose its retries without a word."""
    config: dict[str, list[dict[str, list[dict[str, str]]]]] = SERVICE_CONFIG  # type: ignore[assignment]

    assert (
        config["methodConfig"][0]["name"][0]["service"]
        == pb.DESCRIPTOR.services_by_name["TranslationService"].full_name
    )


@pytest.mark.parametrize(
    ("server", "is_local"),
    [
        ("localhost", True),
        ("localhost:1", True),
        ("127.0.0.1:50051", True),
        ("127.9.9.9", True),
        ("[::1]:1", True),
        ("::1", True),
        ("dns:///localhost:1", True),
        ("unix:///tmp/socket", True),
        ("localhost.example", False),
        ("127.0.0.1.example:1", False),
        ("10.0.0.1:1", False),
        ("[::2]:1", False),
        ("dns:///example:1", False),
    ],
)
def test_a_token_leaves_this_machine_encrypted_or_not_at_all(server: str, is_local: bool) -> None:
    """Whoever gives credentials has seen to that; no token needs none."""
    assert credentials_of(server, None, None) is None
    assert credentials_of(server, grpc.ssl_channel_credentials(), "x") is not None
    with nullcontext() if is_local else pytest.raises(ValueError, match="would travel in plain text"):
        assert credentials_of(server, None, "x") is not None
