"""Blocks, built piece by piece."""

from dragoman.server.text.markup.building import DocumentBuilder
from dragoman.server.text.markup.document import Document, Escaping


def built(source: str, steps: str) -> Document:
    """`steps` has a letter for each character of the source: text, space, void, open, close, flush or nothing."""
    builder = DocumentBuilder(source, Escaping(str))
    for at, (character, step) in enumerate(zip(source, steps, strict=True)):
        match step:
            case "t":
                builder.literal(at, at + 1)
            case "s":
                builder.space(at, at + 1)
            case "v":
                builder.void(at, at + 1)
            case "o":
                builder.open(character.lower(), at, at + 1)
            case "c":
                builder.close(character.lower(), at, at + 1)
            case "a":
                builder.atom("atom", at, at + 1)
            case "f":
                builder.flush()
    return builder.document()


def marks(document: Document) -> list[list[tuple[int, int, str, str]]]:
    def written(span: tuple[int, int] | None) -> str:
        return "" if span is None else document.source[slice(*span)]

    return [[(m.start, m.end, written(m.before), written(m.after)) for m in b.marks] for b in document.blocks]


def test_marks_are_around_text() -> None:
    """The outer one first."""
    assert marks(built("AxByzba", "ototccc"[:2] + "ottcc")) == [[(0, 3, "A", "a"), (1, 3, "B", "b")]]


def test_a_mark_across_blocks_is_in_both() -> None:
    """In the first one it has no end, in the last one no beginning, and none is in between."""
    assert marks(built("xAy|z|wa", "totftftc")) == [[(1, 2, "A", "")], [], [(0, 1, "", "a")]]


def test_what_does_not_match_is_around_nothing() -> None:
    """Of two marks that cross, and of ends without a beginning."""
    assert marks(built("AxByazbc", "otottccc"[:4] + "ctcc")) == [
        [(0, 2, "A", "a"), (1, 1, "B", ""), (3, 3, "b", ""), (3, 3, "c", "")]
    ]


def test_a_mark_around_no_text_is_one_with_all_that_is_in_it() -> None:
    """It stands at its place, white space and other marks among it."""
    assert marks(built("xA Bbay", "tosocct")) == [[(2, 2, "A Bba", "")]]


def test_white_space_is_one_space() -> None:
    """None where a block begins."""
    [block] = built("  a   b", "sstssst").blocks

    assert block.text == "a b"


def test_a_block_without_letters_is_none() -> None:
    """Numbers and signs stay as they are, and so does what has nothing but atoms."""
    assert built("12|C|- ", "ttfafts").blocks == ()
