"""The sockets of this process, as Linux tells them: of all that is open, those of some ports."""

import ctypes
import os
import socket
from collections.abc import Callable, Collection, Iterator

LIBRARY = ctypes.PyDLL(None)
"""The C library. Nobody else runs Python between two calls: to wait for one's turn a thousand times takes too long."""
_FILES = "/proc/self/fd"
_ESTABLISHED, _LISTENING = 1, 10
_INFO_BYTES, _ADDRESS_BYTES = 256, 128


def established(ports: Collection[int]) -> Iterator[tuple[int, bytes]]:
    """The files of connections to these ports, and what `tcp_info` says of them."""
    return _sockets(ports, _ESTABLISHED)


def listening(ports: Collection[int]) -> Iterator[tuple[int, bytes]]:
    """The files of what listens on these ports, and what `tcp_info` says of them."""
    return _sockets(ports, _LISTENING)


def peer_port(file: int) -> int:
    """The port of a connection's other end; 0 where there is none."""
    return _port(LIBRARY.getpeername, file)


def _sockets(ports: Collection[int], state: int) -> Iterator[tuple[int, bytes]]:
    for name in os.listdir(_FILES):
        info = ctypes.create_string_buffer(_INFO_BYTES)
        size = ctypes.c_uint(_INFO_BYTES)
        is_tcp = not LIBRARY.getsockopt(int(name), socket.IPPROTO_TCP, socket.TCP_INFO, info, ctypes.byref(size))
        if is_tcp and ord(info[0]) == state and _port(LIBRARY.getsockname, int(name)) in ports:
            yield int(name), info.raw


def _port(ask: Callable[..., int], file: int) -> int:
    """The port of a socket's own address or of its peer's; 0 where there is none."""
    address = ctypes.create_string_buffer(_ADDRESS_BYTES)
    has_none = ask(file, address, ctypes.byref(ctypes.c_uint(_ADDRESS_BYTES)))
    return 0 if has_none else int.from_bytes(address.raw[2:4], "big")
