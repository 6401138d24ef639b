"""Measuring translations of a test set."""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from dragoman.bundle.reader import Bundle
from dragoman.server.app import command_evaluate
from dragoman.server.app.translator import LocalTranslator
from dragoman.server.testing import FakeLanes


@pytest.fixture(autouse=True)
def without_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every bundle translates a text into itself."""

    def translator(directory: Path, threads: int | None) -> LocalTranslator:
        return LocalTranslator(directory, threads, lanes=FakeLanes())

    monkeypatch.setattr(command_evaluate, "LocalTranslator", translator)


def evaluate(*given: object) -> int:
    parser = argparse.ArgumentParser()
    command_evaluate.register(parser)
    return command_evaluate.run(parser.parse_args(list(map(str, given))))


@pytest.fixture
def files(tmp_path: Path) -> list[Any]:
    """Two lines whose references are the texts themselves, and a third whose reference is not."""
    lines = ["The quick brown fox jumps over the lazy dog.", "Pack my box with five dozen liquor jugs!"]
    (tmp_path / "source").write_text("\n".join([*lines, "How vexingly quick!"]) + "\n", "utf-8")
    (tmp_path / "reference").write_text("\n".join([*lines, "Something else."]) + "\n", "utf-8")
    return ["--source", tmp_path / "source", "--reference", tmp_path / "reference"]


def test_scores_speed_and_signatures_are_given(
    bundle: Bundle, files: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """A perfect translation has 100 and 100; the signatures say how that was computed."""
    assert evaluate("--bundle", bundle.directory, *files, "--lines", 2, "--json") == 0

    [one] = json.loads(capsys.readouterr().out)
    assert (one["bleu"], one["chrf"]) == (pytest.approx(100), pytest.approx(100))
    assert "tok:13a" in one["bleu_signature"]
    assert "nc:6" in one["chrf_signature"]
    assert one["words_per_second"] * one["seconds"] == pytest.approx(17)
    assert one["cut"] == 0


def test_bundles_are_compared_with_the_first(
    bundle: Bundle, files: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """The same bundle twice differs by nothing."""
    assert evaluate("--bundle", bundle.directory, "--bundle", bundle.directory, *files) == 0

    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["BLEU", "chrF2", "words/s", "seconds", "cut", "bundle"]
    assert (rows[2][1], rows[2][3]) == ("+0.00", "+0.00")
    assert float(rows[1][0]) < 100


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--reference": "one line\n"}, "has 3 lines and"),
        ({"--source": "", "--reference": ""}, "no lines to translate"),
        ({"--source": b"\xff\n"}, "cannot be read"),
    ],
)
def test_files_that_do_not_fit_are_refused(
    bundle: Bundle, files: list[Any], capsys: pytest.CaptureFixture[str], change: dict[str, str | bytes], message: str
) -> None:
    """Before anything is loaded, with the file's name."""
    for flag, content in change.items():
        path = files[files.index(flag) + 1]
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    assert evaluate("--bundle", bundle.directory, *files) == 1
    assert message in capsys.readouterr().err


def test_options_that_cannot_be_are_refused(
    bundle: Bundle, files: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """What the pipeline says is what the command says."""
    assert evaluate("--bundle", bundle.directory, *files, "--beam-size", 0) == 1
    assert capsys.readouterr().err.startswith("dragoman evaluate: decoding.beam_size: 0 is not between 1 and")


@pytest.mark.parametrize("option", ["--lines", "--threads"])
@pytest.mark.parametrize("value", ["0", "-1", "x", "1.5"])
def test_counts_start_at_one(
    bundle: Bundle, files: list[Any], capsys: pytest.CaptureFixture[str], option: str, value: str
) -> None:
    """Anything else is refused in the user's words, not in Python's."""
    with pytest.raises(SystemExit, match="2"):
        evaluate("--bundle", bundle.directory, *files, f"{option}={value}")

    assert f"argument {option}: {value!r} is not a whole number from 1\n" in capsys.readouterr().err
