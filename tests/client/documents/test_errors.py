"""Errors of documents."""

from dragoman.client import DragomanError
from dragoman.client.documents.errors import DocumentError, Unwritable


def test_whoever_catches_errors_of_the_client_catches_these() -> None:
    """They have a code, and trying again does not help."""
    error = DocumentError("no JSON")

    assert isinstance(error, DragomanError)
    assert (error.code, error.retryable) == ("INVALID_ARGUMENT", False)
    assert issubclass(Unwritable, DocumentError)
