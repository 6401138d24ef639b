"""`dragoman translate --live`, from its arguments to what it prints."""

from __future__ import annotations

import io
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from dragoman.cli.main import main
from dragoman.client.commands import local
from dragoman.server.app.in_process import InProcessService
from dragoman.server.app.translator import LocalTranslator
from dragoman.server.testing import FakeLanes, write_bundle

Capture = pytest.CaptureFixture[str]


def translated(fake: Any, monkeypatch: pytest.MonkeyPatch, data: bytes, *arguments: str) -> int:
    """Run the command over bytes that come at once."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    return main(["translate", "--server", fake.address, "--live", *arguments])


def test_a_line_grows_before_it_has_ended(
    fake: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Capture
) -> None:
    """Each piece is translated when it comes, before the writer goes on with the next; pieces may cut characters."""
    reading, writing = os.pipe()

    def write() -> None:
        with open(writing, "wb", buffering=0) as pipe:
            for piece in (b"The ", b"d\xc3", b"\xb3g i", b"s.\nNo", b" one\n"):
                pipe.write(piece)
                assert fake.arrived.acquire(timeout=30)

    with (tmp_path / "out").open("w+", encoding="utf-8") as out, open(reading, encoding="utf-8") as lines:
        monkeypatch.setattr(sys, "stdin", lines)
        monkeypatch.setattr(sys, "stdout", out)
        writer = threading.Thread(target=write)
        writer.start()
        assert main(["translate", "--server", fake.address, "--live", "--wait", "2", "--to", "pt"]) == 0
        writer.join()
        monkeypatch.undo()

    sent = [(message.texts[0].text, message.is_whole) for message in fake.piped]
    assert sent[:4] == [("The ", False), ("The d", False), ("The dóg i", False), ("The dóg is.", True)]
    assert sent[-1] == ("No one", True)
    assert (tmp_path / "out").read_text("utf-8") == "THE DÓG IS.\nNO ONE\n"
    assert capsys.readouterr().err == ""


def test_ends_of_lines_and_empty_lines_stay(fake: Any, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """One line in is one line out; nothing is asked about an empty one."""
    assert translated(fake, monkeypatch, b"one\r\n\ntwo\nthree") == 0

    assert capsys.readouterr() == ("ONE\r\n\nTWO\nTHREE", "")
    assert [message.texts[0].text for message in fake.piped] == ["one", "two", "three"]


def test_json_has_all_that_is_said(fake: Any, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """An object whenever there is more, with the line that it is about."""
    assert translated(fake, monkeypatch, b"one\nbad\n\ntwo", "--json") == 1

    objects = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert objects == [
        {"index": 0, "text": "ONE", "is_whole": True},
        {"index": 1, "error": {"code": "INVALID_ARGUMENT", "message": "too long"}},
        {"index": 2, "text": "", "is_whole": True},
        {"index": 3, "text": "TWO", "is_whole": True},
    ]


def test_a_line_that_fails_ends_and_the_next_is_translated(
    fake: Any, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """It is reported, also where its bytes are no text; what comes of it later is not sent."""
    assert translated(fake, monkeypatch, b"bad\n\xff\ntwo\n") == 1

    out, err = capsys.readouterr()
    assert out == "\n\nTWO\n"
    assert err.splitlines() == [
        "dragoman translate: line 1: not translated: too long",
        "dragoman translate: line 2: not translated: not UTF-8 (invalid start byte at byte 0)",
    ]


def test_what_ends_the_pipe_ends_the_command(fake: Any, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """Every further line would meet the same."""
    assert translated(fake, monkeypatch, b"worse\ntwo\n") == 1

    assert capsys.readouterr() == ("", "dragoman translate: live.wait: refused\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--wait", "2"], "--wait is about lines that are being written: add --live"),
        (["--live", "text"], "--live reads the standard input: leave out TEXT"),
        (["--live", "--file", "a.txt"], "--live reads the standard input: leave out --file"),
        (["--live", "--in-format", "txt"], "--live and documents exclude each other: a document is whole"),
        (["--live", "--alignments"], "--alignments has no place in plain lines: add --json"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments: list[str], said: str, capsys: Capture) -> None:
    """Before a server is asked."""
    assert main(["translate", *arguments]) == 2

    assert capsys.readouterr() == ("", f"dragoman translate: {said}\n")


def test_a_bundle_translates_what_is_being_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """In this process, in a server's words, refusals too."""
    from contextlib import contextmanager

    directory = write_bundle(tmp_path / "echo").directory

    @contextmanager
    def opened(_: Path) -> Any:
        with LocalTranslator(directory, lanes=FakeLanes()) as translator:
            yield InProcessService(translator)

    monkeypatch.setattr(local, "local_service", opened)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"The dog. It barks.\nA cat.\n")))
    assert main(["translate", "--bundle", str(directory), "--live"]) == 0
    assert capsys.readouterr() == ("The dog. It barks.\nA cat.\n", "")

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"The dog.\n")))
    assert main(["translate", "--bundle", str(directory), "--live", "--wait", "101", "--num-hypotheses", "2"]) == 1
    said = capsys.readouterr().err
    assert "decoding.num_hypotheses: there is one that grows" in said
    assert "live.wait: not between 1 and 100" in said
