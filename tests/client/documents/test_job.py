"""What there is to do for a document."""

from documents import Scribe, translated, translation

from dragoman.client import FinishReason, InvalidRequest
from dragoman.client.documents.document import DocumentOptions, Markup
from dragoman.client.documents.formats import format_for, read_document
from dragoman.client.documents.job import Job, Problem, Progress


def job(text: str, **known: str) -> Job:
    """Of plain text."""
    document = read_document(text.encode(), format_for(None, "txt"), DocumentOptions())
    return Job(document, {(Markup.NONE, source): (target, "") for source, target in known.items()})


def test_a_text_that_stands_there_twice_is_sent_once() -> None:
    """White space around it is no part of it."""
    written, sent, report = translated("one\n two\none \n  one", "txt")

    assert sent == ["one", "two"]
    assert written == b"ONE\n TWO\nONE \n  ONE"
    assert (report.units, report.translated) == (4, 4)


def test_what_is_known_is_not_sent() -> None:
    """And counts as resumed."""
    work = job("one\ntwo\none", one="um")

    assert list(work.rounds()) == [(Markup.NONE, ["two"])]
    work.take((Markup.NONE, "two"), translation(" dois\n"))
    data, report = work.finish()
    assert data == b"um\ndois\num"
    assert (report.translated, report.resumed) == (3, 2)


def test_progress_counts_what_this_run_has_to_do() -> None:
    """Known texts are done, and take no time."""
    work = job("one\ntwelve\nthree", one="um")

    assert work.progress == Progress(3, 1, 11, 0)
    work.take((Markup.NONE, "twelve"), InvalidRequest("no"))
    assert work.progress == Progress(3, 2, 11, 6)


def test_failures_and_doubts_are_told_apart() -> None:
    """In the order of the document, at each place where the text stands."""
    answers = {
        "a": InvalidRequest("too long"),
        "b": translation("B", finish_reason=FinishReason.LENGTH),
        "c": translation("C"),
    }
    written, _, report = translated("b\na\nc\na\n", "txt", answers.__getitem__)

    assert written == b"B\na\nC\na\n"
    assert report.problems == (
        Problem("line 1", report.problems[0].message, is_failure=False),
        Problem("line 2", "not translated: too long", is_failure=True),
        Problem("line 4", "not translated: too long", is_failure=True),
    )
    assert "may be incomplete" in report.problems[0].message
    assert (report.units, report.translated, report.failures) == (4, 2, 2)


def test_without_letters_there_is_nothing_to_send() -> None:
    """Numbers, signs and smileys are what they are."""
    scribe = Scribe()
    written, sent, _ = translated("12.5 %\n\U0001f389 !\n--\n", "txt", scribe.answer)

    assert (written, sent) == ("12.5 %\n\U0001f389 !\n--\n".encode(), [])
