"""Building the blocks of a document, piece by piece, in the order of the source.

Whatever was not given as text, mark or atom lies between blocks, and is nobody's. Tags that do not match are marks that
stand at their place and around nothing, so that none is lost and what is left nests.
"""

from collections import Counter
from dataclasses import dataclass

from dragoman.server.core.spans import Span
from dragoman.server.text.markup.document import Atom, Block, Document, Mark, Notation, Piece, TextMap


@dataclass(slots=True)
class _Opened:
    """A mark that waits for its end."""

    name: str
    mark: int
    """Its number among the marks of the block that it began in."""
    block: int
    """The number of that block."""


class DocumentBuilder:
    """Takes a source apart, for whoever says what each stretch of it is."""

    def __init__(self, source: str, notation: Notation) -> None:
        self._source, self._notation = source, notation
        self._edits: list[tuple[Span, str]] = []
        self._blocks: list[Block] = []
        self._attributes: list[Block] = []
        self._open: list[_Opened] = []
        self._names = Counter[str]()
        self._number = 0
        self._begin()

    def _begin(self) -> None:
        self._parts: list[str] = []
        self._pieces: list[Piece] = []
        self._marks: list[Mark] = []
        self._ending: list[Mark] = []
        self._atoms: list[Atom] = []
        self._length = 0
        self._is_apart = True

    def text(self, text: str, start: int, end: int) -> None:
        """Text that a stretch of the source stands for."""
        if text:
            self._parts.append(text)
            self._pieces.append(Piece(self._length, Span(start, end)))
            self._length += len(text)
            self._is_apart = False

    def literal(self, start: int, end: int) -> None:
        """Text that stands in the source as it is."""
        self.text(self._source[start:end], start, end)

    def space(self, start: int, end: int) -> None:
        """White space of any length, which is one space and none at all behind another or where a block begins."""
        if not self._is_apart:
            self.text(" ", start, end)
            self._is_apart = True

    def atom(self, shown: str, start: int, end: int) -> None:
        """What comes back as it stands, and is read as `shown`."""
        begun = self._length
        self.text(shown, start, end)
        self._atoms.append(Atom(Span(begun, self._length), Span(start, end)))

    def void(self, start: int, end: int, *, is_seen: bool = False) -> None:
        """A mark around nothing. One that a reader sees keeps the white space on both its sides."""
        self._is_apart = self._is_apart and not is_seen
        self._marks.append(Mark(self._length, self._length, Span(start, end), None))

    def open(self, name: str, start: int, end: int) -> None:
        """The beginning of a mark."""
        self._open.append(_Opened(name, len(self._marks), self._number))
        self._names[name] += 1
        self.void(start, end)  # until its end is seen

    def close(self, name: str, start: int, end: int) -> None:
        """The end of a mark, which is the last of this name; others that began in it have no end."""
        if not self._names[name]:
            self.void(start, end)
            return
        while (opened := self._pop()).name != name:
            pass
        if opened.block != self._number:
            if self._length:
                self._ending.append(Mark(0, self._length, None, Span(start, end)))
            else:
                self.void(start, end)
            return
        begun = self._marks[opened.mark]
        assert begun.before is not None, "a mark that began in this block"
        if self._is_blank(begun.start):
            del self._marks[opened.mark :]
            self._marks.append(Mark(self._length, self._length, Span(begun.before.start, end), None))
        else:
            self._marks[opened.mark] = Mark(begun.start, self._length, begun.before, Span(start, end))

    def flush(self, region: Span | None = None, notation: Notation | None = None) -> None:
        """The end of a block, which was read from all of a region. Marks that are open go on in the next one."""
        text = "".join(self._parts)
        # Once it has ended, what is still open is seen to last: it is around the rest of the block.
        for opened in reversed(self._open):
            if opened.block != self._number:
                break
            self._marks[opened.mark] = self._marks[opened.mark]._replace(end=self._length)
        if any(map(str.isalpha, text)) and not self._is_kept(text):
            marks = (*reversed(self._ending), *self._marks)
            text_map = TextMap(tuple(self._pieces), self._length)
            sides = [piece.source for piece in self._pieces]
            sides += (side for mark in marks for side in (mark.before, mark.after) if side is not None)
            region = region or Span(min(side.start for side in sides), max(side.end for side in sides))
            self._blocks.append(Block(text, text_map, marks, tuple(self._atoms), notation or self._notation, region))
        self._number += 1
        self._begin()

    def adopt(self, document: Document) -> None:
        """Take over what a stretch of the source was taken apart to by another builder. Ends the block before it."""
        self.flush()
        self._blocks += document.blocks
        self._attributes += document.attributes

    def edit(self, start: int, end: int, written: str) -> None:
        """What goes out otherwise than it stands."""
        self._edits.append((Span(start, end), written))

    def attribute(self, pieces: list[tuple[str, int, int]], notation: Notation) -> None:
        """An attribute's value, as stretches of text and what they stand for."""
        inner = DocumentBuilder(self._source, notation)
        for piece in pieces:
            inner.text(*piece)
        inner.flush()
        self._attributes += inner.document().blocks

    def document(self) -> Document:
        """All that was given."""
        self.flush()
        return Document(self._source, tuple(self._blocks), tuple(self._attributes), tuple(self._edits))

    def _pop(self) -> _Opened:
        opened = self._open.pop()
        self._names[opened.name] -= 1
        return opened

    def _is_blank(self, start: int) -> bool:
        """Whether the text from here on is white space."""
        position = self._length
        for part in reversed(self._parts):
            position -= len(part)
            if position < start:
                return not part[start - position :].strip()
            if part.strip():
                return False
        return True

    def _is_kept(self, text: str) -> bool:
        """Whether nothing but atoms is to be read in a text."""
        rest, position = [], 0
        for atom in self._atoms:
            rest.append(text[position : atom.span.start])
            position = atom.span.end
        rest.append(text[position:])
        return not any(map(str.isalpha, "".join(rest)))
