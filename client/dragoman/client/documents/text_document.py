"""A document in a text file: what its format found, and the file with translations."""

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import cached_property

from dragoman.client.documents.document import Edit, Markup, Render, Unit, Written, spliced
from dragoman.client.documents.files import TextFile

_LINE_ENDS = re.compile(r"[\r\n]+")


class TextDocument:
    """A text file, its units and edits. Formats add to it while they read."""

    def __init__(self, file: TextFile) -> None:
        self.file = file
        self.units: list[Unit] = []
        self._edits: list[Edit[str]] = []

    def add(
        self, start: int, end: int, text: str, place: str, render: Callable[[str], str], markup: Markup = Markup.NONE
    ) -> None:
        """A unit that stands in a stretch of its own; `render` writes its translation. Blank texts are no units."""
        if not text.strip():
            return
        [index] = self.add_units([Unit(text, place, markup)])
        self.add_edit(start, end, (index,), lambda texts: render(texts[0]))

    def add_units(self, units: Sequence[Unit]) -> tuple[int, ...]:
        """Units for edits to come; their positions."""
        first = len(self.units)
        self.units += units
        return tuple(range(first, len(self.units)))

    def add_edit(
        self, start: int, end: int, units: tuple[int, ...], render: Render[str], *, holds_source: bool = True
    ) -> None:
        """A stretch that translations of units replace."""
        check = self.file.check
        self._edits.append(Edit(start, end, units, lambda texts: check(render(texts)), holds_source))

    def line(self, position: int) -> int:
        """The line, from 1, that a position is in."""
        return bisect_left(self._line_ends, position) + 1

    @cached_property
    def _line_ends(self) -> list[int]:
        return [match.start() for match in re.finditer("\n", self.file.text)]

    def written(self, translations: Sequence[str | None]) -> Written:
        """The file with translations."""
        text, refused = spliced(self.file.text, self._edits, self.units, translations)
        return Written(self.file.data(text), refused)


def one_line(text: str) -> str:
    """A text without line ends: what came in as one line goes out as one."""
    return _LINE_ENDS.sub(" ", text)
