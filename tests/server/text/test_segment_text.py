"""What hypotheses of a segment say, beside the segment's own text."""

from collections.abc import Sequence

import numpy as np
import pytest

from dragoman.bundle.manifest import LanguagePair
from dragoman.server.core.segments import FinishReason, Hypothesis
from dragoman.server.text.segment_text import SegmentText
from dragoman.server.text.tokenizer import Tokenizer

SOURCE = "The Kyōto box."
PAIR = LanguagePair("en", "pt")


def ids_of(tokenizer: Tokenizer, tokens: Sequence[str]) -> tuple[int, ...]:
    """Ids of tokens as the vocabulary writes them; "?" is the unknown word."""
    return tuple(tokenizer.unk_id if token == "?" else tokenizer.token_id(token) or 0 for token in tokens)


def hypothesis(tokenizer: Tokenizer, tokens: Sequence[str], attended: Sequence[str] = ()) -> Hypothesis:
    """A hypothesis whose tokens attend to these words of the source each."""
    spans = tokenizer.source_spans(SOURCE)
    attention = np.zeros((len(tokens) + 1, len(spans) + 1), np.float32)
    for position, word in enumerate(attended):
        start = SOURCE.index(word)
        attention[position, next(n for n, span in enumerate(spans) if span is not None and span.end > start)] = 1.0
    return Hypothesis(ids_of(tokenizer, tokens), -1.0, -1.0, FinishReason.STOP, (), attention)


def test_tokens_with_text_of_their_own_are_shown_as_it(tokenizer: Tokenizer) -> None:
    """Joined, the surfaces are what the vocabulary makes of the ids."""
    segment = SegmentText(SOURCE, PAIR, tokenizer, copies_unknown=True)
    plain = hypothesis(tokenizer, ["▁do", "g", "."])

    assert not segment.has_borrowed(plain)
    assert "".join(segment.surfaces(plain)) == tokenizer.decode(plain.ids) == "dog."


@pytest.mark.parametrize("copies_unknown", [False, True])
def test_an_unknown_word_is_borrowed_only_where_that_is_asked_for(
    tokenizer: Tokenizer, *, copies_unknown: bool
) -> None:
    """From the word that it attends to most; else it is shown as what it is."""
    segment = SegmentText(SOURCE, PAIR, tokenizer, copies_unknown=copies_unknown)
    unknown = hypothesis(tokenizer, ["▁do", "?", "."], ["The", "Kyōto", "box"])

    assert segment.has_borrowed(unknown) is copies_unknown
    assert segment.surfaces(unknown)[1] == (" Kyōto" if copies_unknown else " ⁇ ")


def test_several_unknown_words_for_one_are_that_word_once(tokenizer: Tokenizer) -> None:
    """And another one is shown apart from it."""
    segment = SegmentText(SOURCE, PAIR, tokenizer, copies_unknown=True)

    surfaces = segment.surfaces(hypothesis(tokenizer, ["?", "?", "?"], ["Kyōto", "Kyōto", "box"]))

    assert surfaces == ["Kyōto", "", " box"]


def test_links_join_each_word_with_the_one_that_it_attends_to(tokenizer: Tokenizer) -> None:
    """As stretches of the segment and of its own translation."""
    segment = SegmentText(SOURCE, PAIR, tokenizer, copies_unknown=False)
    aligned = hypothesis(tokenizer, ["▁do", "g", "."], ["Kyōto", "Kyōto", "."])
    surfaces = segment.surfaces(aligned)

    links = list(segment.links(aligned, surfaces))

    text = "".join(surfaces)
    found = [(SOURCE[slice(*link.source)], text[slice(*link.target)]) for link in links]
    assert found == [("Kyōto", "dog"), (".", ".")]
