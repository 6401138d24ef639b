"""Words of texts, and the links between them."""

import random

import numpy as np
import pytest

from dragoman.server.core.spans import Span
from dragoman.server.text.alignment import MIN_WEIGHT, Word, links, words
from dragoman.server.text.splitting import is_joined
from dragoman.server.text.tokenizer import Tokenizer

# What makes offsets go wrong: characters of several bytes, joined ones, marks and all that NFKC changes.
NASTY = [
    "👩\u200d👧",
    "❤\ufe0f",
    "e\u0301",
    "é",
    "ﬃ",
    "½",
    "㌔",
    "①",
    "\u00ad",
    "\u200b",
    "\u00a0",
    "  ",
    " ",
    "\t",
    "日本",
    "한국어",
    "ภาษา",
    "नमस्ते",
    "don't",
    "co-op",
    "'tis",
    "...",
    "„a“",
    "(b)",
    "Zürich",
    "x",
    "\U00010000",
    "<unk>",
    "▁",
]


def nasty(seed: int) -> str:
    chosen = random.Random(seed)
    return "".join(chosen.choices(NASTY, k=chosen.randrange(1, 12))).strip()


def whole(text: str) -> list[str]:
    """Words of a text each of whose characters is a token."""
    found = words(text, [Span(index, index + 1) for index in range(len(text))])
    return [text[word.span.start : word.span.end] for word in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("  ", []),
        ("The dog.", ["The", "dog", "."]),
        ("a  b", ["a", "b"]),
        ("don't co-op l\u2019eau", ["don't", "co-op", "l\u2019eau"]),
        ("'tis dogs' - x-", ["'", "tis", "dogs", "'", "-", "x", "-"]),
        ("Wait... (no)!", ["Wait", "...", "(", "no", ")!"]),
        ("3.5 a_b", ["3", ".", "5", "a_b"]),
        ("日本 x語y", ["日", "本", "x", "語", "y"]),
        ("한국어 말", ["한국어", "말"]),
        ("e\u0301te नमस्ते", ["e\u0301te", "नमस्ते"]),
        ("👩\u200d👧👧 ❤\ufe0f", ["👩\u200d👧", "👧", "❤\ufe0f"]),
    ],
)
def test_words_begin_where_a_reader_sees_them_begin(text: str, expected: list[str]) -> None:
    """Apostrophes and hyphens are inside of words, punctuation is apart, and no character is parted."""
    assert whole(text) == expected


def test_a_token_is_never_parted() -> None:
    """One that holds the end of a word and the beginning of another belongs to the first of them."""
    assert words("a, b", [Span(0, 3), Span(3, 4)]) == [Word(Span(0, 2), (0,)), Word(Span(3, 4), (1,))]


def test_tokens_that_show_nothing_belong_to_the_next_that_does() -> None:
    """The bytes of a character before its last, a lone mark of white space, and what comes at the very end."""
    spans = [Span(0, 0), Span(0, 1), Span(1, 2), Span(2, 2), Span(2, 3), Span(3, 3)]

    assert words("é a", spans) == [Word(Span(0, 1), (0, 1)), Word(Span(2, 3), (2, 3, 4, 5))]


def test_tokens_that_stand_for_no_text_are_in_no_word() -> None:
    """What goes to a language's token is no sign of the word that it stands before."""
    assert words("a b", [None, None, Span(0, 1), Span(1, 3)]) == [Word(Span(0, 1), (2,)), Word(Span(2, 3), (3,))]


@pytest.mark.parametrize("seed", range(300))
def test_every_token_of_a_nasty_text_is_in_one_word(tokenizer: Tokenizer, seed: int) -> None:
    """Words are in order, apart, trimmed, and together they show all of the text but white space."""
    text = nasty(seed)
    spans = tokenizer.source_spans(text)

    found = words(text, spans)

    ids = tokenizer.encode(text)
    assert len(spans) == max(0, len(ids) - 1)
    assert [token for word in found for token in word.tokens] == (list(range(len(spans))) if found else [])
    end = 0
    for word in found:
        start, last = word.span
        shown = text[start:last]
        assert end <= start < last
        assert shown == shown.strip()
        assert text[end:start].strip("\u200b\u00ad\ufeff \t\u00a0▁") == ""
        assert not is_joined(text, start) or start == 0
        end = last
    assert text[end:].strip("\u200b\u00ad▁ ") == "" or not found


@pytest.mark.parametrize("seed", range(300))
def test_surfaces_are_the_text_that_is_decoded(tokenizer: Tokenizer, seed: int) -> None:
    """Joined, they are what decoding gives, for any ids at all: also bytes that are no character."""
    chosen = random.Random(seed)
    ids = tokenizer.encode(nasty(seed))[:-1]
    ids += tuple(chosen.randrange(1, 300) for _ in range(chosen.randrange(8)))

    assert "".join(tokenizer.surfaces(ids)) == tokenizer.decode(ids)
    assert len(tokenizer.surfaces(ids)) == len(ids)


SOURCE = [Word(Span(0, 3), (0, 1)), Word(Span(4, 7), (2,))]
TARGET = [Word(Span(0, 2), (0,)), Word(Span(3, 9), (1, 2))]


def test_weights_are_sums_over_source_tokens_and_means_over_target_tokens() -> None:
    """And what goes to the end of the source goes to no word."""
    rows = np.array([[0.25, 0.5, 0.0, 0.25], [0.0, 0.25, 0.5, 0.25], [0.0, 0.75, 0.25, 0.0], [0, 0, 0, 1]], np.float32)

    found = [(link.source.start, link.target.start, link.weight) for link in links(SOURCE, TARGET, rows)]

    assert found == [(0, 0, 0.75), (0, 3, 0.5), (4, 3, 0.375)]


def test_faint_links_are_left_out_but_for_the_strongest() -> None:
    """Every target word has a link, however little of its attention went to words."""
    faint = MIN_WEIGHT / 2
    rows = np.array(
        [[faint, 0, faint / 2, 1 - 1.5 * faint], [0.5, 0, faint, 0.5 - faint], [0.5, 0, 0, 0.5]], np.float32
    )

    assert [(link.source.start, link.target.start) for link in links(SOURCE, TARGET, rows)] == [(0, 0), (0, 3)]


def test_a_source_without_words_has_no_links() -> None:
    """Nor has an empty translation."""
    rows = np.ones((3, 1), np.float32)

    assert list(links([], TARGET, rows)) == []
    assert list(links(SOURCE, [], rows)) == []
