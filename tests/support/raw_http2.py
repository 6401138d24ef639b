"""HTTP/2 spoken by hand: clients that open no window, leave messages unfinished, or say nothing at all."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

SERVICE = "/dragoman.v1.TranslationService/"
MOST_WINDOW = 2**31 - 1


def framed(message: bytes, length: int | None = None) -> bytes:
    """A message behind the five bytes that gRPC puts before it; `length` may lie."""
    return b"\0" + (len(message) if length is None else length).to_bytes(4, "big") + message


def dial(address: str) -> socket.socket:
    """A TCP connection."""
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=10)


class RawConnection:
    """One connection. `window` is what each of its streams may receive before it says more."""

    def __init__(self, address: str, *, window: int = MOST_WINDOW) -> None:
        self.socket = dial(address)
        self._http2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        initial = {h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window, h2.settings.SettingCodes.ENABLE_PUSH: 0}
        self._http2.local_settings = h2.settings.Settings(client=True, initial_values=initial)
        self._http2.initiate_connection()
        self.events: list[Any] = []
        self._flush()

    def __enter__(self) -> RawConnection:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def call(self, method: str, *, ends: bool = False, headers: Iterable[tuple[str, str]] = ()) -> int:
        """Begin a call; its stream. `ends` says no message comes."""
        stream = self._http2.get_next_available_stream_id()
        path = method if method.startswith("/") else SERVICE + method
        said = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "localhost")]
        said += [("content-type", "application/grpc"), ("te", "trailers"), *headers]
        self._http2.send_headers(stream, said, end_stream=ends)
        self._flush()
        return stream

    def send(self, stream: int, data: bytes, *, ends: bool = False, timeout_s: float = 10.0) -> int:
        """Send as the peer's windows allow; how many bytes it took in time, before it ended the stream."""
        sent, end_s = 0, time.monotonic() + timeout_s
        try:
            while sent < len(data):
                room = min(self._http2.local_flow_control_window(stream), self._http2.max_outbound_frame_size)
                part = data[sent : sent + room]
                if part:
                    sent += len(part)
                    self._http2.send_data(stream, part, end_stream=ends and sent == len(data))
                    self._flush()
                elif time.monotonic() > end_s or not self.receive(end_s - time.monotonic()):
                    break
        except h2.exceptions.StreamClosedError:
            pass
        return sent

    def reset(self, stream: int) -> None:
        """End a stream from this side."""
        self._http2.reset_stream(stream, 8)
        self._flush()

    def receive(self, timeout_s: float) -> bool:
        """Read once what comes; whether the connection stands and something came."""
        self.socket.settimeout(max(0.001, timeout_s))
        try:
            data = self.socket.recv(65_536)
        except TimeoutError:
            return False
        if not data:
            return False
        self.events += self._http2.receive_data(data)
        self._flush()
        return True

    def wait_for(self, is_it: Callable[[Any], bool], timeout_s: float) -> Any:
        """The first event that is it; None where none comes in time."""
        end_s = time.monotonic() + timeout_s
        while not (found := next(filter(is_it, self.events), None)) and time.monotonic() < end_s:
            if not self.receive(end_s - time.monotonic()):
                break
        return found

    def end_of(self, stream: int, timeout_s: float) -> str | None:
        """How a call ended: its grpc-status, or "reset N"; None where it has not ended in time."""

        def has_ended(event: Any) -> bool:
            if getattr(event, "stream_id", None) != stream:
                return False
            return isinstance(event, h2.events.StreamReset) or "grpc-status" in dict(getattr(event, "headers", ()))

        event = self.wait_for(has_ended, timeout_s)
        if isinstance(event, h2.events.StreamReset):
            return f"reset {int(event.error_code)}"
        return dict(event.headers)["grpc-status"] if event else None

    def live_on(self) -> None:
        """Answer pings and take headers until the socket is closed, on a thread of its own: no window is opened."""
        while True:
            try:
                self.receive(60.0)
            except (OSError, h2.exceptions.ProtocolError):
                return
            if self.socket.fileno() < 0:
                return

    def _flush(self) -> None:
        self.socket.sendall(self._http2.data_to_send())
