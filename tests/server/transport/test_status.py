"""Errors as gRPC says them."""

from __future__ import annotations

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from dragoman.server.core import errors
from dragoman.server.transport.status import status_code, status_message, trailing_metadata


def details(error: errors.ServingError) -> dict[str, object]:
    """The machine-readable part, by type."""
    status = status_pb2.Status.FromString(bytes(dict(trailing_metadata(error, "7"))["grpc-status-details-bin"]))
    kinds = [getattr(error_details_pb2, packed.type_url.rpartition(".")[2]) for packed in status.details]
    return {kind.__name__: kind.FromString(one.value) for kind, one in zip(kinds, status.details, strict=True)}


def test_details_name_the_reason_the_request_and_every_field() -> None:
    """In words that programs compare."""
    error = errors.InvalidRequest.of([errors.Violation("a", "is bad"), errors.Violation("b.c", "is worse")])

    found = details(error)

    assert status_code(error) is grpc.StatusCode.INVALID_ARGUMENT
    assert found["ErrorInfo"] == error_details_pb2.ErrorInfo(reason="INVALID", domain="dragoman")
    assert found["RequestInfo"] == error_details_pb2.RequestInfo(request_id="7")
    assert [(one.field, one.description) for one in found["BadRequest"].field_violations] == [
        ("a", "is bad"),
        ("b.c", "is worse"),
    ]
    assert "RetryInfo" not in found


@pytest.mark.parametrize(("seconds", "header"), [(0.5, "500"), (0.0, "1")])
def test_the_pause_comes_twice(seconds: float, header: str) -> None:
    """For programs, and for gRPC's own retries, which would wait for ever on a 0."""
    error = errors.Overloaded(1, 2, 3, retry_after_s=seconds)

    assert details(error)["RetryInfo"].retry_delay.ToMilliseconds() == seconds * 1000
    assert dict(trailing_metadata(error, "7"))["grpc-retry-pushback-ms"] == header


def test_who_comes_back_waits_longer_each_time() -> None:
    """A pause that is long enough as it is stays."""
    pauses = [
        dict(trailing_metadata(error, "7", attempts))["grpc-retry-pushback-ms"]
        for error in (errors.Draining(), errors.Overloaded(1, 2, 3, retry_after_s=0.1))
        for attempts in range(4)
    ]

    assert pauses == ["1", "30", "90", "270", "100", "100", "100", "270"]


@pytest.mark.parametrize(
    "error",
    [
        errors.InvalidRequest("a", "x" * 1_000_000),
        errors.UnknownModel("model", "é" * 10_000),
        errors.InvalidRequest.of([errors.Violation(f"field{n}", "日本語" * 1_000) for n in range(20)]),
        errors.InvalidRequest.of([errors.Violation(f"terms[{n}].forms", "too many") for n in range(100_000)]),
        errors.InvalidRequest.of([errors.Violation("field" * 100, "is bad " * 20) for n in range(1_000)]),
    ],
)
def test_whatever_a_message_says_fits_into_the_headers(error: errors.ServingError) -> None:
    """A client takes 8 KiB of them; what was cut says so and how much there was."""
    trailing = trailing_metadata(error, "r" * 128)
    escaped = sum(1 if 0x20 <= byte <= 0x7E else 3 for byte in status_message(error).encode())
    # Binary headers are sent in base 64.
    size = escaped + sum(len(key) + len(value) * 4 / 3 for key, value in trailing)

    assert size < 8 * 1024 - 500
    assert status_message(error).endswith(f"... (cut, {len(str(error).encode())} bytes in all)")
