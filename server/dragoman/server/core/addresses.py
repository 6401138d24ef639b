"""Addresses to listen on."""

import ipaddress
import re
from contextlib import suppress

ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^:\s\[\]/]+):([0-9]{1,5})")


def split_address(address: str) -> tuple[str, int]:
    """Host and port of a checked HOST:PORT; the brackets of an IPv6 address are taken off."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach a checked HOST:PORT."""
    host, _ = split_address(address)
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"
