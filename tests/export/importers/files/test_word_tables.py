"""Tables of words as a `tokenizer.json`: what the library that defines the file makes of texts."""

import pytest
from tokenizers import Tokenizer

from dragoman.export.importers.files.word_tables import characters_but, replaced, space_of, word_table, words_but

WORDS = {"<unk>": 3, "the": 4, "cat": 5, "ca": 6, ".": 9}
LETTERS = {"<unk>": 3, "a": 4, "b": 5, "▁": 7}


def opened(*arguments, **options) -> Tokenizer:
    return Tokenizer.from_buffer(word_table(*arguments, **options))


def ids(tokenizer, text) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False).ids


def test_words_end_at_white_space_alone():
    """Signs are words of their own only where the text has them so; what is not listed is the unknown word."""
    table = opened(WORDS, "<unk>", "spaces")

    assert ids(table, "the  cat .\tcat. dog") == [4, 5, 9, 5 - 2, 3]
    assert table.decode([4, 5, 9]) == "the cat ."


def test_each_character_is_a_word():
    """White space is one where something stands for it, and comes back as a space; else it is left out."""
    table = opened(LETTERS, "<unk>", "characters", space="▁")
    without = opened({"<unk>": 3, "a": 4, "b": 5}, "<unk>", "characters")

    assert ids(table, "ab  a\ncb") == [4, 5, 7, 4, 7, 3, 5]
    assert table.decode([4, 5, 7, 4]) == "ab a"
    assert ids(without, "ab a") == [4, 5, 4]
    assert without.decode([4, 5, 4]) == "aba"


@pytest.mark.parametrize(
    ("text", "expected"), [("the cat cats ca .", [4, 5, 6, 9]), ("xthe", []), ("the\u00e9 the", [4]), ("..", [])]
)
def test_words_that_are_not_listed_may_be_left_out(text, expected):
    """A word that only begins like a listed one is not listed, and signs in words are no pattern's signs."""
    known = [word for word in WORDS if word != "<unk>"]

    table = opened(WORDS, "<unk>", "spaces", normalizers=(replaced(words_but(known), ""),))

    assert ids(table, text) == expected


def test_characters_that_are_not_listed_may_be_left_out():
    """Those that mean something in a pattern are characters like any other."""
    known = {"<unk>": 0, "]": 1, "^": 2, "-": 3, "a": 4, " ": 5, "'": 6}

    table = opened(known, "<unk>", "characters", space=" ", normalizers=(replaced(characters_but("]^-a '"), ""),))

    assert ids(table, "a]b^-c 'é") == [4, 1, 2, 3, 5, 6]


@pytest.mark.parametrize(
    ("words", "expected"),
    [(["_", "<space>"], "<space>"), (["_", " "], " "), (["|", "\u2581"], "\u2581"), (["a"], None)],
)
def test_the_surest_sign_of_a_space_is_taken(words, expected):
    """And none where words end at spaces."""
    assert space_of(words, "characters") == expected
    assert space_of(words, "spaces") is None


@pytest.mark.parametrize("sign", ["<space>", "_", "|", " "])
def test_a_sign_of_a_space_is_one_word_whatever_it_is(sign):
    """Of several characters, too, of which each alone is none; a text that has a sign of one has that word."""
    table = opened({"<unk>": 3, "a": 4, "b": 5, sign: 7}, "<unk>", "characters", space=sign)

    assert ids(table, "a  b") == [4, 7, 5]
    assert table.decode([4, 7, 5]) == "a b"
    assert ids(table, "<") == [3]
    assert ids(table, f"a{sign}b") == [4, 7, 5] or len(sign) > 1
