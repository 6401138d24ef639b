"""From the status of a call to the exception that a user catches."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from dragoman.client import errors
from dragoman.client.client import Client
from dragoman.v1 import translation_pb2 as pb

EXPECTED = {
    "INVALID_ARGUMENT": (errors.InvalidRequest, False),
    "NOT_FOUND": (errors.UnknownModel, False),
    "UNIMPLEMENTED": (errors.UnsupportedOption, False),
    "FAILED_PRECONDITION": (errors.UnsupportedByModel, False),
    "RESOURCE_EXHAUSTED": (errors.Overloaded, True),
    "UNAVAILABLE": (errors.Unavailable, True),
    "DEADLINE_EXCEEDED": (errors.DeadlineExceeded, False),
    "CANCELLED": (errors.Cancelled, False),
    "UNAUTHENTICATED": (errors.AccessDenied, False),
    "PERMISSION_DENIED": (errors.AccessDenied, False),
    "INTERNAL": (errors.ServerFault, False),
    "UNKNOWN": (errors.ServerFault, False),
    "DATA_LOSS": (errors.ServerFault, False),
    "ABORTED": (errors.ServerFault, False),
    "OUT_OF_RANGE": (errors.ServerFault, False),
    "ALREADY_EXISTS": (errors.ServerFault, False),
}
RETRIED = {"RESOURCE_EXHAUSTED", "UNAVAILABLE", "CANCELLED"}


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_every_status_becomes_its_error(fake: Any, code: grpc.StatusCode) -> None:
    """Over a real connection: the type says who must act, the message and the code are the server's."""

    def abort(request: pb.TranslateRequest, context: grpc.ServicerContext) -> pb.TranslateResponse:
        context.set_trailing_metadata((("grpc-retry-pushback-ms", "1"),))  # retries need not wait
        context.abort(code, "what, how much, the limit")

    fake.reply = abort
    kind, retryable = EXPECTED[code.name]

    with Client(fake.address) as client, pytest.raises(errors.DragomanError) as caught:
        client.translate("a")

    assert type(caught.value) is kind
    assert (str(caught.value), caught.value.code) == ("what, how much, the limit", code.name)
    assert caught.value.retryable == retryable
    assert len(fake.requests) == (4 if code.name in RETRIED else 1)


def test_a_status_without_a_message_still_says_something() -> None:
    """No exception is printed as an empty line."""
    assert str(errors.from_status("INTERNAL", "")) == "the server gave no reason (INTERNAL)"


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    """Each error with its code and whether a retry may help, as documented."""
    lines = [line.split() for line in (errors.__doc__ or "").splitlines() if line.startswith("      ")]
    documented = {name: (code, retry) for name, code, retry, *_ in lines if name != "SomeTextsFailed"}

    assert documented == {
        kind.__name__: (kind.default_code, "yes" if kind.retryable else "no")
        for kind in errors.DragomanError.__subclasses__()
        if kind is not errors.SomeTextsFailed
    }
