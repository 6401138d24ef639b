"""fastBPE's merges. The whole tokenizer is compared with FSMT's own in tests/e2e."""

import itertools
import random
import sys
from pathlib import Path

import pytest

from dragoman.server.core.errors import StartError
from dragoman.server.text.moses import END_OF_WORD, MosesPieces, apply_merges


def merged_slowly(word: str, merges: list[tuple[str, str]]) -> tuple[str, ...]:
    """One merge after the other, from the left, always beginning anew with the first that applies."""
    pieces = [*word[:-1], word[-1] + END_OF_WORD]
    while applicable := [pair for pair in merges if pair in set(itertools.pairwise(pieces))]:
        left, right = applicable[0]
        position = 0
        while position < len(pieces) - 1:
            if (pieces[position], pieces[position + 1]) == (left, right):
                pieces[position : position + 2] = [left + right]
            position += 1
    return tuple(pieces)


def test_words_are_cut_as_by_the_obvious_way() -> None:
    """Of random merges over two letters, which overlap in every way."""
    rng = random.Random(7)
    for _ in range(300):
        pieces = ["a", "b", "a</w>", "b</w>"]
        merges: list[tuple[str, str]] = []
        for _ in range(rng.randrange(12)):
            left = rng.choice([piece for piece in pieces if not piece.endswith(END_OF_WORD)])
            pair = left, rng.choice(pieces)
            if pair not in merges:
                merges.append(pair)
                pieces.append("".join(pair))
        word = "".join(rng.choice("ab") for _ in range(rng.randint(1, 14)))
        ranks = {pair: rank for rank, pair in enumerate(merges)}
        assert apply_merges(word, ranks) == merged_slowly(word, merges), (word, merges)


def test_a_file_that_is_no_list_of_merges_stops_the_start() -> None:
    """With its name."""
    pytest.importorskip("sacremoses")
    for content in (b"a\n", b"a b\nc", b"\xff"):
        with pytest.raises(StartError, match=r"merges\.txt (is not a list of merges|cannot be read)"):
            MosesPieces("en", Path("merges.txt"), content, {}, 0)


def test_without_the_rules_the_start_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are needed for such bundles only, so they are an extra."""
    monkeypatch.setitem(sys.modules, "sacremoses", None)

    with pytest.raises(StartError, match=r"pip install 'dragoman\[moses\]'"):
        MosesPieces("en", Path("merges.txt"), b"", {}, 0)
