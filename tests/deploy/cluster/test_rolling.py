"""Three replicas that are stopped and started in turn under load, called through a real Envoy and by name.

`SECONDS` says how long each of the two goes on.
"""

import asyncio
import itertools
import json
import os
import signal
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from dragoman.client import AsyncClient, DragomanError, Options

ENVOY = Path(sys.executable).with_name("envoy")
DRAGOMAN = Path(sys.executable).with_name("dragoman")
MODEL = Path(__file__).parents[3] / "models/en-pt"
SECONDS = float(os.environ.get("SECONDS", "40"))
CALLERS = 6
PATIENCE_S = 60

PROXY = """
static_resources:
  listeners:
  - address: {socket_address: {address: 127.0.0.1, port_value: %d}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: grpc
          codec_type: HTTP2
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {prefix: /}
                route:
                  cluster: replicas
                  timeout: 0s
                  retry_policy: {retry_on: "unavailable,refused-stream,connect-failure,reset", num_retries: 3}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
  - name: replicas
    type: STATIC
    connect_timeout: 1s
    health_checks:
    - {timeout: 1s, interval: 0.5s, unhealthy_threshold: 1, healthy_threshold: 1, grpc_health_check: {}}
    load_assignment: {cluster_name: replicas, endpoints: [{lb_endpoints: [%s]}]}
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
"""
ENDPOINT = "{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}}"


def free_ports(count: int) -> list[int]:
    taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in taken]
    for one in taken:
        one.close()
    return ports


class Replica:
    """A server at a port of its own, however often it is started."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        command = ["serve", MODEL, "--listen", f"127.0.0.1:{self.port}", "--metrics-listen", "127.0.0.1:0"]
        command += ["--lanes", "1", "--log-level", "warning", "--json"]
        self.process = await asyncio.create_subprocess_exec(DRAGOMAN, *command, stdout=asyncio.subprocess.PIPE)
        assert self.process.stdout is not None
        assert json.loads(await asyncio.wait_for(self.process.stdout.readline(), PATIENCE_S))

    async def stop(self, by: int = signal.SIGTERM) -> int:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(by)
        return await asyncio.wait_for(self.process.wait(), PATIENCE_S)


@pytest_asyncio.fixture
async def replicas() -> AsyncIterator[list[Replica]]:
    three = [Replica(port) for port in free_ports(3)]
    try:
        for replica in three:
            await replica.start()
        yield three
    finally:
        for replica in three:
            if replica.process is not None:
                await replica.stop(signal.SIGKILL)


@asynccontextmanager
async def proxied(replicas: list[Replica], folder: Path) -> AsyncIterator[str]:
    [port] = free_ports(1)
    (folder / "envoy.yaml").write_text(PROXY % (port, ", ".join(ENDPOINT % one.port for one in replicas)))
    log = (folder / "envoy.log").open("wb")
    proxy = await asyncio.create_subprocess_exec(
        ENVOY, "--config-path", folder / "envoy.yaml", "--disable-hot-restart", stdout=log, stderr=log
    )
    try:
        await asyncio.sleep(2)  # the first health checks
        yield f"127.0.0.1:{port}"
    finally:
        proxy.terminate()
        await proxy.wait()
        log.close()


async def called(address: str, until: Callable[[], Awaitable[None]]) -> Counter[str]:
    """What calls end with, from several callers at once, while something else goes on."""
    ends: Counter[str] = Counter()
    goes_on = True

    async def calls(client: AsyncClient) -> None:
        while goes_on:
            try:
                text = (await client.translate("The dog has seen the cat.", OPTIONS, timeout_s=20)).text
                ends["OK" if text else "empty"] += 1
            except DragomanError as error:
                ends[f"{error.code}: {error}"] += 1

    async with AsyncClient(address) as client:
        callers = [asyncio.create_task(calls(client)) for _ in range(CALLERS)]
        await until()
        goes_on = False
        await asyncio.gather(*callers)
    return ends


OPTIONS = Options(source_language="en", target_language="pt")


@pytest.mark.asyncio
@pytest.mark.parametrize("way", ["proxy", "round robin"])
async def test_replicas_are_restarted_in_turn_and_no_call_fails(
    replicas: list[Replica], tmp_path: Path, way: str
) -> None:
    """By a proxy that asks for health, and by a client that knows all addresses."""

    async def restarts() -> None:
        loop = asyncio.get_running_loop()
        until_s = loop.time() + SECONDS
        for replica in itertools.cycle(replicas):
            await asyncio.sleep(1)
            assert await replica.stop() == 0
            await replica.start()
            if loop.time() > until_s:
                return

    if way == "proxy":
        async with proxied(replicas, tmp_path) as address:
            ends = await called(address, restarts)
    else:
        ends = await called(f"ipv4:{','.join(f'127.0.0.1:{one.port}' for one in replicas)}", restarts)

    print(way, ends)
    assert ends.pop("OK") > 100
    assert ends == {}


@pytest.mark.asyncio
async def test_a_replica_that_is_killed_fails_no_call(replicas: list[Replica]) -> None:
    """The client calls another one."""

    async def killing() -> None:
        await asyncio.sleep(2)
        await replicas[1].stop(signal.SIGKILL)
        await asyncio.sleep(3)

    ends = await called(f"ipv4:{','.join(f'127.0.0.1:{one.port}' for one in replicas)}", killing)

    print(ends)
    assert ends.pop("OK") > 20
    assert ends == {}
