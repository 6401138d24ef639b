"""A document from a file to a file."""

import asyncio
from pathlib import Path

import pytest
from documents import AsyncScribe, Scribe, translated

from dragoman.client import DragomanError, InputFormat, InvalidRequest, Options, Unavailable, UnsupportedOption
from dragoman.client.documents import (
    DocumentError,
    DocumentOptions,
    Progress,
    translate_data,
    translate_document,
    translate_document_async,
)


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """A document of three texts."""
    path = tmp_path / "book.txt"
    path.write_bytes(b"one\ntwo\n\nthree\n")
    return path


def failing_at(text: str, error: DragomanError) -> Scribe:
    """Raises before a text."""

    def answer(asked: str) -> str:
        if asked == text:
            raise error
        return asked.upper()

    return Scribe(answer)


def test_a_document_becomes_another(book: Path) -> None:
    """The options go along; nothing is left beside it."""
    scribe = Scribe()
    report = translate_document(scribe, book, str(book.with_name("livro.txt")), Options(beam_size=2))

    assert book.with_name("livro.txt").read_bytes() == b"ONE\nTWO\n\nTHREE\n"
    assert scribe.options == [Options(beam_size=2)]
    assert (report.units, report.translated, report.problems) == (3, 3, ())
    assert len(list(book.parent.iterdir())) == 2


def test_with_asyncio_it_is_the_same(book: Path) -> None:
    """Failures of texts included."""
    target = book.with_name("livro.txt")
    scribe = AsyncScribe(lambda text: InvalidRequest("no") if text == "two" else text.upper())

    report = asyncio.run(translate_document_async(scribe, book, target))

    assert target.read_bytes() == b"ONE\ntwo\n\nTHREE\n"
    assert report.failures == 1


def test_what_was_translated_before_an_error_is_not_sent_again(book: Path) -> None:
    """Nothing is written until all is there."""
    target = book.with_name("livro.txt")
    with pytest.raises(Unavailable):
        translate_document(failing_at("three", Unavailable("gone")), book, target)
    assert not target.exists()

    scribe = Scribe()
    report = translate_document(scribe, book, target)

    assert scribe.texts == ["three"]
    assert target.read_bytes() == b"ONE\nTWO\n\nTHREE\n"
    assert (report.translated, report.resumed) == (3, 2)
    assert sorted(path.name for path in book.parent.iterdir()) == ["book.txt", "livro.txt"]


def test_a_restart_and_other_options_begin_anew(book: Path) -> None:
    """What was made otherwise does not get into the document."""
    target = book.with_name("livro.txt")
    for _ in range(2):
        with pytest.raises(Unavailable):
            translate_document(failing_at("two", Unavailable("gone")), book, target, restart=True)

    scribe = Scribe()
    translate_document(scribe, book, target, Options(beam_size=2))

    assert scribe.texts == ["one", "two", "three"]


def test_a_text_that_failed_is_tried_again_by_the_next_run(book: Path) -> None:
    """And the others are not; also where the document is written over itself."""
    for target, in_place in ((book.with_name("livro.txt"), False), (book, True)):
        first = Scribe(lambda text: InvalidRequest("no") if text == "two" else text.upper())
        assert translate_document(first, book, target, in_place=in_place).failures == 1
        assert target.read_bytes() == b"ONE\ntwo\n\nTHREE\n"

        second = Scribe(lambda text: f"{text}!")
        assert translate_document(second, book, target, in_place=in_place).failures == 0
        assert second.texts == ["two"]
        assert target.read_bytes() == b"ONE\ntwo!\n\nTHREE\n"


def test_a_document_is_written_over_itself_with_a_word_only(book: Path) -> None:
    """Under whichever name."""
    link = book.with_name("link.txt")
    link.symlink_to(book)

    for target in (book, link):
        with pytest.raises(DocumentError, match="is the document itself"):
            translate_document(Scribe(), book, target)
    translate_document(Scribe(), book, link, in_place=True)
    assert book.read_bytes() == b"ONE\nTWO\n\nTHREE\n"


def test_what_cannot_be_done_is_said_before_anything_is_sent(book: Path) -> None:
    """No folder, no format, a format of texts that the document decides about, no such file."""
    scribe = Scribe()
    with pytest.raises(DocumentError, match="there is no folder"):
        translate_document(scribe, book, book.parent / "none" / "x.txt")
    with pytest.raises(DocumentError, match="what format is it"):
        translate_document(scribe, book.with_name("x.pdf"), book.with_name("y"))
    with pytest.raises(DocumentError, match="leave out the format of the texts"):
        translate_document(scribe, book, book.with_name("y"), Options(format=InputFormat.HTML))
    with pytest.raises(FileNotFoundError):
        translate_document(scribe, book.with_name("x.txt"), book.with_name("y"))
    assert scribe.options == []


def test_texts_with_mark_up_travel_as_such() -> None:
    """Apart from the others, and the rest of the options with them."""
    scribe = Scribe()
    data = b'["plain", "<b>bold</b>", "&lt;", "more"]'
    translate_data(scribe, data, Options(beam_size=2), DocumentOptions(in_format="json"))

    assert scribe.texts == ["plain", "more", "<b>bold</b>", "&lt;"]
    assert scribe.options == [Options(beam_size=2), Options(beam_size=2, format=InputFormat.HTML)]


def test_a_server_without_mark_up_fails_those_texts_alone() -> None:
    """They stay as they are instead of being sent as plain text; what fails every text is still raised."""

    def answer(text: str) -> str:
        if "<" in text:
            raise UnsupportedOption("format: not supported")
        return text.upper()

    written, _, report = translated('["plain", "<b>x</b>", "<i>y</i>"]', "json", answer)

    assert written == b'["PLAIN", "<b>x</b>", "<i>y</i>"]'
    assert [problem.message for problem in report.problems] == ["not translated: format: not supported"] * 2
    with pytest.raises(UnsupportedOption):
        translated("x<\n", "txt", answer)


def test_progress_is_told(book: Path) -> None:
    """After each text."""
    seen: list[Progress] = []
    translate_document(Scribe(), book, book.with_name("y.txt"), watch=seen.append)

    assert seen == [Progress(3, done, 11, characters) for done, characters in ((1, 3), (2, 6), (3, 11))]


def test_texts_travel_in_batches(book: Path) -> None:
    """As many to a call as the caller says."""
    sizes: list[int] = []

    class Sizes(Scribe):
        def translate_batches(self, batches, options):  # type: ignore[no-untyped-def]
            batches = list(batches)
            sizes.extend(map(len, batches))
            return super().translate_batches(batches, options)

    translate_document(Sizes(), book, book.with_name("y.txt"), batch_size=2)

    assert sizes == [2, 1]
