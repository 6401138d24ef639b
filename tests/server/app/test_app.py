"""The serving process: its signals, its exit codes, and what it says."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme

from dragoman.bundle.manifest import Limits, Window
from dragoman.bundle.reader import Bundle
from dragoman.server.app.app import App, _channel_options
from dragoman.server.app.serve_options import ServeOptions
from dragoman.server.telemetry import resources
from dragoman.server.telemetry.watchdog import EXIT_LANE_LOST
from dragoman.server.testing import write_bundle
from dragoman.v1 import translation_pb2 as pb
from dragoman.v1 import translation_pb2_grpc as pb_grpc

ROOT = Path(__file__).parents[3]
# Lanes that need no model; everything else is what `dragoman serve` runs.
PROGRAM = """
import argparse, sys, threading
from dragoman.server.app import command_serve
from dragoman.server.app import app
from dragoman.server.app.app import App
from dragoman.server.telemetry import watchdog
from dragoman.server.testing import FakeLanes

app._LAST_WORDS_S = command_serve._LAST_LINES_S = watchdog._LAST_WORDS_S = 0.1

lanes = FakeLanes()
if "--hang" in sys.argv:
    sys.argv.remove("--hang")
    lanes.pulses[0].beat(0.0, is_busy=True)
if "--hold" in sys.argv:
    sys.argv.remove("--hold")
    lanes.hold()
later = iter([lanes])

def lanes_of(bundle, observer):
    if bundle.manifest.name == "endless":
        (bundle.directory.parent / "loading").touch()
        threading.Event().wait()
    return next(later, None) or FakeLanes()

