"""ParlAI's words. The whole tokenizer is compared with Blenderbot Small's own in tests/e2e."""

import itertools
import random
import re
from pathlib import Path

from dragoman.server.text.parlai import CONTINUED, NEW_LINE, ParlaiPieces, _words


def words_slowly(text: str) -> list[str]:
    """As ParlAI does it: spaces are put in, and what is between spaces are words."""
    found = []
    for stretch in re.findall(r"\S+\n?", text):
        spaced = re.sub("(')", r" \1 ", re.sub("([.,!?()])", r" \1", stretch))
        spaced = re.sub(r"\s{2,}", " ", spaced).replace("\n", f" {NEW_LINE}")
        found += [word for word in spaced.split(" ") if word]
    return found


def test_words_are_cut_as_where_spaces_are_put_in() -> None:
    """Of random texts of signs, apostrophes, letters and line ends, which meet in every way."""
    rng = random.Random(3)
    for _ in range(3_000):
        text = "".join(rng.choices("ab.,!?()'\n\r \t\u2028Ü", k=rng.randint(0, 12)))
        assert [word for word, _ in _words(text)] == words_slowly(text), ascii(text)
        places = [place for _, place in _words(text)]
        assert all(a.end <= b.start for a, b in itertools.pairwise(places)), ascii(text)


def test_pieces_stand_where_their_letters_do() -> None:
    """Of a letter that becomes two small ones the last has it, and of a line's end the last piece."""
    table = {f"{c}{end}": n for n, (c, end) in enumerate((c, end) for c in "ab_i\u0307newl" for end in ("", CONTINUED))}
    vocabulary = ParlaiPieces(Path("merges.txt"), b"", table, 99)

    text = "\u0130B a.\nb"

    found = [
        (vocabulary.token(index), text[span.start : span.end])
        for index, span in zip(vocabulary.encode(text), vocabulary.spans(text), strict=True)
    ]

    assert found[:5] == [("i@@", ""), ("\u0307@@", "\u0130"), ("b", "B"), ("a", "a"), (None, ".")]
    assert [shown for _, shown in found[5:]] == [*[""] * 8, "\n", "b"]
