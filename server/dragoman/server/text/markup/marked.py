"""A text with mark-up as the plain text that is translated of it, and back.

The plain text is all blocks, one after the other. It is cut and numbered like any other; what each segment of it became
is then written where its block was.
"""

import itertools
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from dragoman.server.core.protection import ProtectedSpan, SpanKind
from dragoman.server.core.requests import InputFormat, Splitting
from dragoman.server.core.spans import Span
from dragoman.server.text.markup.document import Block, Document
from dragoman.server.text.markup.html import parse_html
from dragoman.server.text.markup.markdown import parse_markdown
from dragoman.server.text.markup.passages import Passage, passages
from dragoman.server.text.markup.writing import Translated, WrittenText, write
from dragoman.server.text.markup.xml import parse_xml
from dragoman.server.text.splitting import split
from dragoman.server.text.term_spans import FindTerms, no_terms, with_terms

PARSERS: Mapping[InputFormat, Callable[..., Document]] = {
    InputFormat.HTML: parse_html,
    InputFormat.XML: parse_xml,
    InputFormat.MARKDOWN: parse_markdown,
}


@dataclass(frozen=True)
class MarkedText:
    """A text with mark-up."""

    document: Document
    plain: str
    """The texts of its blocks, each on a line of its own."""
    starts: tuple[int, ...]
    """Where in there each block begins; those of attributes come last."""

    @classmethod
    def of(cls, text: str, form: InputFormat, *, attributes: bool) -> "MarkedText":
        """A text in this format. Raises ValueError where it is not."""
        document = PARSERS[form](text, attributes=attributes)
        blocks = (*document.blocks, *document.attributes)
        starts = tuple(itertools.accumulate((len(block.text) + 1 for block in blocks), initial=0))
        return cls(document, "\n".join(block.text for block in blocks), starts[:-1])

    @property
    def blocks(self) -> tuple[Block, ...]:
        """All blocks, those of attributes last."""
        return (*self.document.blocks, *self.document.attributes)

    def split(self, splitting: Splitting, language: str) -> Iterator[Span]:
        """The segments of the plain text: each block is split like a text."""
        for start, block in zip(self.starts, self.blocks, strict=True):
            for span in split(block.text, splitting, language):
                yield Span(start + span.start, start + span.end)

    def protected(
        self, find: Callable[[str], Sequence[ProtectedSpan]], find_terms: FindTerms = no_terms
    ) -> tuple[tuple[ProtectedSpan, ...], tuple[ProtectedSpan, ...]]:
        """What is found in the blocks, and what comes back as it is in any case; and the terms that are missed."""
        protected, missed = list[ProtectedSpan](), list[ProtectedSpan]()
        for start, block in zip(self.starts, self.blocks, strict=True):
            kept, lost = _protected(block, find(block.text), find_terms(block.text))
            protected += (_moved(each, start) for each in kept)
            missed += (_moved(each, start) for each in lost)
        return tuple(protected), tuple(missed)

    def passages(self, spans: Sequence[Span]) -> list[Passage]:
        """The segments of the plain text at these spans, each with the marks that are its own."""
        own: dict[int, list[Span]] = {}
        for start, end in spans:
            number = bisect_right(self.starts, start) - 1
            own.setdefault(number, []).append(Span(start - self.starts[number], end - self.starts[number]))
        blocks = self.blocks
        return [passage for number, inner in own.items() for passage in passages(blocks[number], inner)]

    def source(self, span: Span) -> Span:
        """Where in the text a stretch of the plain text was read."""
        number = bisect_right(self.starts, span.start) - 1
        start = self.starts[number]
        return self.blocks[number].map.span(Span(span.start - start, span.end - start))

    def write(self, passages: Sequence[Passage], translated: Sequence[Translated]) -> WrittenText:
        """The text, with these passages of it translated."""
        values = {id(block) for block in self.document.attributes}
        count = sum(id(passage.block) not in values for passage in passages)
        return write(self.document, passages[:count], passages[count:], translated)


def _protected(
    block: Block, found: Sequence[ProtectedSpan], terms: Sequence[ProtectedSpan]
) -> tuple[list[ProtectedSpan], list[ProtectedSpan]]:
    """What is protected in a block, in order, and the terms that are missed: nothing takes the place of an atom."""
    ends = [atom.span.end for atom in block.atoms]

    def is_apart(each: ProtectedSpan) -> bool:
        number = bisect_right(ends, each.span.start)
        return number == len(ends) or each.span.end <= block.atoms[number].span.start

    kept, missed = with_terms([*filter(is_apart, found)], [*filter(is_apart, terms)])
    atoms = (ProtectedSpan(atom.span, SpanKind.CODE) for atom in block.atoms)
    in_order = sorted((*kept, *atoms), key=lambda each: each.span)
    return in_order, [*missed, *(term for term in terms if not is_apart(term))]


def _moved(each: ProtectedSpan, by: int) -> ProtectedSpan:
    return replace(each, span=Span(each.span.start + by, each.span.end + by))