command_serve.App = lambda options: App(options, lanes_of)
parser = argparse.ArgumentParser()
command_serve.register(parser)
sys.exit(command_serve.run(parser.parse_args()))
"""


@contextmanager
def started(bundle: Bundle, *arguments: str, **files: Any) -> Iterator[subprocess.Popen[str]]:
    """A process that is about to serve, with the given standard files."""
    command = [sys.executable, "-c", PROGRAM, str(bundle.directory), "--json", *arguments]
    command += ["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]
    path = os.pathsep.join(str(ROOT / part) for part in ("proto", "server", "export", "client"))
    with subprocess.Popen(command, text=True, env={**os.environ, "PYTHONPATH": path}, **files) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def serving(
    bundle: Bundle, *arguments: str, log: int = subprocess.PIPE
) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """A serving process, and what it announced as JSON. Its standard error is `log`."""
    with started(bundle, *arguments, stdout=subprocess.PIPE, stderr=log) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate(timeout=10)[1]
        yield process, json.loads(line)


def test_sigterm_drains_and_ends_well(bundle: Bundle) -> None:
    """A process that translates is told to stop, says so in its log, and exits with 0."""
    with serving(bundle) as (process, facts):
        with grpc.insecure_channel(facts["listen"]) as channel:
            stub = pb_grpc.TranslationServiceStub(channel)
            answer = stub.Translate(pb.TranslateRequest(texts=[pb.Text(text="The dog.")]), timeout=10)
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=10)

    assert answer.results[0].text == "The dog."
    assert facts["models"][0]["name"] == "echo"  # type: ignore[index]
    assert process.returncode == 0, log
    assert [line.split()[2] for line in log.splitlines()] == ["request", "draining", "stopped"]


def test_a_second_signal_ends_at_once(bundle: Bundle) -> None:
    """Even with a request in flight and a long grace."""
    with (
        serving(bundle, "--hold", "--drain-grace-s", "1000") as (process, facts),
        grpc.insecure_channel(facts["listen"]) as channel,
    ):
        stub = pb_grpc.TranslationServiceStub(channel)
        texts = [pb.Text(text=""), pb.Text(text="The dog.")]
        stream = stub.TranslateStream(pb.TranslateStreamRequest(request=pb.TranslateRequest(texts=texts)))
        assert next(stream).result.index == 0  # so the other text is in the lanes now
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        assert "draining" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        process.wait(timeout=10)
        stream.cancel()

    assert process.returncode == 1


def _wait_for(path: Path) -> None:
    end_s = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < end_s, f"no {path} after 10 s"
        time.sleep(0.01)


def test_a_stop_waits_for_no_load(bundle: Bundle, tmp_path: Path) -> None:
    """One that never ends, begun by SIGHUP, has as long as calls in flight have; then the process ends well."""
    arguments = "--models", str(tmp_path), "--look-s", "0", "--drain-grace-s", "0.2"
    with serving(bundle, *arguments) as (process, _):
        write_bundle(tmp_path / "endless", name="endless")
        process.send_signal(signal.SIGHUP)
        _wait_for(tmp_path / "loading")
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=10)

    assert process.returncode == 0, log
    assert [line.split()[2] for line in log.splitlines()] == ["draining", "stopped", "stopped_while_loading"]


def test_a_stop_before_all_is_loaded_ends_at_once(tmp_path: Path) -> None:
    """There are no calls to wait for, however long those would have."""
    endless = write_bundle(tmp_path / "endless", name="endless")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with started(endless, "--drain-grace-s", "1000", **pipes) as process:
        _wait_for(tmp_path / "loading")
        process.send_signal(signal.SIGTERM)
        announced, log = process.communicate(timeout=10)

    assert process.returncode == 0, log
    assert not announced
    assert [line.split()[2] for line in log.splitlines()] == ["stopped_before_start"]


def test_a_hung_lane_ends_the_process_with_its_own_code(bundle: Bundle) -> None:
    """The log has the fault, the end, and what every thread was doing; nothing waits for the lane."""
    with serving(bundle, "--hang", "--stall-seconds", "0.5") as (process, _):
        _, log = process.communicate(timeout=20)

    assert process.returncode == EXIT_LANE_LOST == 3
    events = [line.split()[2] for line in log.splitlines() if line[:2] == "20"]
    assert events == ["lane_lost", "ending"]
    assert "model=echo fault=hang" in log
    assert "Current thread" in log


def test_a_disk_that_is_full_keeps_nobody_from_serving(bundle: Bundle) -> None:
    """What is served is not said, the log says why, and nothing fails again at the end."""
    with open("/dev/full", "w") as full, started(bundle, stdout=full, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=10)

    assert 'warning output_not_written reason="No space left on device"' in first
    assert [line.split()[2] for line in log.splitlines()] == ["draining", "stopped"]
    assert process.returncode == 0


@pytest.fixture
def unread() -> Iterator[int]:
    """A pipe that is full, and that nobody reads."""
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writes, b"x")
    os.set_blocking(writes, True)
    yield writes
    os.close(reads)
    os.close(writes)


def test_a_log_that_nobody_reads_does_not_hold_up_a_stop(bundle: Bundle, unread: int) -> None:
    """Requests are answered, metrics count, and a signal is obeyed."""
    with serving(bundle, log=unread) as (process, facts):
        with grpc.insecure_channel(facts["listen"]) as channel:
            stub = pb_grpc.TranslationServiceStub(channel)
            answer = stub.Translate(pb.TranslateRequest(texts=[pb.Text(text="The dog.")]), timeout=10)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0

    assert answer.results[0].text == "The dog."


def test_a_log_that_nobody_reads_does_not_hold_up_the_watch(bundle: Bundle, unread: int) -> None:
    """A process whose lane is lost ends with its own code, said or not."""
    with serving(bundle, "--hang", "--stall-seconds", "0.1", log=unread) as (process, _):
        assert process.wait(timeout=20) == EXIT_LANE_LOST


def test_a_client_that_fails_to_greet_writes_nothing_into_the_log(bundle: Bundle, tmp_path: Path) -> None:
    """gRPC's core would, to standard error and past the log, a line for each; and wait where nobody reads."""
    pair = trustme.CA().issue_cert("localhost")
    paths = tmp_path / "tls.crt", tmp_path / "tls.key"
    pair.cert_chain_pems[0].write_to_path(str(paths[0]))
    pair.private_key_pem.write_to_path(str(paths[1]))
    arguments = [f"--tls-certificate={paths[0]}", f"--tls-key={paths[1]}"]
    with serving(bundle, *arguments) as (process, facts):
        host, _, port = facts["listen"].rpartition(":")
        for _ in range(3):
            with socket.create_connection((host, int(port)), timeout=10) as connection, suppress(ConnectionError):
                connection.sendall(b"GET / HTTP/1.1\r\n\r\n" * 10)
                while connection.recv(1024):
                    pass
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=10)

    assert [line.split()[2] for line in log.splitlines()] == ["draining", "stopped"]


