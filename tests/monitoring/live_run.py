"""A real server with a real model under a load that ends in every outcome, watched by a real Prometheus.

The run is one scene after another, each with its own faults; what Prometheus says is compared with what this side
recorded. Rules are loaded with all their windows 60 times as short, so that an hour is a minute; thresholds are as
they stand. `make test-monitoring` runs it: it takes about two minutes, on a machine that is not busy with other things.
"""

from __future__ import annotations

import asyncio
import bisect
import json
import math
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from dragoman.server.telemetry.request_metrics import LATENCY_BUCKETS_S, OUTCOMES
from dragoman.v1 import translation_pb2 as pb
from dragoman.v1 import translation_pb2_grpc as pb_grpc

ROOT = Path(__file__).parents[2]
BUNDLE = Path(os.environ.get("CACHE", ROOT / ".cache")).absolute() / "en-pt"
SHORTER = 60
SCRAPE_S = 0.5
RATE, STEADY_S = 25, 24
STALL_S = 10
"""--stall-seconds of the server: liveness ends after it, the process after twice of it."""
OF_DEVICES = "dragoman_device_"
PICTURED_ROWS = 54
"""Of the dashboard's grid: from the objectives to the lanes."""
SENTENCES = (
    "The committee will meet again on Thursday to discuss the results of the first year.",
    "She opened the window and looked at the river.",
    "Nothing is cut.",
    "Many of the houses in the old town were built by merchants who traded with the islands in the sixteenth century.",
    "How long does it take to walk from the station to the museum?",
)


