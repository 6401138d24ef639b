"""The proxy of the tls component, run as the component configures it, before a server."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from dragoman.client import AsyncClient, Unavailable
from dragoman.server.app.app import App
from dragoman.server.app.options import load
from dragoman.server.app.serve_options import ServeOptions
from dragoman.server.core.addresses import split_address
from dragoman.server.testing import FakeLanes, write_bundle

ENVOY = Path(sys.executable).with_name("envoy")
PATIENCE_S = 20


def renew(secret: Path, number: int) -> bytes:
    """A new certificate, brought into a Secret's folder as the kubelet does it: one link is exchanged for another."""
    version = secret / f"..{number}"
    version.mkdir(parents=True)
    key, certificate = version / "tls.key", version / "tls.crt"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", f"/CN={number}"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, capture_output=True, check=True)
    (secret / "..data_new").symlink_to(version.name)
    (secret / "..data_new").rename(secret / "..data")
    for name in ("tls.key", "tls.crt"):
        if not (secret / name).is_symlink():
            (secret / name).symlink_to(f"..data/{name}")
    return certificate.read_bytes()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@asynccontextmanager
async def proxied(installation, folder: Path) -> AsyncIterator[str]:
    """The component's proxy and a server behind it, on ports and in folders of this machine; the proxy's address."""
    options = load(ServeOptions, {}, installation.environment).values
    bundle = write_bundle(folder / "bundle")
    lanes = FakeLanes()
    app = App(
        replace(options, bundles=(str(bundle.directory),), listen="127.0.0.1:0", metrics_listen="127.0.0.1:0"),
        lambda *_: lanes,
    )
    await app.start()
    outside = free_port()
    changes = {
        ": /etc/envoy": f": {folder / 'envoy'}",
        ": /tls": f": {folder / 'tls'}",
        "port_value: 50051": f"port_value: {outside}",
        f"port_value: {split_address(options.listen)[1]}": f"port_value: {app.port}",
    }
    (folder / "envoy").mkdir()
    for name, text in installation.one("ConfigMap", "dragoman-envoy")["data"].items():
        for old, new in changes.items():
            text = text.replace(old, new)
        (folder / "envoy" / name).write_text(text, "utf-8")
    [sidecar] = [container for container in installation.containers if container["name"] == "tls"]
    arguments = [one.replace("/etc/envoy", str(folder / "envoy")) for one in sidecar["command"][1:]]
    log = (folder / "log").open("wb")
    proxy = await asyncio.create_subprocess_exec(ENVOY, *arguments, stdout=log, stderr=log)
    try:
        yield f"localhost:{outside}"
    finally:
        proxy.terminate()
        await proxy.wait()
        await app.stop()
        log.close()


async def translation(address: str, trusted: bytes) -> str:
    """A translation over a new connection that trusts this certificate alone."""
    async with AsyncClient(address, credentials=grpc.ssl_channel_credentials(trusted)) as client:
        return (await client.translate("Hello.", timeout_s=5)).text


async def translation_once_ready(address: str, trusted: bytes, log: Path) -> str:
    """The same, as soon as the proxy listens or knows its new certificate."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await translation(address, trusted)
            except Unavailable:
                assert "critical" not in log.read_text("utf-8"), log.read_text("utf-8")


@pytest.mark.asyncio
async def test_calls_are_encrypted_and_certificates_renewed(install, tmp_path):
    """A client reaches the server through the proxy by TLS alone; a renewed certificate counts without a restart."""
    first = renew(tmp_path / "tls", 1)

    async with proxied(install("base with tls"), tmp_path) as address:
        assert await translation_once_ready(address, first, tmp_path / "log") == "Hello."
        async with AsyncClient(address) as plain:
            with pytest.raises(Unavailable):
                await plain.translate("Hello.", timeout_s=5)

        second = renew(tmp_path / "tls", 2)
        assert await translation_once_ready(address, second, tmp_path / "log") == "Hello."
        with pytest.raises(Unavailable):
            await translation(address, first)
