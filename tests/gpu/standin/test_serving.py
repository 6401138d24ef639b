"""`make serve PROVIDER=cuda` as its user has it, over the stand-in: from the model that ships to answers."""

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from threading import Timer
from typing import NamedTuple

import pytest

from dragoman.client import Client, Engine, EnginePreference, Options

ROOT = Path(__file__).parents[3]
CACHE = Path(os.environ.get("PLACEMENT", ROOT / ".cache/placement")).absolute().parent
START_S = 1500
"""No test fails for being slow; this one would wait for ever where nothing is said."""
SAID = Path(__file__).parent / "said"
ADDRESS, METRICS = re.compile(r"^on (\S+) with", re.M), re.compile(r"metrics on (\S+)\n")


class Served(NamedTuple):
    """A server, what it and what made its model had said when it was ready, and where it goes on to say more."""

    address: str
    metrics: str
    said: str
    log: Path


@pytest.fixture(scope="module")
def served(environment, tmp_path_factory) -> Iterator[Served]:
    """The command, with the stand-in's environment in the place of one with CUDA's libraries. What its decoders say is
    put into their mouths.
    """
    folder = tmp_path_factory.mktemp("serve")
    given, python, log, told = environment(), folder / "python", folder / "log", folder / "told"
    site = given["PYTHONPATH"].split(os.pathsep)[0]
    lines = f'export PYTHONPATH="{site}:$PYTHONPATH:{SAID}" LD_LIBRARY_PATH="{given["LD_LIBRARY_PATH"]}"'
    python.write_text(f'#!/bin/sh\n{lines}\nexec {sys.executable} "$@"\n', "utf-8")
    python.chmod(0o755)
    settings = {"PROVIDER": "cuda", "SERVE_PYTHON": python, "CACHE": CACHE, "LISTEN": "127.0.0.1:0"}
    command = ["make", "serve", *(f"{name}={value}" for name, value in settings.items())]
    with log.open("wb") as errors, told.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "DRAGOMAN_METRICS_LISTEN": "127.0.0.1:0"},
            stdout=output,
            stderr=errors,
            start_new_session=True,
        )
    limit = Timer(START_S, process.kill)
    limit.start()
    while not METRICS.search(told.read_text("utf-8")) and process.poll() is None:
        time.sleep(0.1)
    limit.cancel()
    said = told.read_text("utf-8")
    address, metrics = ADDRESS.search(said), METRICS.search(said)
    assert address, said + log.read_text("utf-8")[-4000:]
    assert metrics, said
    yield Served(address[1], metrics[1], said, log)
    os.kill(_server_of(process.pid), signal.SIGINT)
    assert process.wait(60) == 0, log.read_text("utf-8")[-4000:]


def _server_of(make: int) -> int:
    """The last process of the chain that make began."""
    last = make
    while children := Path(f"/proc/{last}/task/{last}/children").read_text("ascii").split():
        last = int(children[0])
    return last


def test_it_says_what_it_makes(served):
    """Where the model in fp16 is not there yet; it is the one in int8 with all of its decoders."""
    if "writing" in served.said:
        assert "models/en-pt is in int8, for processors: writing it in fp16 to" in served.said
    assert re.search(r"^serving en-pt .*fp16", served.said, re.M), served.said


@pytest.mark.parametrize("decoder", [None, "ssru", "self-attention"])
def test_every_decoder_answers_by_every_engine(served, decoder):
    """Nothing is done meanwhile that a capture forbids."""
    engines = [EnginePreference.GREEDY, EnginePreference.BEAM]
    engines += [] if decoder else [EnginePreference.NAT, EnginePreference.SPECULATIVE]
    with Client(served.address) as client:
        (model,) = client.list_models()
        assert model.decoders == ("ssru", "self-attention")
        for engine in engines:
            beam = 4 if engine is EnginePreference.BEAM else None
            done = client.translate(
                ["Hello world!", "And again, hello."], Options(engine=engine, decoder=decoder, beam_size=beam)
            )
            assert [one.engine for one in done] == [Engine[engine.name]] * 2

    log = served.log.read_text("utf-8")
    assert "stand-in:" not in log
    assert "not_prepared" not in log


def test_what_the_device_does_is_told(served):
    """The graphs that it runs, and how much is captured, on the page of metrics."""
    with urllib.request.urlopen(served.metrics) as page:
        told = page.read().decode()

    assert int(float(re.search(r"^dragoman_device_captures_total.* (\S+)$", told, re.M)[1])) > 10  # type: ignore[index]
    for graph in ("device.encoder", "device.join", "device.stride", "device.step", "device.hidden.join", "nat.ctc"):
        assert f'graph="{graph}"' in told
