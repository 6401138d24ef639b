"""`dragoman top` over the metrics that a server really has."""

import argparse
import http.server
import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

from dragoman.client.commands import top
from dragoman.client.commands.exposition import Change, Exposition
from dragoman.server.core.limits import RequestLimits
from dragoman.server.core.segments import FinishReason
from dragoman.server.core.strategies import Engine
from dragoman.server.core.translations import TextHypothesis, Timings, Translation
from dragoman.server.pipeline.cache import Cache
from dragoman.server.pipeline.pipeline import Pipeline
from dragoman.server.telemetry.request_metrics import Metrics
from dragoman.server.telemetry.state_metrics import Build, StateMetrics
from dragoman.server.testing import FakeLanes, write_bundle
from dragoman.server.text.tokenizer import Tokenizer

DONE = Translation(
    (TextHypothesis("a", -1, -1),), FinishReason.STOP, Engine.BEAM, 3, 4, 1, 5, Timings(queue_s=0.001, decode_s=0.002)
)


class Server:
    """A server's metrics, without the server."""

    def __init__(self, directory: Path, lanes: FakeLanes) -> None:
        bundle = write_bundle(directory)
        pipeline = Pipeline(bundle, Tokenizer(bundle), lanes, RequestLimits(1, 1, 1, 1, 9, 1), None)  # type: ignore[arg-type]
        self.now_s = 0.0
        self.metrics = Metrics(CollectorRegistry(), ["echo"], clock=lambda: self.now_s)
        self.metrics.registry.register(StateMetrics([pipeline], Build("1.2.3", "0", "0", "cpu"), Cache(0)))
        ProcessCollector(registry=self.metrics.registry)
        self.metrics.ready.set(1)

    def answer(self, seconds: float) -> None:
        with self.metrics.request() as record:
            record.model = "echo"
            self.metrics.answered("echo", [DONE])
            record.end([DONE])
            self.now_s += seconds

    def text(self) -> str:
        return generate_latest(self.metrics.registry).decode()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    lanes = FakeLanes()
    yield Server(tmp_path / "bundle", lanes)
    lanes.close()


@pytest.fixture
def listening(server: Server) -> Iterator[str]:
    """Its address; between two looks it answers one request."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = server.text().encode()
            server.answer(0.004)
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as listener:
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"127.0.0.1:{listener.server_address[1]}"
        listener.shutdown()
        thread.join()


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    top.register(parser)
    return top.run(parser.parse_args(arguments))


def test_figures_are_of_the_time_between_two_looks(server: Server) -> None:
    """What was before does not count; times add up; where nothing happened there is no number, not a zero."""
    server.answer(5.0)
    before = Exposition(server.text())
    for _ in range(10):
        server.answer(0.004)
    server.metrics.tallies["echo"].on_step(8, 6, 0.5)
    server.metrics.tallies["echo"].on_encode(2, 30, 40, 0.5)

    found = top.figures(Change(before, Exposition(server.text())), 2.0)

    assert (found["version"], found["state"], found["requests_per_s"], found["in_flight"]) == ("1.2.3", "ready", 5, 0)
    assert found["outcomes_per_s"] == {"ok": 5}
    assert found["latency_s"]["mean"] == pytest.approx(0.004)
    assert 0.003 < found["latency_s"]["p50"] <= 0.005
    assert found["stages_s"]["queue"] == pytest.approx(0.001)
    assert sum(found["stages_s"].values()) == pytest.approx(found["latency_s"]["mean"])
    model = found["models"]["echo"]
    assert (model["busy"], model["rows"], model["padding"]) == pytest.approx((0.5, 8, 0.25))
    assert model["target_tokens_per_s"] == 20
    assert found["event_loop_p99_s"] is None


def test_a_frame_is_a_screen_of_text(listening: str, capsys: pytest.CaptureFixture[str]) -> None:
    """No control characters where it is not a terminal; as many frames as were asked for."""
    assert run("--metrics", listening, "--interval", "0.01", "--frames", "2") == 0

    text = capsys.readouterr().out
    assert text.count(f"dragoman 1.2.3 at {listening}: ready, up ") == 2
    assert "p99 5.0 ms" in text
    assert "MODEL  WAITING" in text
    assert "\x1b" not in text


def test_json_is_a_line_a_frame(listening: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The same figures, for programs."""
    assert run("--metrics", listening, "--interval", "0.01", "--frames", "3", "--json") == 0

    frames = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(frames) == 3
    assert all(frame["models"]["echo"]["running"] == 0 for frame in frames)


def test_the_address_comes_from_the_flag_or_the_environment(
    listening: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The flag wins."""
    monkeypatch.setenv("DRAGOMAN_METRICS", listening)
    assert run("--interval", "0.01", "--frames", "1") == 0
    assert run("--metrics", "127.0.0.1:1", "--frames", "1") == 1
    assert "http://127.0.0.1:1/metrics does not answer" in capsys.readouterr().err


def test_a_server_that_started_again_is_not_compared_with_its_former_self(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its counters began anew: differences would be negative."""
    first = server.text()
    server.answer(1.0)
    again = re.sub(r"(?m)^process_start_time_seconds .*", "process_start_time_seconds 7", first)
    assert again != first
    texts = iter([server.text(), again, again])
    scraped: Callable[[str], Exposition] = lambda _: Exposition(next(texts))  # noqa: E731
    monkeypatch.setattr(top, "_scrape", scraped)

    frames = list(top._frames("http://x", 0.001, 1))

    assert [frame["requests_per_s"] for frame in frames] == [0.0]
    assert next(texts, None) is None


def test_something_else_on_the_port_is_told_apart(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It has metrics, and not ours."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"up 1\n")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Page) as listener:
        thread = threading.Thread(target=listener.handle_request)
        thread.start()
        assert run("--metrics", f"127.0.0.1:{listener.server_address[1]}", "--frames", "1") == 1
        thread.join()

    assert "there is no dragoman_build_info among its metrics" in capsys.readouterr().err


def test_long_times_are_readable() -> None:
    """Hours, minutes, seconds; and what is shorter in the unit that fits."""
    shown = [top._long(3723.9), top._time(0.0123), top._time(2.5), top._time(None)]

    assert shown == ["1:02:03", "12 ms", "2.50 s", "-"]
