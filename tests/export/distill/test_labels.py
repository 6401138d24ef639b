"""What the teacher says of a text, line by line."""

import gzip
import json
from contextlib import contextmanager

import pytest

from dragoman.export.core.errors import ExportError
from dragoman.export.distill import labels
from dragoman.export.distill.labels import label_request, pairs, read_lines, write_labels
from dragoman.server.core.errors import InvalidRequest
from dragoman.server.core.requests import OnTooLong, Splitting
from dragoman.server.core.segments import FinishReason
from dragoman.server.core.translations import TextHypothesis, Timings, Translation


def test_only_a_line_end_ends_a_line(tmp_path):
    """Other separators of Unicode are text; a last line may lack its end; Windows' ends count."""
    path = tmp_path / "text.gz"
    path.write_bytes(gzip.compress("a\u2028b\x0cc\r\n\nlast".encode()))

    assert read_lines(path) == ["a\u2028b\x0cc", "", "last"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.en", b"\xff", "not UTF-8"),
        ("a.gz", b"plain", "not a whole gzip"),
        ("b.gz", gzip.compress(b"x" * 99, mtime=0)[:-9], "whole"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path, name, content, said):
    """With the file's name."""
    (tmp_path / name).write_bytes(content)

    with pytest.raises(ExportError, match=f"{name}: .*{said}"):
        read_lines(tmp_path / name)


class Teacher:
    """Says each text backwards, and notes what it was asked."""

    def __init__(self, monkeypatch) -> None:
        self.asked: list[list[str]] = []

        @contextmanager
        def opened(directory):
            yield self

        monkeypatch.setattr(labels, "LocalTranslator", opened)
        monkeypatch.setattr(labels, "CHUNK", 3)

    def outcomes(self, request):
        self.asked.append(list(request.texts))
        return [InvalidRequest("texts", "too long") if text == "bad" else backwards(text) for text in request.texts]


def backwards(text):
    hypothesis = TextHypothesis(text[::-1], 0.0, 0.0)
    return Translation((hypothesis,), FinishReason.STOP, None, 1, 1, 1, 1, Timings())


def test_work_goes_on_after_the_last_whole_line(tmp_path, monkeypatch):
    """What a kill left of a line is dropped, and only what is missing is translated."""
    teacher, path = Teacher(monkeypatch), tmp_path / "labels.jsonl"
    lines = ["one", "two", "bad", "four", "é\u2028"]
    write_labels(tmp_path, lines, path, None, lambda done, of: None)
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.index(b"\n", whole.index(b"two")) + 9])  # two lines, and a piece of the third
    teacher.asked.clear()

    write_labels(tmp_path, lines, path, None, lambda done, of: None)

    assert path.read_bytes() == whole
    assert teacher.asked == [["bad", "four", "é\u2028"]]
    assert [json.loads(line).get("target") for line in whole.splitlines()] == ["eno", "owt", None, "ruof", "\u2028é"]


def test_nothing_is_loaded_where_nothing_is_missing(tmp_path, monkeypatch):
    """And labels of a longer text are refused."""
    teacher, path = Teacher(monkeypatch), tmp_path / "labels.jsonl"
    write_labels(tmp_path, ["one", "two"], path, None, lambda done, of: None)
    teacher.asked.clear()
    monkeypatch.setattr(labels, "LocalTranslator", None)

    write_labels(tmp_path, ["one", "two"], path, None, lambda done, of: None)

    with pytest.raises(ExportError, match="has 2 lines, and the text 1"):
        write_labels(tmp_path, ["one"], path, None, lambda done, of: None)


class Letters:
    """Each letter is a piece."""

    def source(self, text):
        return [ord(letter) for letter in text]

    target = source


def test_pairs_that_teach_nothing_good_are_counted_by_reason(tmp_path):
    """Just within each limit a pair is kept, its end tokens added."""
    cases = [
        ("abcd", "wxyz", "stop", ""),
        ("abc", "abcdefghij", "stop", ""),  # 14 is twice 7
        ("abc", "abcdefghijk", "stop", "unlike lengths"),
        ("abcdefghijk", "abc", "stop", "unlike lengths"),
        ("a" * 19, "b" * 19, "stop", ""),
        ("a" * 20, "b" * 19, "stop", "long"),
        ("abcd", "wxyz", "length", "cut"),
        ("", "", "empty_input", "empty"),
        ("abcd", None, "error", "not translated"),
    ]
    path = tmp_path / "labels.jsonl"
    rows = [{"source": s, "end": e, **({} if t is None else {"target": t})} for s, t, e, _ in cases]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    sources, targets, dropped = pairs(path, Letters(), eos_id=0, most=20)

    assert dropped == {"unlike lengths": 2, "long": 1, "cut": 1, "empty": 1, "not translated": 1}
    assert len(sources) == len(targets) == 3
    assert targets.ids[targets.of_row(0)].tolist() == [*map(ord, "wxyz"), 0]


def test_a_line_is_one_sentence_and_is_read_whole_or_not_at_all():
    """Otherwise a pair would not be one translation."""
    request = label_request(["one", "two"], 4)

    assert request.texts == ("one", "two")
    assert (request.splitting, request.on_too_long) == (Splitting.NONE, OnTooLong.REJECT)
    assert request.overrides.beam_size == 4
