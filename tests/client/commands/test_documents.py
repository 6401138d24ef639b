"""Documents through `dragoman translate`."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from dragoman.cli.main import main
from dragoman.client import FinishReason, Hypothesis, Options, Translation
from dragoman.client.commands import documents, local
from dragoman.v1 import translation_pb2 as pb

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with two documents."""
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_bytes(b"one\r\n\r\n  two\r\n")
    Path("b.json").write_bytes(b'{"x": "three", "y": 4}')
    return tmp_path


def translate(fake: Any, *arguments: str) -> int:
    """Run the command against the fake server."""
    return main(["translate", "--server", fake.address, *arguments])


def failing(text: str) -> Any:
    """A server that has no translation for one text."""

    def reply(request: pb.TranslateRequest, context: grpc.ServicerContext) -> pb.TranslateResponse:
        failed: dict[str, Any] = {"status": {"code": 3, "message": "too long"}}
        return pb.TranslateResponse(
            results=[
                {"index": index, **(failed if sent.text == text else {"text": sent.text.upper(), "finish_reason": 1})}
                for index, sent in enumerate(request.texts)
            ]
        )

    return reply


def test_a_file_becomes_a_file(fake: Any, capsys: Capture) -> None:
    """Nothing is printed, and the options arrive."""
    assert translate(fake, "--to", "pt", "a.txt", "-o", "b.txt") == 0

    assert Path("b.txt").read_bytes() == b"ONE\r\n\r\n  TWO\r\n"
    assert capsys.readouterr() == ("", "")
    assert fake.requests == [pb.TranslateRequest(texts=[{"text": "one"}, {"text": "two"}], target_language="pt")]


def test_several_files_go_into_a_folder(fake: Any) -> None:
    """Which is made; a single one does, too, where it is one."""
    assert translate(fake, "a.txt", "b.json", "-o", "out/pt") == 0
    assert Path("out/pt/a.txt").read_bytes() == b"ONE\r\n\r\n  TWO\r\n"
    assert Path("out/pt/b.json").read_bytes() == b'{"x": "THREE", "y": 4}'

    assert translate(fake, "a.txt", "-o", "out") == 0
    assert Path("out/a.txt").exists()


def test_files_over_themselves(fake: Any, capsys: Capture) -> None:
    """With a word, and not without."""
    assert translate(fake, "a.txt", "-o", "./a.txt") == 1
    assert "--in-place" in capsys.readouterr().err
    assert Path("a.txt").read_bytes() == b"one\r\n\r\n  two\r\n"

    assert translate(fake, "a.txt", "b.json", "--in-place") == 0
    assert Path("a.txt").read_bytes() == b"ONE\r\n\r\n  TWO\r\n"


def test_a_pipe_has_a_format(fake: Any, monkeypatch: pytest.MonkeyPatch, capfdbinary: Any) -> None:
    """Bytes in, bytes out; either end may be a file."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'["one"]\r\n')))
    assert translate(fake, "--in-format", "json") == 0
    assert capfdbinary.readouterr().out == b'["ONE"]\r\n'

    assert translate(fake, "b.json", "-o", "-") == 0
    assert capfdbinary.readouterr().out == b'{"x": "THREE", "y": 4}'

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'["one"]\r\n')))
    assert translate(fake, "--in-format", "json", "-o", "c") == 0
    assert Path("c").read_bytes() == b'["ONE"]\r\n'


def test_a_text_that_failed_stays_and_is_named(fake: Any, capsys: Capture) -> None:
    """The file is written, the exit code is 1; the next run asks for nothing else."""
    fake.reply = failing("two")
    assert translate(fake, "a.txt", "-o", "b.txt") == 1
    assert Path("b.txt").read_bytes() == b"ONE\r\n\r\n  two\r\n"
    assert capsys.readouterr().err.splitlines() == [
        "dragoman translate: a.txt: line 3: not translated: too long",
        "dragoman translate: a.txt: 1 of 2 texts have no translation and stay as they were",
    ]

    fake.reply = failing("")
    assert translate(fake, "a.txt", "-o", "b.txt") == 0
    assert Path("b.txt").read_bytes() == b"ONE\r\n\r\n  TWO\r\n"
    assert [text.text for text in fake.requests[-1].texts] == ["two"]
    assert sorted(path.name for path in Path().iterdir()) == ["a.txt", "b.json", "b.txt"]


def test_json_reports_on_the_documents(fake: Any, capsys: Capture) -> None:
    """One object each."""
    fake.reply = failing("two")
    assert translate(fake, "a.txt", "b.json", "-o", "out", "--json") == 1

    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["file"], first["output"], first["units"], first["translated"]) == ("a.txt", "out/a.txt", 2, 1)
    assert first["problems"] == [{"place": "line 3", "message": "not translated: too long", "is_failure": True}]
    assert (second["units"], second["translated"], second["resumed"], second["problems"]) == (1, 1, 0, [])


def test_a_document_that_is_broken_costs_no_other(fake: Any, capsys: Capture) -> None:
    """It is named, without a traceback, and nothing is written for it."""
    Path("bad.json").write_bytes(b"{")
    Path("wide.txt").write_bytes("one".encode("utf-16-le"))
    names = ["bad.json", "wide.txt", "none.txt", "x.pdf", "out"]

    assert translate(fake, *names, "a.txt", "-o", "out") == 1

    said = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1] for line in said] == names
    assert [path.name for path in Path("out").iterdir()] == ["a.txt"]


def test_an_interrupted_run_says_that_it_goes_on(fake: Any, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the next one does."""

    def interrupted(*_: object) -> bytes:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("dragoman.client.documents.translating.write_file", interrupted)
        assert translate(fake, "a.txt", "-o", "b.txt") == 130
    assert "a.txt: interrupted; the same command goes on" in capsys.readouterr().err
    assert not Path("b.txt").exists()

    assert translate(fake, "a.txt", "-o", "b.txt", "--json") == 0
    assert json.loads(capsys.readouterr().out)["resumed"] == 2
    assert len(fake.requests) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a.txt", "--encoding", "latin-1"], "--encoding is about documents"),
        (["a.txt", "--keys", "x"], "--keys is about documents"),
        (["a.txt", "--only-missing"], "--only-missing is about documents"),
        (["a.txt", "--restart"], "--restart is about documents"),
        (["--file", "a.txt", "-o", "b.txt"], "--file is for lines of plain text"),
        (["a.txt", "-o", "b.txt", "--in-place"], "exclude each other"),
        (["a.txt", "-o", "b.txt", "--num-hypotheses", "2"], "has one translation"),
        (["a.txt", "-o", "b.txt", "--scores"], "--scores has no place in a document"),
        (["a.txt", "-o", "-", "--json"], "would both go to the standard output"),
        (["-o", "b.txt"], "what format does the standard input have"),
        (["--in-place"], "--in-place needs the name of a file"),
        (["a.txt", "b.json", "--in-format", "txt"], "need -o DIR"),
        (["a.txt", "x/a.txt", "-o", "out"], "out/a.txt would be written twice"),
        (["-", "--in-place", "--in-format", "txt"], "--in-place needs the name of a file"),
    ],
)
def test_arguments_that_do_not_go_together_are_bad_usage(
    fake: Any, arguments: list[str], said: str, capsys: Capture
) -> None:
    """Before anything is read or sent."""
    assert translate(fake, *arguments) == 2
    assert said in capsys.readouterr().err
    assert fake.requests == []


