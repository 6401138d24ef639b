"""`dragoman bench` beside an independent generator, and beside the server's own numbers: `make test-load`."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from bisect import bisect_left
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from dragoman.client import Options, codec

ROOT = Path(__file__).parents[2]
BUNDLE = ROOT / os.environ.get("CACHE", ".cache") / "en-pt"
COMMAND = [sys.executable, "-c", "from dragoman.cli.main import main; raise SystemExit(main())"]
TEXT = "The meeting has been moved to Thursday afternoon."
CALLS = 400
TOLERANCE = 0.05


class Server:
    """A serving process with the real model."""

    def __init__(self, facts: dict[str, str]) -> None:
        self.address = facts["listen"]
        self._page = f"http://{facts['metrics_listen']}/metrics"

    def samples(self) -> dict[tuple[str, ...], float]:
        """All series and their values."""
        text = urllib.request.urlopen(self._page, timeout=10).read().decode()
        return {
            (sample.name, *(f"{key}={value}" for key, value in sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def handled(self) -> float:
        """Calls of Translate that ended well."""
        return sum(
            value
            for series, value in self.samples().items()
            if series[0] == "grpc_server_handled_total" and {"grpc_code=OK", "grpc_method=Translate"} <= set(series)
        )

    def histogram(self) -> list[tuple[float, float]]:
        """Upper edges of request times in milliseconds, and how many requests took no longer."""
        edges: dict[float, float] = {}
        for series, value in self.samples().items():
            if series[0] == "dragoman_request_duration_seconds_bucket":
                [edge] = [float(label.partition("=")[2]) for label in series if label.startswith("le=")]
                edges[1e3 * edge] = edges.get(1e3 * edge, 0) + value
        return sorted(edges.items())


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """It ends with the tests."""
    ports = ["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"]
    command = [*COMMAND, "serve", str(BUNDLE), "--json", *ports]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield Server(json.loads(process.stdout.readline()))
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0


def bench(server: Server, rate: float, texts: Path, *arguments: str) -> dict:
    """What `dragoman bench` measures with `CALLS` calls."""
    load = ["--rate", str(rate), "--duration", str(CALLS / rate), "--warmup", "0", "--arrivals", "constant"]
    command = [*COMMAND, "bench", "--server", server.address, "--json", "--file", str(texts), "--to", "pt", *load]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=300, check=True)
    return json.loads(done.stdout)


def h2load(server: Server, rate: float, body: Path) -> float:
    """The requests a second of h2load for as many calls at the same rate."""
    load = ["--rps", str(rate), "-n", str(CALLS), "-c", "1", "-m", "500", "-t", "1"]
    call = ["-d", str(body), "-H", "content-type: application/grpc", "-H", "te: trailers"]
    url = f"http://{server.address}/dragoman.v1.TranslationService/Translate"
    done = subprocess.run(["h2load", *load, *call, url], capture_output=True, text=True, timeout=300, check=True)
    # That it counts answers of HTTP says nothing about gRPC: the server's own count is looked at beside it.
    assert re.search(rf"\b{CALLS} succeeded, 0 failed", done.stdout), done.stdout
    [per_s] = re.findall(r"finished in [^,]+, ([\d.]+) req/s", done.stdout)
    return float(per_s)


@pytest.mark.parametrize("rate", [20, 80])
def test_h2load_sees_the_same_rate(server, tmp_path, rate, capsys):
    """The same fixed load, sent by either, is answered at the same rate; the server has counted every call of both."""
    (tmp_path / "texts").write_text(TEXT, "utf-8")
    message = codec.request([TEXT], Options(target_language="pt")).SerializeToString()
    (tmp_path / "body").write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)

    before = server.handled()
    measured = bench(server, rate, tmp_path / "texts", "--connections", "1")
    between = server.handled()
    theirs = h2load(server, rate, tmp_path / "body")
    after = server.handled()

    ours = measured["answered_per_s"]
    with capsys.disabled():
        print(f"\nrequests a second at {rate}: dragoman bench {ours:.2f}, h2load {theirs:.2f}")
    assert measured["outcomes"] == {"OK": CALLS}
    assert (between - before, after - between) == (CALLS, CALLS)
    assert ours == pytest.approx(theirs, rel=TOLERANCE)


def test_the_servers_histogram_sees_the_same_latency(server, tmp_path, capsys):
    """p50 and p99 fall into the same bucket or the next; the text lengths are mixed, so that they differ."""
    (tmp_path / "texts").write_text("\n".join([TEXT, "Good morning.", f"{TEXT} " * 6]), "utf-8")

    before = server.histogram()
    measured = bench(server, 30, tmp_path / "texts")
    counts = [after - earlier for (_, earlier), (_, after) in zip(before, server.histogram(), strict=True)]

    edges = [edge for edge, _ in before]
    assert counts[-1] == CALLS
    assert all(low <= high for low, high in pairwise(counts))
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        theirs = bisect_left(counts, share * CALLS)
        ours = bisect_left(edges, measured["latency_ms"][name])
        with capsys.disabled():
            print(f"\n{name}: {measured['latency_ms'][name]:.1f} ms, the server's bucket ends at {edges[theirs]:g} ms")
        assert abs(theirs - ours) <= 1