def compressed(text: str) -> str:
    """PromQL or rules whose every window is `SHORTER` times as short; no name changes."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

    def shorter(match: re.Match[str]) -> str:
        seconds = int(match[2]) * units[match[3]] / SHORTER
        return f"{match[1]}{max(1, round(seconds))}s"

    return re.sub(r"(\[|for: )(\d+)([smhd])\b", shorter, text)


class Server:
    """The process, and what is asked of it over HTTP and gRPC."""

    def __init__(self, process: subprocess.Popen[str], listen: str, metrics: str) -> None:
        self.process, self.listen, self.metrics = process, listen, metrics

    def order(self, word: str) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"

    def page(self, path: str) -> int:
        try:
            with urllib.request.urlopen(f"http://{self.metrics}{path}", timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code


class Prometheus:
    """Its HTTP interface."""

    def __init__(self, address: str) -> None:
        self.address = address

    def get(self, path: str, **parameters: Any) -> Any:
        query = urllib.parse.urlencode(parameters)
        try:
            with urllib.request.urlopen(f"http://{self.address}{path}?{query}", timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            with error:
                raise ValueError(json.load(error)["error"]) from error

    def value(self, promql: str, at_s: float | None = None) -> float:
        """Of an expression that gives one number."""
        [found] = self.get("/api/v1/query", query=promql, time=at_s or time.time())["result"]
        return float(found["value"][1])

    def by(self, label: str, promql: str, at_s: float | None = None) -> dict[str, float]:
        found = self.get("/api/v1/query", query=promql, time=at_s or time.time())["result"]
        return {one["metric"].get(label, ""): float(one["value"][1]) for one in found}

    def numbers(self, promql: str, start_s: float, end_s: float) -> list[float]:
        """Every number that an expression had over a time; not the points where it had none."""
        found = self.get("/api/v1/query_range", query=promql, start=start_s, end=end_s, step=1)["result"]
        return [number for one in found for _, text in one["values"] if not math.isnan(number := float(text))]

    def firing(self, start_s: float, end_s: float) -> set[str]:
        found = self.get(
            "/api/v1/query_range", query='ALERTS{alertstate="firing"}', start=start_s, end=end_s, step=SCRAPE_S
        )["result"]
        return {one["metric"]["alertname"] for one in found}


@dataclass
class Records:
    """What this side saw: every request, and how it ended by its status."""

    outcomes: Counter[str] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)
    """Of the steady scene."""
    transport_s: list[float] = field(default_factory=list)
    """Of calls that ask for next to nothing, at the same time: gRPC's part and this machine's."""
    times: dict[str, float] = field(default_factory=dict)
    """When scenes began and ended."""
    seen: dict[str, Any] = field(default_factory=dict)


@dataclass
class Run:
    """Everything, when it is over."""

    prometheus: Prometheus
    records: Records
    exit_code: int

    def window(self) -> tuple[float, float]:
        return self.records.times["begin"], self.records.times["end"]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    assert (BUNDLE / "manifest.json").is_file(), f"no bundle in {BUNDLE}: make bundles"
    command = [sys.executable, str(Path(__file__).with_name("faulty_server.py")), str(BUNDLE), "--json"]
    command += ["--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--lanes", "1"]
    command += ["--backlog-tokens", "1000", "--max-text-bytes", "4000", "--stall-seconds", str(STALL_S)]
    path = os.pathsep.join(str(ROOT / part) for part in ("proto", "server", "export", "client"))
    environ = {**os.environ, "PYTHONPATH": path}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ, bufsize=1
    ) as process:
        try:
            assert process.stdout is not None
            facts = json.loads(process.stdout.readline())
            yield Server(process, facts["listen"], facts["metrics_listen"])
        finally:
            process.kill()


@pytest.fixture(scope="module")
def prometheus(server: Server, monitoring: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    program = shutil.which("prometheus")
    assert program is not None, "no prometheus on the path: run this by `make test-monitoring`"
    directory = tmp_path_factory.mktemp("prometheus")
    (directory / "rules.yaml").write_text(compressed((monitoring / "rules.yaml").read_text("utf-8")))
    config = {
        "global": {"scrape_interval": f"{int(SCRAPE_S * 1000)}ms", "evaluation_interval": "1s"},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [{"job_name": "dragoman", "static_configs": [{"targets": [server.metrics]}]}],
    }
    (directory / "prometheus.yml").write_text(json.dumps(config))  # which is YAML, too
    address = f"127.0.0.1:{free_port()}"
    command = [program, f"--config.file={directory}/prometheus.yml", f"--storage.tsdb.path={directory}/data"]
    command += [f"--web.listen-address={address}", "--log.level=warn"]
    with subprocess.Popen(command) as process:
        try:
            found = Prometheus(address)
            wait_for(lambda: found.by("job", "up").get("dragoman") == 1.0)
            yield found
        finally:
            process.terminate()


def wait_for(holds: Callable[[], bool], limit_s: float = 30.0) -> float:
    """Seconds that it took."""
    started_s = time.monotonic()
    while time.monotonic() < started_s + limit_s:
        with suppress(OSError, ValueError):  # not listening yet
            if holds():
                return time.monotonic() - started_s
        time.sleep(0.1)
    raise TimeoutError(f"not within {limit_s:g} s")


def outcome_of(error: grpc.aio.AioRpcError) -> str:
    """The name that the server's metrics should have for it."""
    if error.code() is grpc.StatusCode.CANCELLED:
        return "cancelled"
    trailing = dict(error.trailing_metadata() or ())
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED and "grpc-status-details-bin" not in trailing:
        return "deadline"  # the client's own gRPC says so
    status = status_pb2.Status.FromString(trailing["grpc-status-details-bin"])
    for packed in status.details:
        if packed.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo()
            packed.Unpack(info)
            return info.reason.lower()
    raise AssertionError(f"no reason in {error!r}")


class Client:
    """Sends requests and records how they end."""

    def __init__(self, channel: grpc.aio.Channel, records: Records) -> None:
        self.stub: Any = pb_grpc.TranslationServiceStub(channel)
        self.records = records

    async def send(
        self, *texts: str, timeout_s: float = 60.0, leave_after_s: float | None = None, **fields: Any
    ) -> float:
        """One request; the seconds that it took."""
        message = pb.TranslateRequest(texts=[pb.Text(text=text) for text in texts], **fields)
        started_s = time.monotonic()
        call = self.stub.Translate(message, timeout=timeout_s)
        if leave_after_s is not None:
            asyncio.get_running_loop().call_later(leave_after_s, call.cancel)
        try:
            answer = await call
        except grpc.aio.AioRpcError as error:
            outcome = outcome_of(error)
        except asyncio.CancelledError:
            outcome = "cancelled"
        else:
            failed = sum(result.HasField("status") for result in answer.results)
            outcome = "partial" if failed else "ok"
        self.records.outcomes[outcome] += 1
        return time.monotonic() - started_s

    async def ask_for_little(self, seconds: list[float]) -> None:
        """Calls that cost nothing but the way, five a second."""
        while True:
            await asyncio.sleep(0.2)
            started_s = time.monotonic()
            await self.stub.ListModels(pb.ListModelsRequest())
            seconds.append(time.monotonic() - started_s)

    async def open_loop(self, rate: float, seconds: float, timeout_s: float = 60.0) -> list[float]:
        """Requests at equal distances, each sent when it is due, whether or not others are answered."""
        started_s = time.monotonic()
        tasks = []
        for n in range(round(rate * seconds)):
            await asyncio.sleep(max(0.0, started_s + n / rate - time.monotonic()))
            tasks.append(asyncio.create_task(self.send(SENTENCES[n % len(SENTENCES)], timeout_s=timeout_s)))
        return list(await asyncio.gather(*tasks))


