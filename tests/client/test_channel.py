"""Addresses and what gRPC does by itself."""

import pytest

from dragoman.client.channel import SERVICE_CONFIG, target
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
