"""What manifests say about the server, asked of a server that runs with the manifests' own options."""

from __future__ import annotations

import http.client
import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import grpc
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from dragoman.server.app.app import SERVICE, App
from dragoman.server.app.option_parsing import load
from dragoman.server.app.serve_options import ServeOptions
from dragoman.server.core.addresses import split_address
from dragoman.server.core.ports import DeviceWork
from dragoman.server.testing import FakeLanes, write_bundle

PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
METRIC = re.compile(
    r"(?<![\w:])(?:[a-z]+:)?(?:dragoman|grpc_server|process|python)_[\w:]+"  # ours, and what is recorded of them
    r"|(?<![\w:$])[a-zA-Z_:][\w:]*(?=\s*[{\[])"  # whatever else has labels or a range
)
PROMETHEUS_OWN = {"up"}


@pytest_asyncio.fixture
async def served(install, tmp_path):
    """The server of the dev overlay on ports of this machine, without a model; it says that it has used a device."""
    options = load(ServeOptions, {}, install("overlay dev").environment).values
    bundle = write_bundle(tmp_path / "bundle")
    lanes = FakeLanes()
    lanes.device = DeviceWork()
    lanes.device.note("step", replayed=True, sent=1, fetched=1)
    app = App(
        replace(
            options,
            bundles=(str(bundle.directory),),
            listen="127.0.0.1:0",
            metrics_listen="127.0.0.1:0",
            probe_listen="127.0.0.1:0",
        ),
        lambda *_: lanes,
    )
    await app.start()
    yield app
    await app.stop()


async def answers(app: App, installation, probe: dict) -> bool:
    """Whether the kubelet would be content."""
    options = load(ServeOptions, {}, installation.environment).values
    listens = options.listen, options.metrics_listen, options.probe_listen
    taken = app.port, app.metrics_port, app.probe_port
    ports = {split_address(address)[1]: port for address, port in zip(listens, taken, strict=True)}
    if "grpc" in probe:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{ports.get(probe['grpc']['port'], 1)}") as channel:
            request = health_pb2.HealthCheckRequest(service=probe["grpc"].get("service", ""))
            try:
                answer = await health_pb2_grpc.HealthStub(channel).Check(request, timeout=5)
            except grpc.RpcError:
                return False
            return answer.status == health_pb2.HealthCheckResponse.SERVING
    page = f"http://127.0.0.1:{ports.get(probe['httpGet']['port'], 1)}{probe['httpGet']['path']}"
    try:
        with urllib.request.urlopen(page, timeout=5) as response:
            return 200 <= response.status < 400
    except (urllib.error.URLError, http.client.HTTPException):
        return False


@pytest.mark.asyncio
async def test_every_probe_of_a_server_that_serves_is_content(served, installations):
    """Whatever the overlays and components make of them, probes ask what the server answers."""
    discontent = [
        f"{installation.name}: {probe}"
        for installation in installations
        for probe in PROBES
        if not await answers(served, installation, installation.server[probe])
    ]

    assert discontent == []


TYPOS = [
    ("overlay dev", {"grpc": {"port": 50051, "service": "dragoman.v1.Translation"}}),
    ("overlay dev", {"grpc": {"port": 9464}}),
    ("base with tls", {"httpGet": {"port": 9465, "path": "/health"}}),
    ("overlay dev", {"httpGet": {"port": 9464, "path": "/healthz"}}),
    ("base with tls", {"httpGet": {"port": 50051, "path": "/healthz"}}),
]


@pytest.mark.asyncio
@pytest.mark.parametrize(("name", "probe"), TYPOS)
async def test_a_broken_probe_is_found(served, install, name, probe):
    """A service, a path or a port that the server does not know."""
    assert not await answers(served, install(name), probe)


@pytest.mark.asyncio
async def test_readiness_ends_with_the_server(install, served):
    """A draining server is taken out of its Services by the very probe that put it in."""
    probe = install("overlay dev").server["readinessProbe"]
    assert await answers(served, install("overlay dev"), probe)

    await served.stop()

    assert not await answers(served, install("overlay dev"), probe)


def queries(document: Any) -> Iterator[str]:
    """Every query anywhere in a document."""
    if isinstance(document, dict):
        for key, value in document.items():
            if key in ("expr", "query") and isinstance(value, str):
                yield value
            else:
                yield from queries(value)
    elif isinstance(document, list):
        for value in document:
            yield from queries(value)


def documents(installation) -> dict[str, Any]:
    """What asks for metrics: autoscalers, rules and dashboards."""
    found = {kind: list(installation.all(kind)) for kind in ("ScaledObject", "PrometheusRule")}
    dashboards = (
        one for one in installation.all("ConfigMap") if "grafana_dashboard" in one["metadata"].get("labels", ())
    )
    return found | {"dashboard": [json.loads(text) for one in dashboards for text in one["data"].values()]}


def unknown_metrics(app: App, asking: dict[str, Any]) -> set[str]:
    """Metrics that are asked for, and neither served nor recorded."""
    known = {sample.name for family in app.registry.collect() for sample in family.samples} | PROMETHEUS_OWN
    groups = [group for rule in asking["PrometheusRule"] for group in rule["spec"]["groups"]]
    known |= {rule["record"] for group in groups for rule in group["rules"] if "record" in rule}
    return {name for query in queries(list(asking.values())) for name in METRIC.findall(query)} - known


@pytest.mark.asyncio
async def test_every_metric_that_is_asked_for_is_served(served, install):
    """Autoscalers, rules and panels ask for what is there."""
    asking = documents(install("base with everything"))

    for name, found in asking.items():
        assert list(queries(found)), name
    assert unknown_metrics(served, asking) == set()


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ["ScaledObject", "PrometheusRule", "dashboard"])
async def test_a_renamed_metric_is_found(served, install, kind):
    """One letter in one query is enough."""
    asking = documents(install("base with everything"))
    query = next(query for query in queries(asking[kind]) if "dragoman_" in query)
    name = next(name for name in METRIC.findall(query) if "dragoman_" in name)
    broken = query.replace(name, f"{name}s")
    text = json.dumps(asking[kind])
    assert json.dumps(query) in text
    asking[kind] = json.loads(text.replace(json.dumps(query), json.dumps(broken), 1))

    assert unknown_metrics(served, asking) == {f"{name}s"}


def test_routes_lead_to_a_service_of_the_contract(install):
    """A gateway matches full names of services; one that does not exist would match nothing."""
    route = install("base with gateway").one("GRPCRoute")
    names = [match["method"]["service"] for rule in route["spec"]["rules"] for match in rule["matches"]]

    assert names == [SERVICE.full_name]
