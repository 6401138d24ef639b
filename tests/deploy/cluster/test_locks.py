"""TLS and tokens beside programs that others wrote: OpenSSL's client, nghttp2's load generator, gRPC for Node."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import statistics
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme
from serving import ServerProcess, serving

from dragoman.client import Options, codec
from dragoman.server.transport.callers import Callers, digest, read_callers

ROOT = Path(__file__).parents[3]
MODULES = Path(os.environ.get("CACHE", ROOT / ".cache")).absolute() / "npm/node_modules"
TOKEN, OLD_TOKEN, OPTIONS = secrets.token_urlsafe(), secrets.token_urlsafe(), Options("en", "pt")
LOAD_S, ROTATIONS = 24, 4
METHOD = "/dragoman.v1.TranslationService/Translate"


def hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


class Locked:
    """A server behind TLS and tokens, and the files that it follows."""

    def __init__(self, folder: Path) -> None:
        self.ca, self.folder = trustme.CA(), folder
        self.certificate, self.key, self.trusted = folder / "tls.crt", folder / "tls.key", folder / "ca.pem"
        self.trusted.write_bytes(self.ca.cert_pem.bytes())
        (folder / "tokens.toml").write_text(
            f'[service]\nsha256 = "{hashed(TOKEN)}"\n\n[gone]\nsha256 = "{hashed(OLD_TOKEN)}"\n'
            "expires = 2020-01-01T00:00:00Z\n"
        )
        self.renew()
        self.server: ServerProcess

    @property
    def options(self) -> list[str]:
        files = {"tls-certificate": self.certificate, "tls-key": self.key, "tokens": self.folder / "tokens.toml"}
        return [part for name, path in files.items() for part in (f"--{name}", str(path))]

    def renew(self) -> int:
        """Another certificate of the same authority, brought there by renaming; its number."""
        pair = self.ca.issue_cert("localhost", "127.0.0.1")
        for path, content in (
            (self.key, pair.private_key_pem.bytes()),
            (self.certificate, b"".join(blob.bytes() for blob in pair.cert_chain_pems)),
        ):
            (self.folder / "new").write_bytes(content)
            (self.folder / "new").rename(path)
        return serial(self.certificate.read_text())

    def presented(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """What OpenSSL's client says of a handshake."""
        command = ["openssl", "s_client", "-connect", self.server.address, "-alpn", "h2", "-CAfile", str(self.trusted)]
        how = {"input": "", "capture_output": True, "timeout": 30, "encoding": "utf-8", "errors": "replace"}
        return subprocess.run([*command, *arguments], check=False, **how)  # the server's bytes are shown, too

    def node(self, token: str) -> str:
        """What a service in Node gets."""
        command = [
            "node",
            Path(__file__).with_name("call.mjs"),
            self.server.address,
            self.trusted,
            token,
            ROOT / "proto",
        ]
        environment = {**os.environ, "NODE_MODULES": str(MODULES)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
        return done.stdout.strip()


def serial(text: str) -> int:
    """The number of the first certificate in a text."""
    done = subprocess.run(
        ["openssl", "x509", "-noout", "-serial"], input=text, capture_output=True, text=True, timeout=30, check=True
    )
    return int(done.stdout.partition("=")[2], 16)


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Locked]:
    locked = Locked(tmp_path_factory.mktemp("locked"))
    with serving(ROOT / "models/en-pt", options=locked.options) as locked.server:
        yield locked


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_verifies_the_server_and_speaks_http2(locked, version):
    """By both versions of TLS that are still good."""
    said = locked.presented(version, "-verify_return_error")

    assert said.returncode == 0, said.stderr
    assert "ALPN protocol: h2" in said.stdout
    assert "Verify return code: 0 (ok)" in said.stdout


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_versions_that_are_broken_are_refused(locked, version):
    """Also by a client that would take anything."""
    assert locked.presented(version, "-cipher", "ALL:@SECLEVEL=0").returncode != 0


