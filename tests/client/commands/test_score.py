"""`dragoman score`, from its arguments to what it prints."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from dragoman.cli.main import main
from dragoman.v1 import translation_pb2 as pb

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def feed(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets what the standard input holds."""
    return lambda data: monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def score(fake: Any, *arguments: str) -> int:
    """Run the command against the fake server, whose score is minus the length of the translation."""
    return main(["score", "--server", fake.address, *arguments])


def test_pairs_of_a_pipe_are_scored_line_by_line(fake: Any, feed: Any, capsys: Capture) -> None:
    """Over several calls; Windows line ends and an empty translation are no trouble."""
    feed(b"".join(b"a\t%s\n" % (b"x" * n) for n in range(70)) + b"b\tyy\r\n")

    assert score(fake) == 0

    assert capsys.readouterr().out.split() == [f"{-n:.4f}" for n in map(float, [*range(70), 2])]
    assert len(fake.scored) == 3


def test_a_file_of_pairs_is_read_like_a_pipe(fake: Any, tmp_path: Path, capsys: Capture) -> None:
    """One line, one pair."""
    (tmp_path / "pairs").write_bytes(b"a\tbb\n")

    assert score(fake, str(tmp_path / "pairs")) == 0
    assert capsys.readouterr().out == "-2.0000\n"


def test_two_files_are_read_side_by_side(fake: Any, tmp_path: Path, capsys: Capture) -> None:
    """Tabs are text there."""
    (tmp_path / "source").write_text("a\tb\n\nc\n")
    (tmp_path / "target").write_text("x\ty\n\nzz")

    assert score(fake, "--source", str(tmp_path / "source"), "--target", str(tmp_path / "target")) == 0

    assert capsys.readouterr().out == "-3.0000\n\n-2.0000\n"
    assert [(one.source, one.target) for one in fake.scored[0].pairs] == [("a\tb", "x\ty"), ("c", "zz")]


@pytest.mark.parametrize(("source", "target", "shorter"), [("a\nb\n", "x\n", "target"), ("a\n", "x\ny", "source")])
def test_files_of_different_lengths_are_refused(
    fake: Any, tmp_path: Path, capsys: Capture, source: str, target: str, shorter: str
) -> None:
    """Which of them ends first, and where."""
    (tmp_path / "source").write_text(source)
    (tmp_path / "target").write_text(target)

    assert score(fake, "--source", str(tmp_path / "source"), "--target", str(tmp_path / "target")) == 1
    assert f"--{shorter} ends before line 2, and the other file goes on" in capsys.readouterr().err


def test_lines_that_are_no_pairs_keep_their_places(fake: Any, feed: Any, capsys: Capture) -> None:
    """Blank ones stay blank, bad ones are reported by their number, and the server's own refusals among them."""
    feed(b"\n \t \nno tab\na\tb\n1\t2\t3\n\xff\t\nbad\tb\nworse\tb\nc\tddd\n\n")

    assert score(fake) == 1

    out, err = capsys.readouterr()
    assert out == "\n\n\n-1.0000\n\n\n\n\n-3.0000\n\n"
    assert err.splitlines() == [
        "dragoman score: line 3: not scored: 0 tabs, and a pair has one, between the text and its translation",
        "dragoman score: line 5: not scored: 2 tabs, and a pair has one, between the text and its translation",
        "dragoman score: line 6: not scored: not UTF-8 (invalid start byte at byte 0)",
        "dragoman score: line 7: not scored: pairs[0].source: bad",
        "dragoman score: line 8: not scored: too long",
    ]


def test_nothing_in_is_nothing_out(fake: Any, feed: Any, capsys: Capture) -> None:
    """An empty pipe is no error and no call."""
    feed(b"")

    assert score(fake) == 0
    assert (capsys.readouterr().out, fake.scored) == ("", [])


def test_tokens_come_with_their_own(fake: Any, feed: Any, capsys: Capture) -> None:
    """After the score, with tabs between them."""
    feed(b"a\tbb\n")

    assert score(fake, "--per-token") == 0
    assert capsys.readouterr().out == "-2.0000\t</s> -2.0000\n"


def test_json_holds_everything_that_is_known(fake: Any, feed: Any, capsys: Capture) -> None:
    """One object a line, whatever became of it."""
    feed(b"a\tbb\n\nworse\tx\n")

    assert score(fake, "--json", "--per-token") == 1

    good, blank, bad = map(json.loads, capsys.readouterr().out.splitlines())
    assert (good["score"], good["tokens"]) == (-2.0, [{"token": "</s>", "log_probability": -2.0}])
    assert blank == {"index": 1}
    assert bad == {"index": 2, "error": {"code": "INVALID_ARGUMENT", "message": "too long"}}


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], {}),
        (["--from", "en", "--to", "pt"], {"source_language": "en", "target_language": "pt"}),
        (["--model", "m"], {"model": "m"}),
        (["--length-penalty", "0"], {"length_penalty": 0.0}),
        (["--length-penalty-kind", "gnmt"], {"length_penalty_kind": pb.LENGTH_PENALTY_KIND_GNMT}),
        (["--priority", "batch"], {"priority": pb.PRIORITY_BATCH}),
        (["--per-token"], {"token_scores": True}),
    ],
)
def test_a_flag_arrives_on_the_wire(fake: Any, feed: Any, flags: list[str], expected: dict[str, Any]) -> None:
    """Each sets its field and no other."""
    feed(b"a\tb\n")

    assert score(fake, *flags) == 0
    assert fake.scored == [pb.ScoreRequest(pairs=[{"source": "a", "target": "b"}], **expected)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--source", "a"], "--source and --target go together"),
        (["--target", "a"], "--source and --target go together"),
        (["file", "--source", "a", "--target", "b"], "FILE and --source exclude each other"),
        (["--bundle", "d", "--server", "a:1"], "--server is about a server"),
        (["--bundle", "d", "--timeout", "3"], "--timeout is about a server"),
    ],
)
def test_arguments_that_exclude_each_other_are_bad_usage(arguments: list[str], said: str, capsys: Capture) -> None:
    """No argument is read and ignored."""
    assert main(["score", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_a_missing_server_is_reported_with_the_ways_out(feed: Any, capsys: Capture) -> None:
    """The address and what to do about it."""
    feed(b"a\tb\n")

    assert main(["score", "--server", "127.0.0.1:1"]) == 1
    said = capsys.readouterr().err
    assert "127.0.0.1:1 does not answer" in said
    assert "--bundle DIR" in said


def test_a_file_that_is_not_there_is_named(fake: Any, tmp_path: Path, capsys: Capture) -> None:
    """Without a traceback."""
    assert score(fake, str(tmp_path / "nowhere")) == 1
    assert "nowhere" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["stdin", "stdout"])
def test_a_closed_standard_stream_is_named(monkeypatch: pytest.MonkeyPatch, capsys: Capture, name: str) -> None:
    """As after `<&-` or `>&-`."""
    monkeypatch.setattr(sys, name, None)

    assert main(["score"]) == 2
    assert "is closed" in capsys.readouterr().err
