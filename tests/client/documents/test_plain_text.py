"""Plain text as a document."""

import pytest
from documents import translated
from hypothesis import given, settings
from hypothesis import strategies as st
from properties import examples


@settings(max_examples=examples(100), deadline=None)
@given(st.text(st.sampled_from("ab \t\r\n\u00a0\u2028é\x0c")))
def test_all_but_letters_is_layout(text: str) -> None:
    """Line ends of each kind, indentation, trailing blanks and what only looks like a line end come back."""
    written, _, _ = translated(text, "txt")

    assert written.decode() == text.upper()


def test_each_line_is_a_text_of_its_own() -> None:
    """Without the white space around it; blank lines and lines without a letter are not sent."""
    written, sent, report = translated("  one two \r\n\r\n---\rthree", "txt")

    assert sent == ["one two", "three"]
    assert written == b"  ONE TWO \r\n\r\n---\rTHREE"
    assert (report.units, report.translated) == (3, 3)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32", "cp1252"])
def test_a_file_keeps_its_encoding(encoding: str) -> None:
    """A byte order mark says what it is, or the user does."""
    written, sent, _ = translated("é\n".encode(encoding), "txt", encoding="cp1252")

    assert sent == ["é"]
    assert written == "É\n".encode(encoding)


def test_a_translation_of_several_lines_goes_out_as_one() -> None:
    """Line n out belongs to line n in."""
    written, _, _ = translated("a\nb\n", "txt", lambda text: text + "\r\n" + text)

    assert written == b"a a\nb b\n"


def test_what_the_encoding_cannot_write_is_reported() -> None:
    """The line stays as it is, the others are written."""
    written, _, report = translated(b"a\nb\n", "txt", {"a": "\u0119", "b": "B"}.__getitem__, encoding="latin-1")

    assert written == b"a\nB\n"
    [problem] = report.problems
    assert (problem.place, problem.is_failure) == ("line 1", True)
    assert "'\u0119', which the file's encoding iso8859-1 cannot write" in problem.message
