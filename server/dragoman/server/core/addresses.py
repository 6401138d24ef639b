"""Addresses to listen on."""

from __future__ import annotations

import re
import socket

_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^:\s\[\]/]+):([0-9]{1,5})")


def split_address(address: str) -> tuple[str, int]:
    """Host and port of a checked HOST:PORT; the brackets of an IPv6 address are taken off."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def listen_problem(address: str, reason: str) -> str:
    """Why a checked HOST:PORT cannot be listened on: `reason`, unless its host is not even known."""
    host, port = split_address(address)
    try:
        socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        return f"the host {host} cannot be resolved ({error.strerror}): name one of this machine's, such as 0.0.0.0"
    return reason