async def play(server: Server, records: Records, mark: Callable[[str], None]) -> None:
    """The scenes."""
    options = [("grpc.enable_retries", 0)]
    async with grpc.aio.insecure_channel(server.listen, options=options) as channel:
        client = Client(channel, records)
        await client.open_loop(10, 2)
        mark("steady")
        asking = asyncio.create_task(client.ask_for_little(records.transport_s))
        records.latencies_s = await client.open_loop(RATE, STEADY_S)
        asking.cancel()
        mark("steady_end")
        await asyncio.sleep(SCRAPE_S)  # a scrape is dated when it begins, reads later, and is given up after this long
        await odd_requests(client)
        await broken(server, client)
        mark("overload")
        await overload(server, client)
        mark("overload_end")
        await stalled(server, client, channel, records)
        mark("stall_end")
        await draining(server, client, mark)


async def odd_requests(client: Client) -> None:
    """Each way to be refused for what is asked, texts that fail alone, beams, and nothing at all."""
    await client.send()
    await client.send("x" * 4001)
    await client.send("Hello.", model="nobody")
    await client.send("Hello.", format=pb.INPUT_FORMAT_TOKENS)
    await client.send("Hello.", "x" * 4001)
    await client.send("Hello.", request_id="defect")
    await client.send("")
    await client.send(SENTENCES[0], decoding=pb.DecodingOptions(beam_size=4))
    await client.send("Only {count} of the files in %s were opened.", "Write to bob@example.com before Thursday.")
    await client.send("<p>She opened the <b>window</b> and looked.</p>", format=pb.INPUT_FORMAT_HTML)
    await client.send(" ".join(SENTENCES), decoding=pb.DecodingOptions(max_length=3))


async def broken(server: Server, client: Client) -> None:
    """Runs of the decoder that fail."""
    server.order("break")
    for _ in range(3):
        await client.send(SENTENCES[0])
    server.order("mend")


async def overload(server: Server, client: Client) -> None:
    """Steps that are slow enough for the backlog to fill: answers are late, and requests are turned away."""
    server.order("slow")
    load = asyncio.create_task(client.open_loop(RATE, 25))
    while not load.done() and not client.records.outcomes["unmeetable"]:
        await asyncio.sleep(0.5)
        if client.records.outcomes["overloaded"]:  # the backlog is full
            await client.send(SENTENCES[0], timeout_s=0.5)
    await load
    server.order("fast")


async def stalled(server: Server, client: Client, channel: grpc.aio.Channel, records: Records) -> None:
    """All lanes stop in the middle of work; the process still answers, and is well again when they go on."""
    server.order("stall")
    held = [asyncio.create_task(client.send(SENTENCES[n % 5])) for n in range(8)]
    late = [asyncio.create_task(client.send(SENTENCES[0], timeout_s=1.0)) for _ in range(5)]
    leaving = [asyncio.create_task(client.send(SENTENCES[1], leave_after_s=1.0)) for _ in range(4)]
    records.seen["livez at once"] = await asyncio.to_thread(server.page, "/livez")
    health: Any = health_pb2_grpc.HealthStub(channel)
    records.seen["not live after"] = await asyncio.to_thread(wait_for, lambda: server.page("/livez") == 503)
    liveness = await health.Check(health_pb2.HealthCheckRequest(service="liveness"))
    records.seen["health"] = health_pb2.HealthCheckResponse.ServingStatus.Name(liveness.status)
    records.seen["models"] = len((await client.stub.ListModels(pb.ListModelsRequest())).models)
    await asyncio.sleep(6.5)  # the alert wants more than 15 s
    server.order("go")
    await asyncio.gather(*held, *late, *leaving)
    await asyncio.to_thread(wait_for, lambda: server.page("/livez") == 200)


