"""Documents in text files."""

from dragoman.client.documents.files import text_file
from dragoman.client.documents.text_document import TextDocument, one_line


def test_a_document_grows_while_its_format_reads() -> None:
    """Units with stretches of their own, and stretches that several units share."""
    document = TextDocument(text_file(b"a b c"))
    document.add(0, 1, "a", "first", str)
    units = document.add_units([document.units[0], document.units[0]])
    document.add_edit(2, 5, units, "+".join)

    assert units == (1, 2)
    assert document.written(["A", "B", "C"]).data == b"A B+C"


def test_lines_are_counted_from_one() -> None:
    """As editors do."""
    document = TextDocument(text_file(b"a\nb\n"))

    assert [document.line(position) for position in range(5)] == [1, 1, 2, 2, 3]


def test_one_line_is_one_line() -> None:
    """Also where the lines end as on other systems."""
    assert one_line("a\r\n\nb\rc") == "a b c"
