"""A place in a text."""

from typing import NamedTuple


class Span(NamedTuple):
    """A half-open range of a text."""

    start: int
    end: int