async def draining(server: Server, client: Client, mark: Callable[[str], None]) -> None:
    """A stop signal with a request in flight: it is finished, new ones are refused."""
    server.order("stall")
    last = asyncio.create_task(client.send(SENTENCES[0]))
    await asyncio.sleep(0.5)
    server.process.send_signal(signal.SIGTERM)
    await asyncio.to_thread(wait_for, lambda: server.page("/healthz") == 503)
    await asyncio.gather(*(client.send(SENTENCES[0]) for _ in range(6)))
    await asyncio.sleep(4 * SCRAPE_S)
    mark("end")
    server.order("go")
    await last


@pytest.fixture(scope="module")
def run(server: Server, prometheus: Prometheus) -> Run:
    """The whole run."""
    records = Records()

    def mark(name: str) -> None:
        records.times[name] = time.time()

    mark("begin")
    asyncio.run(play(server, records, mark))
    return Run(prometheus, records, server.process.wait(timeout=30))


def as_grafana_asks(promql: str) -> str:
    """An expression with the dashboard's variables filled in."""
    for name, value in (
        ("$__rate_interval", "5s"),
        ("$__range", "60s"),
        ("$job", ".+"),
        ("$instance", ".+"),
        ("$model", ".+"),
    ):
        promql = promql.replace(name, value)
    return promql


def as_data(promql: str) -> str:
    """An alert's condition as what it looks at: comparisons give 0 or 1 where there is something to compare."""
    parts = re.split(r'(\{[^}]*\}|"[^"]*")', compressed(promql))
    parts[::2] = [re.sub(r"(==|!=|>=|<=|>|<)(?!\s*bool)", r"\1 bool", part) for part in parts[::2]]
    return re.sub(r"^absent\((.*)\)$", r"\1", "".join(parts).strip())


def problem(run: Run, promql: str) -> str | None:
    """What is wrong with an expression; None where it has numbers."""
    try:
        numbers = run.prometheus.numbers(promql, *run.window())
    except ValueError as error:
        return str(error)
    return None if any(map(math.isfinite, numbers)) else "no number"


@pytest.fixture(scope="module")
def asked(expressions: list[Any]) -> list[Any]:
    """Every expression as it is asked here, but for those of devices, of which a processor has no numbers."""
    return [
        replace(one, promql=(as_grafana_asks if one.place.startswith("panel") else as_data)(one.promql))
        for one in expressions
        if not any(name.startswith(OF_DEVICES) for name, _ in one.selectors())
    ]


def test_every_panel_rule_and_alert_has_numbers(run: Run, asked: list[Any]) -> None:
    """No expression fails, is empty, or never is a number."""
    wrong = {str(one): found for one in asked if (found := problem(run, one.promql))}

    assert wrong == {}
    assert len(asked) > 100


def test_a_renamed_metric_is_noticed(run: Run, asked: list[Any]) -> None:
    """Each metric in each expression in turn, in a copy: none of them can go missing unnoticed."""
    unnoticed = [
        f"{metric} in {one}"
        for one in asked
        for metric in {name for name, _ in one.selectors()}
        if problem(run, re.sub(rf"(?<![\w:]){metric}(?![\w:])", f"{metric}_renamed", one.promql)) is None
    ]

    assert unnoticed == []


def test_the_dashboard_can_be_drawn(
    run: Run, dashboard: dict[str, Any], script: Callable[[str], Any], tmp_path: Path
) -> None:
    """From what this run measured; `make picture` keeps the drawing."""
    picture = script("picture")
    start_s, end_s = run.window()
    shown = []
    for panel in dashboard["panels"]:
        if panel["gridPos"]["y"] >= PICTURED_ROWS:
            continue
        series = []
        for target in panel.get("targets", ()):
            query = as_grafana_asks(target["expr"])
            found = run.prometheus.get("/api/v1/query_range", query=query, start=start_s, end=end_s, step=1)["result"]
            for one in found:
                legend = re.sub(
                    r"\{\{(\w+)\}\}", lambda m, one=one: one["metric"].get(m[1], ""), target["legendFormat"]
                )
                points = [(at_s - start_s, float(text)) for at_s, text in one["values"]]
                if any(math.isfinite(value) and value for _, value in points):
                    series.append(picture.Series(legend, points))
        shown.append((panel, series))

    drawn = picture.draw(shown, end_s - start_s)

    assert drawn.count("<path") + drawn.count("<polygon") > 40
    Path(os.environ.get("PICTURE", tmp_path / "dashboard.svg")).write_text(drawn, "utf-8")


