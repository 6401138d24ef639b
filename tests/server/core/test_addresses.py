"""Addresses to listen on."""

import pytest

from dragoman.server.core.addresses import ADDRESS, is_loopback, split_address


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


@pytest.mark.parametrize(
    ("address", "only_here"),
    [("127.0.0.1:1", True), ("127.8.8.8:1", True), ("[::1]:1", True), ("localhost:1", True), ("0.0.0.0:1", False),
     ("[::]:1", False), ("10.0.0.1:1", False), ("example.org:1", False), ("localhost.example:1", False)],
)  # fmt: skip
def test_what_only_this_machine_can_reach(address: str, only_here: bool) -> None:
    """A name that only looks like one of this machine is a stranger's."""
    assert is_loopback(address) == only_here
