"""The server as the tls component sets it up, with a Secret that is renewed."""

import asyncio
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
import trustme

from dragoman.client import AsyncClient, Unavailable
from dragoman.server.app.app import App
from dragoman.server.app.option_parsing import load
from dragoman.server.app.serve_options import ServeOptions
from dragoman.server.testing import FakeLanes, write_bundle

PATIENCE_S = 20


def renew(secret: Path, number: int) -> bytes:
    """A new certificate, brought into a Secret's folder as the kubelet does it: one link is exchanged for another."""
    version, ca = secret / f"..{number}", trustme.CA()
    version.mkdir(parents=True)
    pair = ca.issue_cert("localhost")
    (version / "tls.key").write_bytes(pair.private_key_pem.bytes())
    (version / "tls.crt").write_bytes(b"".join(blob.bytes() for blob in pair.cert_chain_pems))
    (secret / "..data_new").symlink_to(version.name)
    (secret / "..data_new").rename(secret / "..data")
    for name in ("tls.key", "tls.crt"):
        if not (secret / name).is_symlink():
            (secret / name).symlink_to(f"..data/{name}")
    return ca.cert_pem.bytes()


async def translation(address: str, trusted: bytes) -> str:
    """A translation over a new connection that trusts this certificate alone."""
    async with AsyncClient(address, credentials=grpc.ssl_channel_credentials(trusted)) as client:
        return (await client.translate("Hello.", timeout_s=5)).text


async def renewed(address: str, trusted: bytes) -> str:
    """The same once the server presents it: files that were changed a moment ago are left for another."""
    while True:
        try:
            return await translation(address, trusted)
        except Unavailable:
            await asyncio.sleep(0.2)


@pytest.mark.asyncio
async def test_calls_are_encrypted_and_certificates_renewed(install, tmp_path):
    """A client reaches the server by TLS alone; a renewed certificate counts without a restart."""
    options = load(ServeOptions, {}, install("base with tls").environment).values
    first = renew(tmp_path / "tls", 1)
    app = App(
        replace(
            options,
            bundles=(str(write_bundle(tmp_path / "bundle").directory),),
            listen="127.0.0.1:0",
            metrics_listen="127.0.0.1:0",
            probe_listen="127.0.0.1:0",
            tls_certificate=options.tls_certificate.replace("/tls", str(tmp_path / "tls"), 1),
            tls_key=options.tls_key.replace("/tls", str(tmp_path / "tls"), 1),
        ),
        lambda *_: FakeLanes(),
    )
    await app.start()
    try:
        address = f"localhost:{app.port}"
        assert await translation(address, first) == "Hello."
        async with AsyncClient(address) as plain:
            with pytest.raises(Unavailable):
                await plain.translate("Hello.", timeout_s=5)

        second = renew(tmp_path / "tls", 2)
        async with asyncio.timeout(PATIENCE_S):
            assert await renewed(address, second) == "Hello."
        with pytest.raises(Unavailable):
            await translation(address, first)
    finally:
        await app.stop()