def test_recording_rules_record(run: Run) -> None:
    """Prometheus took the rules as they are, and none of them failed."""
    groups = run.prometheus.get("/api/v1/rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]

    assert len(rules) > 30
    assert [rule["name"] for rule in rules if rule["health"] != "ok"] == []


ELSEWHERE = {"unauthenticated", "forbidden", "too_many_calls", "unread"}
"""Ends of callers with tokens, which this server does not ask for, and of one that has not read for a minute."""


def test_the_outcomes_are_exactly_those_of_the_load_generator(run: Run) -> None:
    """All ways to end but one in flight, over all models; and they add up to the requests that arrived."""
    at_s = run.records.times["end"]
    counted = run.prometheus.by("outcome", "sum by (outcome) (dragoman_requests_total)", at_s)
    recorded = run.records.outcomes - Counter({"ok": 1})  # the last one was answered after this moment

    assert {name: number for name, number in counted.items() if number} == dict(recorded)
    assert set(recorded) == set(OUTCOMES) - ELSEWHERE
    assert run.prometheus.value("sum(dragoman_requests_started_total)", at_s) == sum(recorded.values()) + 1


def test_the_request_rate_is_that_of_the_load_generator(run: Run) -> None:
    """Within 2 %, over most of the steady scene."""
    at_s = run.records.times["steady_end"] - 2
    rate = run.prometheus.value(f"sum(rate(dragoman_requests_started_total[{STEADY_S - 6}s]))", at_s)

    assert rate == pytest.approx(RATE, rel=0.02)


@pytest.mark.parametrize("q", [0.5, 0.99])
def test_percentiles_are_those_of_the_load_generator(run: Run, q: float) -> None:
    """Within one bucket, over the steady scene; the way there and back is the generator's alone."""
    latencies = sorted(run.records.latencies_s)
    way_s = statistics.median(run.records.transport_s)
    seen_s = latencies[min(len(latencies) - 1, math.floor(q * len(latencies)))] - way_s
    bucket = 'dragoman_request_duration_seconds_bucket{answered="true"}'
    at_s = run.records.times["steady_end"] + 1
    said_s = run.prometheus.value(f"histogram_quantile({q}, sum by (le) (increase({bucket}[{STEADY_S}s])))", at_s)

    places = [bisect.bisect_left(LATENCY_BUCKETS_S, seconds) for seconds in (seen_s, said_s)]
    assert abs(places[0] - places[1]) <= 1, (seen_s, said_s, way_s)


def test_the_stages_add_up_to_the_requests(run: Run) -> None:
    """Within 2 % over the whole run, faults included; and `other` is small where nothing went wrong."""
    at_s = run.records.times["end"]
    duration = run.prometheus.value("sum(dragoman_request_duration_seconds_sum)", at_s)
    stages = run.prometheus.by("stage", "sum by (stage) (dragoman_request_stage_duration_seconds_sum)", at_s)
    steady = run.prometheus.by(
        "stage",
        f"sum by (stage) (increase(dragoman_request_stage_duration_seconds_sum[{STEADY_S}s]))",
        run.records.times["steady_end"],
    )

    assert sum(stages.values()) == pytest.approx(duration, rel=0.02)
    assert steady["decode"] > 0.3 * sum(steady.values())
    assert steady["other"] < 0.2 * sum(steady.values())
    assert steady["unanswered"] == 0


def test_alerts_fire_for_the_faults_and_for_nothing_else(run: Run) -> None:
    """A stalled lane, shedding and slow answers; in the steady scene only the build that pretends to be for GPUs."""
    times = run.records.times
    quiet = run.prometheus.firing(times["steady"], times["steady_end"])
    loud = run.prometheus.firing(times["steady_end"], times["end"])

    assert quiet <= {"DragomanSilentCpuFallback"}
    assert loud >= {
        "DragomanSilentCpuFallback",
        "DragomanLaneStalled",
        "DragomanLaneFailing",
        "DragomanSheddingSustained",
        "DragomanLatencyBudgetBurn",
        "DragomanErrorBudgetBurn",
    }
    assert not loud & {"DragomanAbsent", "DragomanReplicaImbalance"}


def test_a_stall_ends_liveness_in_time_and_the_process_answers(run: Run) -> None:
    """Within the configured seconds and one check; it is well again when lanes move, and ends well when told to."""
    seen = run.records.seen

    assert seen["livez at once"] == 200
    assert STALL_S - 1 <= seen["not live after"] <= STALL_S + 2
    assert (seen["health"], seen["models"]) == ("NOT_SERVING", 1)
    assert run.exit_code == 0