def test_node_calls_with_a_token(locked):
    """And without one, with a wrong one, or with one that has expired it is told so; none of them is ever logged."""
    wrong = secrets.token_urlsafe()

    assert "cão" in locked.node(TOKEN).lower() or "cachorro" in locked.node(TOKEN).lower()
    assert [locked.node(token) for token in ("", wrong, OLD_TOKEN)] == ["UNAUTHENTICATED"] * 3
    assert not any(token in locked.server.log() for token in (TOKEN, OLD_TOKEN, wrong))


def test_certificates_are_rotated_and_broken_under_load(locked, tmp_path, capsys):
    """Each connection of the load is new; not one request fails, and what is presented in the end is the last pair."""
    message = codec.request(["The dog."], OPTIONS).SerializeToString()
    (tmp_path / "body").write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)
    call = ["-d", tmp_path / "body", "-H", "content-type: application/grpc", "-H", "te: trailers"]
    call += ["-H", f"authorization: Bearer {TOKEN}"]
    url, counted, succeeded = f"https://{locked.server.address}{METHOD}", 0, 0
    handled = locked.server.total("grpc_server_handled_total", grpc_method="Translate", grpc_code="OK")
    serials, until_s, changed_s = set[int](), time.monotonic() + LOAD_S, 0.0
    changes = iter([locked.renew, lambda: locked.certificate.write_text("nothing"), locked.renew] * ROTATIONS)

    while time.monotonic() < until_s:
        load = subprocess.Popen(
            ["h2load", "-n", "40", "-c", "8", "-m", "4", *call, url], stdout=subprocess.PIPE, text=True
        )
        if time.monotonic() - changed_s > LOAD_S / (3 * ROTATIONS) and (change := next(changes, None)):
            change()
            changed_s = time.monotonic()
        said, _ = load.communicate(timeout=60)
        counted += 40
        succeeded += int(re.search(r"(\d+) succeeded, 0 failed, 0 errored, 0 timeout", said)[1])
        serials.add(serial(locked.presented().stdout))
    last, until_s = locked.renew(), time.monotonic() + 20
    while last not in serials and time.monotonic() < until_s:
        serials.add(serial(locked.presented().stdout))
    handled = locked.server.total("grpc_server_handled_total", grpc_method="Translate", grpc_code="OK") - handled

    with capsys.disabled():
        print(f"\n{succeeded} of {counted} calls over new connections, {len(serials)} certificates presented")
    assert counted == succeeded == handled
    assert last in serials
    assert len(serials) > ROTATIONS


def test_time_says_nothing_about_a_token(capsys):
    """One that is wrong from the first letter is refused in the time of one that is wrong in the last: medians of many
    turns differ by less than either does from itself.
    """
    known = [secrets.token_urlsafe() for _ in range(64)]
    callers = read_callers("".join(f'[c{n}]\nsha256 = "{hashed(token)}"\n' for n, token in enumerate(known)))
    near = known[0][:-1] + ("A" if known[0][-1] != "A" else "B")
    tokens = {"first letter": "!" + known[0][1:], "last letter": near, "again": near, "first known": known[0]}
    tokens["last known"] = known[-1]

    taken = {name: list[float]() for name in tokens}
    for _ in range(4000):
        for name, token in tokens.items():
            taken[name].append(seconds(callers, token))
    medians = {name: statistics.median(values) for name, values in taken.items()}
    spread = statistics.quantiles(taken["again"], n=4)

    with capsys.disabled():
        print("\n" + ", ".join(f"{name} {1e6 * value:.2f} us" for name, value in medians.items()))
    assert max(medians.values()) - min(medians.values()) < spread[2] - spread[0] + 2e-7
    assert digest(near) not in {bytes.fromhex(hashed(token)) for token in known}


def seconds(callers: Callers, token: str) -> float:
    """How long one look takes."""
    now = datetime.now(UTC)
    start_s = time.perf_counter()
    callers.named(token, now)
    return time.perf_counter() - start_s
