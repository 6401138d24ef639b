"""Certificates: which are presented, and what happens when their files change."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme

from dragoman.client import AsyncClient, Options
from dragoman.server.core.errors import StartError
from dragoman.server.transport.certificates import Certificates

OPTIONS = Options(source_language="en", target_language="pt")
IN_A_YEAR = datetime(2027, 3, 4, 5, 6, 7, tzinfo=UTC)


class Files:
    """A certificate and its key in a folder."""

    def __init__(self, folder: Path) -> None:
        self.certificate, self.key = str(folder / "tls.crt"), str(folder / "tls.key")
        self.ca = trustme.CA()
        self.renew()

    def renew(self, expires: datetime = IN_A_YEAR) -> None:
        """Another pair, of the same authority."""
        self.pair = self.ca.issue_cert("localhost", "127.0.0.1", not_after=expires)
        Path(self.certificate).write_bytes(b"".join(blob.bytes() for blob in self.pair.cert_chain_pems))
        Path(self.key).write_bytes(self.pair.private_key_pem.bytes())

    @property
    def options(self) -> dict[str, str]:
        return {"tls_certificate": self.certificate, "tls_key": self.key}

    def believer(self, *own: bytes) -> grpc.ChannelCredentials:
        """A client's credentials, which believes the authority."""
        return grpc.ssl_channel_credentials(self.ca.cert_pem.bytes(), *own)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.mark.parametrize("year", [2030, 2049, 2050, 2120])
def test_when_a_certificate_ends_is_read_from_it(files: Files, year: int) -> None:
    """Times until 2049 are written with two digits of the year, later ones with four."""
    files.renew(IN_A_YEAR.replace(year=year))

    assert Certificates(files.certificate, files.key).pair.expires == IN_A_YEAR.replace(year=year)


def test_files_that_do_not_fit_together_do_not_start_a_server(files: Files, tmp_path: Path) -> None:
    """Each in words that say what to look at."""
    old = shutil.copy(files.key, tmp_path / "old.key")
    files.renew()
    with pytest.raises(StartError, match="do not fit together: KEY_VALUES_MISMATCH"):
        Certificates(files.certificate, old)
    with pytest.raises(StartError, match="No such file"):
        Certificates(files.certificate, str(tmp_path / "missing"))
    Path(files.certificate).write_text("nothing")
    with pytest.raises(StartError, match="do not fit together"):
        Certificates(files.certificate, files.key)


def test_a_pair_is_taken_up_when_both_files_are_there(files: Files) -> None:
    """While one of them is old, half written or missing, the pair before goes on; each change is told once."""
    reads: list[str] = []
    certificates = Certificates(files.certificate, files.key, on_read=reads.append)
    first = certificates.pair
    assert not certificates.refresh()

    Path(files.certificate).write_bytes(first.certificate[: len(first.certificate) // 2])
    assert not certificates.refresh()
    assert not certificates.refresh()
    Path(files.key).unlink()
    assert not certificates.refresh()
    assert not certificates.refresh()
    assert (certificates.pair, reads) == (first, ["kept_old"] * 2)

    files.renew(IN_A_YEAR + timedelta(days=1))
    assert certificates.refresh()
    assert not certificates.refresh()
    assert certificates.pair.expires == IN_A_YEAR + timedelta(days=1)
    assert reads == ["kept_old", "kept_old", "taken"]


@pytest.mark.asyncio(loop_scope="session")
async def test_a_server_presents_what_lies_in_the_files(serve: Any, files: Files) -> None:
    """New connections see a renewed certificate; a broken file breaks none; plain text is not answered."""
    served = await serve(**files.options)

    async def translates(credentials: grpc.ChannelCredentials | None, timeout_s: float = 3.0) -> bool:
        async with AsyncClient(served.target, credentials=credentials, timeout_s=timeout_s) as client:
            try:
                return (await client.translate("The dog.", OPTIONS)).text == "The dog."
            except Exception:  # noqa: BLE001 - a handshake fails in many ways
                return False

    assert await translates(files.believer())
    assert not await translates(None, timeout_s=0.3)
    old = files.believer()
    files.ca = trustme.CA()
    files.renew()
    assert await translates(files.believer())
    assert not await translates(old, timeout_s=0.3)
    Path(files.key).write_text("broken")
    assert await translates(files.believer())
    ends = served.value("dragoman_tls_certificate_expires_timestamp_seconds")
    assert ends == IN_A_YEAR.timestamp()
    assert served.value("dragoman_tls_certificate_reads_total", outcome="kept_old") == 1


@pytest.mark.asyncio(loop_scope="session")
async def test_a_server_that_asks_for_certificates_serves_who_has_one(serve: Any, files: Files, tmp_path: Path) -> None:
    """Of the authority that it believes, which may be another than its own."""
    clients, strangers = trustme.CA(), trustme.CA()
    (tmp_path / "clients.pem").write_bytes(clients.cert_pem.bytes())
    served = await serve(**files.options, tls_client_ca=str(tmp_path / "clients.pem"))

    async def code(*own: bytes) -> str:
        async with grpc.aio.secure_channel(served.target, files.believer(*own)) as channel:
            try:
                await channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=3)
            except grpc.aio.AioRpcError as error:
                return error.code().name
            return "OK"

    def pair(ca: trustme.CA) -> tuple[bytes, bytes]:
        own = ca.issue_cert("client@example.org")
        return own.private_key_pem.bytes(), own.cert_chain_pems[0].bytes()

    assert await code(*pair(clients)) == "OK"
    assert await code() == await code(*pair(strangers)) == "UNAVAILABLE"


@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"listen": "0.0.0.0:0"}, "--plaintext any"),
        ({"listen": "[::]:0"}, "--plaintext any"),
        ({"tls_key": "k"}, "both --tls-certificate and --tls-key"),
        ({"tls_client_ca": "c"}, "both --tls-certificate and --tls-key"),
        ({"tls_certificate": "missing", "tls_key": "k"}, "--tls-certificate missing"),
    ],
)
async def test_nobody_serves_in_plain_text_by_mistake(serve: Any, options: dict[str, str], reason: str) -> None:
    """A public address, and TLS that is half there, need a word."""
    with pytest.raises(StartError, match=reason):
        await serve(**options)
