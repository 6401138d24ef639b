"""Errors to gRPC statuses, with the details of `google.rpc`."""

from __future__ import annotations

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from dragoman.server.errors import ServingError

DOMAIN = "dragoman"
Metadata = tuple[tuple[str, str | bytes], ...]


def status_code(error: ServingError) -> grpc.StatusCode:
    """The error's code as gRPC has it."""
    return grpc.StatusCode[error.code]


def trailing_metadata(error: ServingError, request_id: str) -> Metadata:
    """What goes with the error: machine-readable details, and when to try again.

    The pause comes twice: programs read the detail, gRPC's own retries read the header.
    """
    details: list[Message] = [
        error_details_pb2.ErrorInfo(reason=error.outcome.upper(), domain=DOMAIN),
        error_details_pb2.RequestInfo(request_id=request_id),
    ]
    if error.violations:
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=one.field, description=one.message)
            for one in error.violations
        ]
        details.append(error_details_pb2.BadRequest(field_violations=violations))
    headers: list[tuple[str, str | bytes]] = [("x-request-id", request_id)]
    if error.retry_after_s is not None:
        delay = Duration(nanos=0)
        delay.FromMilliseconds(round(error.retry_after_s * 1000))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
        # Not 0: gRPC's core takes that for a pushback that never ends, and the call hangs until its deadline.
        headers.append(("grpc-retry-pushback-ms", str(max(1, round(error.retry_after_s * 1000)))))
    code = status_code(error).value[0]
    status = status_pb2.Status(code=code, message=str(error), details=list(map(_packed, details)))
    return (*headers, ("grpc-status-details-bin", status.SerializeToString()))


def _packed(detail: Message) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(detail)
    return packed
