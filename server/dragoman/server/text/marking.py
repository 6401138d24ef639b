"""The marks of a segment in its translation: by what the model attended to, or by position where it does not say."""

from collections.abc import Sequence

import numpy as np

from dragoman.server.core.spans import Span
from dragoman.server.core.translations import Alignment
from dragoman.server.text.alignment import words
from dragoman.server.text.markup.passages import Passage
from dragoman.server.text.markup.placing import Insertion, Sentence, place


def marked_by_attention(passage: Passage, text: str, links: Sequence[Alignment]) -> list[Insertion]:
    """What goes into a passage's translation, by the links between their words."""
    rows, columns = (sorted(set(spans)) for spans in ((a.target for a in links), (a.source for a in links)))
    row_of, column_of = ({span: number for number, span in enumerate(spans)} for spans in (rows, columns))
    shares = np.zeros((len(rows), len(columns)))
    for link in links:
        shares[row_of[link.target], column_of[link.source]] = link.weight
    return place(passage.marks, Sentence(passage.text, columns), Sentence(text, rows), shares)


def marked_by_position(passage: Passage, text: str) -> list[Insertion]:
    """What goes into a passage's translation, as if all words had kept their places."""
    return place(passage.marks, _sentence(passage.text), _sentence(text))


def _sentence(text: str) -> Sentence:
    characters = [Span(position, position + 1) for position in range(len(text))]
    return Sentence(text, [word.span for word in words(text, characters)])
