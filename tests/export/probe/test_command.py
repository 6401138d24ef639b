"""`dragoman probe`."""

import json
from pathlib import Path

import pytest

from dragoman.bundle.manifest import Form
from dragoman.cli.main import main
from dragoman.export.probe import probe
from dragoman.export.probe.command import told
from dragoman.server.app.translator import LocalTranslator
from dragoman.server.testing import FakeLanes, write_bundle


def test_the_forms_are_written_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """For a person, and as JSON."""
    monkeypatch.setattr(probe, "LocalTranslator", lambda path: LocalTranslator(path, lanes=FakeLanes()))
    write_bundle(tmp_path / "bundle")

    assert main(["probe", str(tmp_path / "bundle")]) == 0
    assert "XX1 comes back in 100.0%, N1 comes back in 100.0%" in capsys.readouterr().out
    assert main(["probe", str(tmp_path / "bundle"), "--json", "--output", str(tmp_path / "other")]) == 0
    assert json.loads(capsys.readouterr().out)["forms"][0] == {"form": "XX{n}", "share": 1.0}


@pytest.mark.parametrize(("name", "reason"), [("nothing", "no such directory"), ("bundle", "none of the texts")])
def test_what_cannot_be_done_has_a_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, reason: str
) -> None:
    """And changes nothing."""
    write_bundle(tmp_path / "bundle")
    (tmp_path / "texts").write_text("short\n", "utf-8")

    assert main(["probe", str(tmp_path / name), "--text", str(tmp_path / "texts")]) == 1
    assert reason in capsys.readouterr().err


def test_a_model_that_copies_nothing_is_told() -> None:
    """And shares are told to a tenth of a percent."""
    assert told(()) == "none of the forms comes back in half of the texts"
    assert told((Form("X{n}", 0.9857),)) == "X1 comes back in 98.6%"
