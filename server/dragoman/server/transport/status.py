"""Errors to gRPC statuses, with the details of `google.rpc`."""

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from dragoman.server.core.errors import ServingError
from dragoman.server.core.limits import MAX_REQUEST_ID_BYTES

DOMAIN = "dragoman"
Metadata = tuple[tuple[str, str | bytes], ...]

MAX_MESSAGE_BYTES = 1_000
"""The limit of an error's message, and of what its violations say together. The message comes twice, once with up to
three bytes for each; headers of more than 8 KiB would be dropped, and the status with them."""
MOST_VIOLATIONS, MAX_FIELD_BYTES = 20, 60
"""How many of them are named to programs, and the limit of a field's name."""
AGAIN_S = 0.03
"""The least pause of a call that was sent away before: it may have come back to the same server. Each is three times as
long as the one before, so that the three tries of clients outlast the time in which they learn that a server stops."""


def status_code(error: ServingError) -> grpc.StatusCode:
    """The error's code as gRPC has it."""
    return grpc.StatusCode[error.code]


def status_message(error: ServingError) -> str:
    """The error's message, short enough for a header."""
    return _bounded(str(error), MAX_MESSAGE_BYTES)


def trailing_metadata(error: ServingError, request_id: str, attempts: int = 0) -> Metadata:
    """What goes with the error: machine-readable details, and when to try again after so many attempts before this one.

    The pause comes twice: programs read the detail, gRPC's own retries read the header.
    """
    details: list[Message] = [
        error_details_pb2.ErrorInfo(reason=error.outcome.upper(), domain=DOMAIN),
        error_details_pb2.RequestInfo(request_id=request_id),
    ]
    if error.violations:
        named = error.violations[:MOST_VIOLATIONS]
        most = MAX_MESSAGE_BYTES // len(named)
        violations = [
            error_details_pb2.BadRequest.FieldViolation(
                field=_bounded(violation.field, MAX_FIELD_BYTES), description=_bounded(violation.message, most)
            )
            for violation in named
        ]
        details.append(error_details_pb2.BadRequest(field_violations=violations))
    headers: list[tuple[str, str | bytes]] = [("x-request-id", request_id)]
    if error.retry_after_s is not None:
        delay = Duration(nanos=0)
        delay.FromMilliseconds(round(error.retry_after_s * 1000))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
        # Not 0: gRPC's core takes that for a pushback that never ends, and the call hangs until its deadline.
        pause_s = max(0.001, error.retry_after_s, AGAIN_S * 3 ** (attempts - 1) if attempts else 0.0)
        headers.append(("grpc-retry-pushback-ms", str(round(pause_s * 1000))))
    code = status_code(error).value[0]
    status = status_pb2.Status(code=code, message=status_message(error), details=list(map(_packed, details)))
    return (*headers, ("grpc-status-details-bin", status.SerializeToString()))


def usable_id(given: object) -> str:
    """An id that a client gave; empty where it cannot be used."""
    # It goes back as a header too, and those take printable ASCII only.
    if not isinstance(given, str) or not given.isascii() or not given.isprintable():
        return ""
    return given if len(given) <= MAX_REQUEST_ID_BYTES else ""


def _bounded(text: str, most: int) -> str:
    """The text, its end replaced by a note where it has more than `most` bytes."""
    data = text.encode("utf-8", "replace")
    if len(data) <= most:
        return data.decode()
    note = f"... (cut, {len(data)} bytes in all)"
    return data[: most - len(note)].decode("utf-8", "ignore") + note


def _packed(detail: Message) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(detail)
    return packed
