"""Errors and their statuses."""

from __future__ import annotations

import inspect
from pathlib import Path

import grpc
import pytest
from google.rpc import code_pb2

from dragoman.server.core import errors
from dragoman.server.telemetry.request_metrics import OUTCOMES
from dragoman.server.telemetry.rpc_metrics import CODES
from dragoman.server.transport.interceptor import InternalError
from dragoman.server.transport.status import status_code, trailing_metadata

PAGE = Path(__file__).parents[3] / "server/reference/errors.md"

EXAMPLES: list[errors.ServingError] = [
    errors.InvalidRequest("a", "b"),
    errors.UnsupportedOption("a", "b"),
    errors.UnsupportedByModel("a", "b"),
    errors.UnknownModel("a", "b"),
    errors.Unauthenticated("a"),
    errors.Forbidden("a", "b"),
    errors.TooManyCalls("a", 1),
    errors.Overloaded(1, 2, 3, retry_after_s=0.5),
    errors.Shed("memory", "a"),
    errors.DeadlineExceeded(),
    errors.DeadlineUnmeetable(2.0, 1.0),
    errors.MessageLate(10.0),
    errors.Cancelled(),
    errors.Draining(),
    errors.EngineFailure("detail"),
    InternalError("1234"),
]


def test_there_is_an_example_of_every_error() -> None:
    """So that the other tests speak about all of them."""
    public = {
        one
        for _, one in inspect.getmembers(errors, inspect.isclass)
        if issubclass(one, errors.ServingError) and not one.__name__.startswith("_")
    }

    assert public - {errors.ServingError} == {type(one) for one in EXAMPLES} - {InternalError}


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_every_error_has_a_status_an_outcome_and_a_pause_if_it_is_retryable(error: errors.ServingError) -> None:
    """Codes exist in gRPC and in the metrics' closed sets; only what may be retried says when."""
    assert status_code(error).value[0] == code_pb2.Code.Value(error.code)
    assert error.code in CODES
    assert error.outcome in OUTCOMES
    assert (error.retry_after_s is not None) == error.retryable
    headers = dict(trailing_metadata(error, "id"))
    assert ("grpc-retry-pushback-ms" in headers) == error.retryable
    assert status_code(error) is not grpc.StatusCode.OK


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    """Each error stands there with its code."""
    for error in EXAMPLES[:-1]:
        [line] = [line for line in (errors.__doc__ or "").splitlines() if line.split()[:1] == [type(error).__name__]]
        assert line.split()[1:3] == [error.code, "yes" if error.retryable else "no"]


def test_all_reasons_are_one_message() -> None:
    """Fields and messages in order."""
    error = errors.InvalidRequest.of([errors.Violation("a", "is bad"), errors.Violation("b.c", "is worse")])

    assert str(error) == "a: is bad; b.c: is worse"
    assert [one.field for one in error.violations] == ["a", "b.c"]


def test_the_reference_has_the_errors() -> None:
    """The table of the page is the tree."""
    rows = [
        f"| {type(one).__name__} | {one.code} | {'yes' if one.retryable else 'no'} | {one.outcome} | {one.__doc__} |"
        for one in EXAMPLES[:-1]
    ]

    assert "\n".join(rows) in PAGE.read_text("utf-8"), "\n".join(rows)
