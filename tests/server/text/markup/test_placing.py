"""Marks around the words that translate theirs."""

import numpy as np
import pytest
from marked_up import backwards, sentence, sentences

from dragoman.server.text.markup.html import parse_html
from dragoman.server.text.markup.placing import Insertion, place, proportional


def placed(source: str, target: str, pairs: list[tuple[int, int]] | None) -> str:
    """A sentence's marks in its translation; pairs are words of the target and of the source."""
    [block] = parse_html(source).blocks
    [passage] = sentences(block)
    read, said = sentence(passage.text), sentence(target)
    shares = None
    if pairs is not None:
        shares = np.full((len(said.words), len(read.words)), 0.01)
        for row, column in pairs:
            shares[row, column] = 1.0
    return written(source, target, place(passage.marks, read, said, shares))


def written(source: str, target: str, insertions: list[Insertion]) -> str:
    parts, position = [], 0
    for at, span, before, after in insertions:
        parts += (target[position:at], before, source[slice(*span)], after)
        position = at
    return "".join((*parts, target[position:]))


RED = [(0, 0), (1, 2), (2, 1)]


@pytest.mark.parametrize(
    ("source", "target", "pairs", "expected"),
    [
        ("the <b>red</b> car", "o carro vermelho", RED, "o carro <b>vermelho</b>"),
        ("the <b>red</b> <i>car</i>", "o carro vermelho", RED, "o <i>carro</i> <b>vermelho</b>"),
        ("the <b>red <i>car</i></b>", "o carro vermelho", RED, "o <b><i>carro</i> vermelho</b>"),
        ("<u>the <b>red</b></u> car", "o carro vermelho", RED, "<u>o carro <b>vermelho</b></u>"),
        ("the <b><i>red</i></b> car", "o carro vermelho", RED, "o carro <b><i>vermelho</i></b>"),
        ("log <b>in</b> now", "entrar agora", [(0, 0), (1, 2)], "<b>entrar</b> agora"),
        ("a <b>b</b>, c", "x, y", [(0, 0), (1, 2), (2, 1)], "x, <b>y</b>"),
        ("a <b>(b)</b> c", "x (y) z", [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4)], "x <b>(y)</b> z"),
        ("a <b>“b”</b> c", "z «y» x", [(0, 4), (2, 2), (4, 0)], "z <b>«y»</b> x"),
        ("in H<sub>2</sub>O only", "só em H2O", [(0, 2), (1, 0), (2, 1)], "só em H<sub>2</sub>O"),
        ("H<sub>2</sub>O or x<sup>2</sup>", "x2 ou H2O", [(0, 2), (1, 1), (2, 0)], "x<sup>2</sup> ou H<sub>2</sub>O"),
        ("<u>S</u>ave it", "salve isso", [(0, 0), (1, 1)], "<u>salve</u> isso"),
        ("a word<sup><a>1</a></sup> here", "aqui palavra1", [(0, 2), (1, 1)], "aqui palavra<sup><a>1</a></sup>"),
        ("a word<wbr> b", "x palavra y", [(0, 0), (1, 1), (2, 2)], "x palavra<wbr> y"),
        ("press <img> now", "já aperte", [(0, 1), (1, 0)], "<img> já aperte"),
        ("press <img> now", "aperte já", [(0, 0), (1, 1)], "aperte <img> já"),
        ("a <b>b</b> c", "", [], "<b></b>"),
        ("a <b>b</b> c", "um dois três", None, "um <b>dois</b> três"),
    ],
)  # fmt: skip
def test_placing(source: str, target: str, pairs: list[tuple[int, int]] | None, expected: str) -> None:
    """Marks change their order with the words, keep punctuation that is theirs, and are all there."""
    assert placed(source, target, pairs) == expected


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("one <b>two. three</b> four.", ("um dois.", "três quatro."), "um <b>dois. três</b> quatro."),
        ("one <b>two. three</b> four.", ("dois um.", "quatro três."), "<b>dois um. quatro três</b>."),
    ],
)
def test_marks_across_sentences(source: str, target: tuple[str, str], expected: str) -> None:
    """They last from where they begin to the end of a sentence, and from its beginning to where they end."""
    [block] = parse_html(source.replace("three", "Three")).blocks
    result = []
    for passage, said in zip(sentences(block), target, strict=True):
        read = sentence(passage.text)
        shares = np.eye(3) if said.startswith(("um", "três")) else np.eye(3)[[1, 0, 2]]
        result.append(written(source, said, place(passage.marks, read, sentence(said), shares)))

    assert " ".join(result) == expected


def test_words_that_are_written_alike_stand_for_each_other() -> None:
    """Where a model does not say what it attended to; all others by their place."""
    source, target = sentence("see Bob now"), sentence("Bob vê agora")

    assert proportional(source, target).argmax(axis=1).tolist() == [1, 1, 2]


def test_a_sentence_backwards() -> None:
    """Every mark follows its words, and marks within marks."""
    source = "<b>one <i>two</i></b> <u>three</u> four"
    [block] = parse_html(source).blocks
    [passage] = sentences(block)
    read = sentence(passage.text)
    target, shares = backwards(read)

    assert written(source, target.text, place(passage.marks, read, target, shares)) == (
        "FOUR <u>THREE</u> <b><i>TWO</i> ONE</b>"
    )


def test_a_thousand_marks_within_each_other() -> None:
    """Nesting is as deep as a sentence is long, and deeper where marks are around the same words."""
    deep = "<b>a " * 500 + "</b>" * 500
    same = "x " + "<b>" * 5000 + "a" + "</b>" * 5000 + " y"

    for source in (deep, same):
        [block] = parse_html(source).blocks
        [passage] = sentences(block)
        read = sentence(passage.text)
        result = written(source, read.text, place(passage.marks, read, read, np.eye(len(read.words))))
        assert result.count("<b>") + source[: passage.source.start].count("<b>") == source.count("<b>")