@pytest.mark.parametrize("arguments", [["--keys", "x"], ["--only-missing"], ["--format", "html"]])
def test_what_the_format_has_no_use_for_is_refused(fake: Any, arguments: list[str], capsys: Capture) -> None:
    """By name."""
    assert translate(fake, "a.txt", "-o", "b.txt", *arguments) == 1
    assert arguments[0] in capsys.readouterr().err
    assert not Path("b.txt").exists()


@pytest.mark.parametrize(("flags", "is_shown"), [([], True), (["--quiet"], False)])
def test_progress_is_shown_on_a_terminal(
    fake: Any, monkeypatch: pytest.MonkeyPatch, flags: list[str], is_shown: bool
) -> None:
    """With the time that is left, unless it is to be quiet."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr("dragoman.cli.progress.QUIET_S", 0.0)

    assert translate(fake, "a.txt", "-o", "b.txt", *flags) == 0
    assert ("a.txt: 1 of 2 texts, 50 %, 0:00 left" in terminal.getvalue()) == is_shown


def test_a_bundle_needs_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts go to it in larger batches, as it answers one call at a time."""
    asked: list[Any] = []

    @contextmanager
    def load(directory: Path) -> Iterator[Path]:
        yield directory

    def batches(service: Path, batches: Iterator[list[str]], options: Options) -> Iterator[Translation]:
        for batch in batches:
            asked.append((service, len(batch), options))
            yield from (Translation((Hypothesis(text.upper()),), FinishReason.STOP) for text in batch)

    monkeypatch.setattr(local, "local_service", load)
    monkeypatch.setattr(local, "translate_batches", batches)
    Path("c.txt").write_text("\n".join(f"line {n}" for n in range(130)))

    assert main(["translate", "--bundle", "d", "--beam-size", "2", "c.txt", "-o", "e.txt"]) == 0
    assert asked == [(Path("d"), 128, Options(beam_size=2)), (Path("d"), 2, Options(beam_size=2))]
    assert Path("e.txt").read_text() == "\n".join(f"LINE {n}" for n in range(130))


def test_a_document_that_is_read_line_by_line_is_named(fake: Any, capsys: Capture) -> None:
    """Its mark-up is sent as plain text, but not in silence."""
    Path("a.md").write_text("one\n")

    assert translate(fake, "--file", "a.md") == 0
    assert capsys.readouterr() == (
        "ONE\n",
        "dragoman translate: a.md is read as lines of plain text; `a.md -o FILE` would keep what is md\n",
    )
    assert translate(fake, "--file", "a.txt") == 0
    assert capsys.readouterr().err == ""


def test_tasks_are_pairs_of_files() -> None:
    """What a task calls itself is what messages say."""
    assert documents.Task(Path("a"), Path("b")).name == "a"
    assert documents.Task(documents.STREAM, Path("b")).name == "the standard input"
