"""What manifests say about the server, asked of a server that runs with the manifests' own options."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace

import grpc
import pytest
import pytest_asyncio
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc

from dragoman.server.app import SERVICE, App
from dragoman.server.config import ServeOptions
from dragoman.server.options import load, split_address
from dragoman.server.testing import FakeLanes, write_bundle

PROBES = ("startupProbe", "readinessProbe")
METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*(?=\s*[{\[])|\b(?:dragoman|grpc_server)_\w+")
RECORDED = re.compile(r"\w+:[\w:]+")


@pytest_asyncio.fixture
async def served(install, tmp_path):
    """The server of the dev overlay on ports of this machine, without a model."""
    options = load(ServeOptions, {}, install("overlay dev").environment).values
    bundle = write_bundle(tmp_path / "bundle")
    lanes = FakeLanes()
    app = App(
        replace(options, bundles=(str(bundle.directory),), listen="127.0.0.1:0", metrics_listen="127.0.0.1:0"),
        lambda *_: lanes,
    )
    await app.start()
    yield app
    await app.stop()


async def answers(app: App, installation, probe: dict) -> bool:
    """Whether the kubelet would be content."""
    options = load(ServeOptions, {}, installation.environment).values
    ports = {
        split_address(options.listen)[1]: app.port,
        split_address(options.metrics_listen)[1]: app.metrics_port,
    }
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
    except urllib.error.URLError:
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
    ("base with tls", {"httpGet": {"port": 9464, "path": "/health"}}),
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


def expressions(installation) -> Iterator[str]:
    """The queries of autoscalers."""
    for one in installation.all("ScaledObject"):
        yield from (trigger["metadata"]["query"] for trigger in one["spec"]["triggers"])


def unknown_metrics(app: App, installation) -> set[str]:
    """Metrics that are asked for, and neither served nor recorded."""
    known = {sample.name for family in app.registry.collect() for sample in family.samples}
    asked = {name for query in expressions(installation) for name in METRIC.findall(query)}
    return asked - known


@pytest.mark.asyncio
async def test_every_metric_that_is_asked_for_is_served(served, install):
    """Autoscalers ask for what is there."""
    installation = install("base with everything")

    assert len(list(expressions(installation))) >= 2
    assert unknown_metrics(served, installation) == set()


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ["ScaledObject"])
async def test_a_renamed_metric_is_found(served, install, kind):
    """One letter in one query is enough."""
    installation = install("base with everything")
    text = yaml.safe_dump(installation.one(kind))
    found = METRIC.search(text, text.index("dragoman_"))
    index = installation.objects.index(installation.one(kind))
    installation.objects[index] = yaml.safe_load(text.replace(found[0], f"{found[0]}s", 1))

    assert unknown_metrics(served, installation) == {f"{found[0]}s"}


def test_routes_lead_to_a_service_of_the_contract(install):
    """A gateway matches full names of services; one that does not exist would match nothing."""
    route = install("base with gateway").one("GRPCRoute")
    names = [match["method"]["service"] for rule in route["spec"]["rules"] for match in rule["matches"]]

    assert names == [SERVICE.full_name]