def test_connections_age_but_calls_are_not_cut() -> None:
    """Clients connect again and find new replicas; a pipe on an old connection goes on for as long as it likes."""
    options = dict(_channel_options(ServeOptions(), 64))

    assert options["grpc.max_connection_age_ms"] == 300_000
    assert "grpc.max_connection_age_grace_ms" not in options  # gRPC's own default is without limit


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"lane_memory": 5, "lanes": 2}, 5 << 20),
        ({"lanes": 2}, 1 << 30),
        ({"provider": "cuda"}, 0),
        ({"provider": "cuda", "lane_memory": 5}, 5 << 20),
    ],
)
def test_lanes_share_a_third_of_memory(monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], size: int) -> None:
    """Or have what they are given; nothing is known of a GPU's memory."""
    monkeypatch.setattr(resources, "memory_limit", lambda: 6 << 30)

    assert App(ServeOptions(**options))._lane_bytes() == size


def test_sources_that_lanes_have_no_room_for_are_not_promised(tmp_path: Path) -> None:
    """A long encoder's bundle says how much is read at a time with a lane's memory; with none known, all of it."""
    bundle = write_bundle(tmp_path / "long")
    shape = replace(bundle.manifest.architecture, encoder_window=Window((9000,)), encoder_positions=16_000)
    manifest = replace(bundle.manifest, architecture=shape, limits=Limits(16_000, 64))
    long = replace(bundle, manifest=manifest)

    small, large = (App(ServeOptions(lane_memory=size))._readable(long).manifest.limits for size in (40, 1 << 20))

    assert 512 <= small.max_source_tokens < 16_000
    assert small.max_target_tokens == 64
    assert large == Limits(16_000, 64)
    assert App(ServeOptions(provider="cuda"))._readable(long) is long
    assert App(ServeOptions(lane_memory=1))._readable(bundle) is bundle


@pytest.mark.asyncio(loop_scope="session")
async def test_lanes_share_with_those_of_all_bundles_that_there_are(
    monkeypatch: pytest.MonkeyPatch, serve: Any, tmp_path: Path
) -> None:
    """Be they named or found in a folder, of one that is being loaded, or of one that has calls still."""
    monkeypatch.setattr(resources, "memory_limit", lambda: 12 << 30)
    sizes: list[int] = []
    served = await serve(models=str(tmp_path), look_s=0, lanes=1)
    app, make = served.app, served.app._lanes_of
    monkeypatch.setattr(app, "_lanes_of", lambda *given: sizes.append(app._lane_bytes() >> 30) or make(*given))
    assert app._lane_bytes() == 4 << 30

    for name in ("one", "two"):
        write_bundle(tmp_path / name, name=name)
        await app.fleet.look()
    assert app._lane_bytes() == 2 << 30
    shutil.rmtree(tmp_path / "one")
    await app.fleet.look()
    while app.models.leaving:
        await asyncio.sleep(0.01)
    assert app._lane_bytes() == 4 << 30
    assert sizes == [4, 2]
