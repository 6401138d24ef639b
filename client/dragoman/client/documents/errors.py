"""What is wrong with a document, in words for whoever has to mend it."""
# ruff: noqa: N818 - the names say what happened.

from dragoman.client.errors import InvalidRequest


class DocumentError(InvalidRequest):
    """A document cannot be read, or not be translated as it was asked for."""


class Unwritable(DocumentError):
    """A translation that its place in the document cannot hold. The place keeps what it had."""
