"""Addresses to listen on."""

import pytest

from dragoman.server.core.addresses import ADDRESS, split_address


@pytest.mark.parametrize(
    ("address", "host", "port"), [("127.0.0.1:1", "127.0.0.1", 1), ("[::1]:65535", "::1", 65535), ("a.b:0", "a.b", 0)]
)
def test_addresses_are_split(address: str, host: str, port: int) -> None:
    """Brackets belong to the notation, not to the host."""
    assert split_address(address) == (host, port)


@pytest.mark.parametrize("text", ["localhost", ":1", "a:b:1", "::1:1", "[::1]", "a:123456", "a b:1"])
def test_what_is_no_address_is_told(text: str) -> None:
    """An IPv6 address without brackets leaves open where its port begins."""
    assert ADDRESS.fullmatch(text) is None
