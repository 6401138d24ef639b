"""`dragoman models`."""

import json
import sys
from typing import Any

import pytest

from dragoman.cli.main import main
from dragoman.v1 import translation_pb2 as pb

Capture = pytest.CaptureFixture[str]
ENPT = pb.Model(
    name="enpt",
    version="1.2",
    language_pairs=[{"source": "en", "target": "pt"}],
    engines=[pb.ENGINE_BEAM, pb.ENGINE_GREEDY],
    precision="int8",
    state=pb.MODEL_STATE_SERVING,
)


def test_models_are_listed_in_columns(fake: Any, capsys: Capture) -> None:
    """One a line; what is not known yet is a dash, so that columns can be counted."""
    fake.models = [ENPT, pb.Model(name="a", version="1", state=pb.MODEL_STATE_LOADING)]

    assert main(["models", "--server", fake.address]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "NAME  VERSION  PAIRS  ENGINES      PRECISION  STATE",
        "enpt  1.2      en-pt  beam,greedy  int8       serving",
        "a     1        -      -            -          loading",
    ]


def test_json_is_one_object_a_model(fake: Any, capsys: Capture) -> None:
    """With all that is known about it."""
    fake.models = [ENPT]

    assert main(["models", "--server", fake.address, "--json"]) == 0
    (facts,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert facts["language_pairs"] == [{"source": "en", "target": "pt"}]
    assert (facts["name"], facts["engines"], facts["state"]) == ("enpt", ["beam", "greedy"], "serving")


def test_a_closed_output_is_named(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after `>&-`: a list that nobody can read is no success."""
    monkeypatch.setattr(sys, "stdout", None)

    assert main(["models"]) == 2
    assert "the standard output is closed" in capsys.readouterr().err


def test_a_missing_server_is_named(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address may come from the environment."""
    monkeypatch.setenv("DRAGOMAN_SERVER", "127.0.0.1:1")

    assert main(["models"]) == 1
    assert "127.0.0.1:1 does not answer" in capsys.readouterr().err
