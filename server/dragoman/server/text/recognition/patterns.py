"""Patterns of a request. They run on RE2, in time proportional to the text whatever they are."""

from collections.abc import Iterable, Iterator, Sequence

import re2

from dragoman.server.core.errors import InvalidRequest, Violation, quoted
from dragoman.server.core.spans import Span

MAX_PATTERNS = 64
MAX_PATTERN_CHARACTERS = 500
MAX_PROGRAM = 10_000
"""Instructions that RE2 makes of all patterns together; repetitions multiply them."""
MAX_MATCH_BYTES = 1024
"""A longer stretch that a pattern matches is not found as a whole."""
_WINDOW_BYTES = 2 * MAX_MATCH_BYTES
_MEMORY_BYTES = 4 << 20


class Patterns:
    """The patterns of a request, looked for together."""

    def __init__(self, patterns: Sequence[str], field: str) -> None:
        """Raises `InvalidRequest` with all that is wrong with the patterns, which `field` has."""
        if len(patterns) > MAX_PATTERNS:
            raise InvalidRequest(field, f"{len(patterns)} patterns, the limit is {MAX_PATTERNS}")
        problems = ((f"{field}[{index}]", _problem(pattern)) for index, pattern in enumerate(patterns))
        violations = [Violation(place, problem) for place, problem in problems if problem is not None]
        if violations:
            raise InvalidRequest.of(violations)
        # Repeated, so that many short matches side by side are found at once.
        self._program = _program("(?:" + "|".join(f"(?:{pattern})" for pattern in patterns) + ")+")
        if self._program.programsize > MAX_PROGRAM:
            size = f"{self._program.programsize} instructions for RE2, the limit is {MAX_PROGRAM}"
            raise InvalidRequest(field, f"the patterns make {size}: repeat less in them, or send fewer")

    def spans(self, text: str) -> Iterator[Span]:
        """Where one of the patterns matches, in order and apart."""
        data = text.encode()
        return _in_characters(self._places(data), data)

    def _places(self, data: bytes) -> Iterator[tuple[int, int]]:
        """The bytes that match. To find one match, RE2 may read all that it is shown: so it is shown a window."""
        position, size = 0, len(data)
        while position < size:
            until = min(position + _WINDOW_BYTES, size)
            known = size if until == size else until - MAX_MATCH_BYTES
            match = self._program.search(data, position, until)
            if match is not None and match.start() < known:
                yield match.span()
                position = match.end()
                continue
            position = known
            while position < size and data[position] & 0xC0 == 0x80:  # within a character
                position -= 1


def _in_characters(places: Iterable[tuple[int, int]], data: bytes) -> Iterator[Span]:
    """Places in encoded text as places in the text."""
    position, reached = 0, 0
    for start, end in places:
        begin = position + len(data[reached:start].decode())
        position = begin + len(data[start:end].decode())
        reached = end
        yield Span(begin, position)


def _problem(pattern: str) -> str | None:
    """What is wrong with a pattern."""
    if len(pattern) > MAX_PATTERN_CHARACTERS:
        return f"{len(pattern)} characters, the limit is {MAX_PATTERN_CHARACTERS}"
    try:
        program = _program(pattern)
    except (re2.error, UnicodeEncodeError) as error:
        return f"{quoted(pattern)} is no pattern of RE2: {_reason(error)}"
    if program.search(b"") is not None:
        return f"{quoted(pattern)} matches the empty text"
    return None


def _reason(error: Exception) -> str:
    """What RE2 says, which it says in bytes."""
    [said, *_] = error.args
    return said.decode(errors="replace") if isinstance(said, bytes) else str(error)


def _program(pattern: str) -> "re2._Regexp":
    options = re2.Options()
    options.log_errors, options.never_capture, options.max_mem = False, True, _MEMORY_BYTES
    return re2.compile(pattern, options)
