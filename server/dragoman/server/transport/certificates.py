"""A server's certificate and key, taken up anew when their files change, without a restart.

gRPC asks at each handshake. Files that were changed just now are left for a moment (`followed`). A pair that does not
fit together, as it lies there while the files are being replaced, is left where it is and the one before goes on: a
broken file breaks no connection.
"""

import logging
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import grpc

from dragoman.server.core import logs
from dragoman.server.core.errors import StartError
from dragoman.server.transport.followed import Followed

_logger = logging.getLogger(__name__)

SEQUENCE, UTC_TIME = 0x30, 0x17


@dataclass(frozen=True)
class Pair:
    """What is presented to clients, in PEM, and who may sign theirs."""

    certificate: bytes
    key: bytes
    client_ca: bytes | None
    expires: datetime

    @property
    def configuration(self) -> grpc.ServerCertificateConfiguration:
        """The same as gRPC takes it."""
        return grpc.ssl_server_certificate_configuration([(self.key, self.certificate)], self.client_ca)


class Certificates:
    """The pair that lies in files. Asked from gRPC's threads; raises `StartError` where the first one is no good."""

    def __init__(
        self, certificate: str, key: str, client_ca: str = "", on_read: Callable[[str], None] = lambda _: None
    ) -> None:
        self._files = Followed([Path(path) for path in (certificate, key, client_ca) if path])
        self._on_read = on_read
        """Told what became of files that changed: `taken` or `kept_old`."""
        self._lock = threading.Lock()
        try:
            self.pair = read_pair(self._files.paths, self._files.first())
        except (OSError, ValueError) as error:
            raise StartError(f"--tls-certificate {certificate}: {error}") from error

    def __repr__(self) -> str:
        return f"<Certificates {self._files!r}, until {self.pair.expires:%Y-%m-%d}>"

    @property
    def credentials(self) -> grpc.ServerCredentials:
        """What gRPC listens with."""
        return grpc.dynamic_ssl_server_credentials(
            self.pair.configuration,
            self._changed,  # type: ignore[arg-type] # None where nothing has
            require_client_authentication=self.pair.client_ca is not None,
        )

    def refresh(self) -> bool:
        """Take up the files where they have changed; whether there is a new pair."""
        with self._lock:
            try:
                contents = self._files.changed()
                if contents is None:
                    return False
                self.pair = pair = read_pair(self._files.paths, contents)
            except (OSError, ValueError) as error:
                logs.event(_logger, logging.ERROR, "certificate_not_taken", reason=str(error))
                self._on_read("kept_old")
                return False
        logs.event(_logger, logging.INFO, "certificate_taken", expires=pair.expires.isoformat())
        self._on_read("taken")
        return True

    def _changed(self) -> grpc.ServerCertificateConfiguration | None:
        return self.pair.configuration if self.refresh() else None


def read_pair(paths: Sequence[Path], contents: Sequence[bytes]) -> Pair:
    """The pair that files hold; raises `OSError` or `ValueError` where it is none."""
    certificate, key, *others = contents
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(paths[0], paths[1], password=_no_password)
        for path in paths[2:]:
            context.load_verify_locations(path)
    except ssl.SSLError as error:
        reason = error.reason or "not PEM"
        raise ValueError(f"{', '.join(map(str, paths))} do not fit together: {reason}") from error
    if list(contents) != [path.read_bytes() for path in paths]:
        raise ValueError(f"{paths[0]} changed while it was read")
    first = certificate.decode("ascii").partition(ssl.PEM_FOOTER)[0] + ssl.PEM_FOOTER
    der = ssl.PEM_cert_to_DER_cert(first[first.index(ssl.PEM_HEADER) :])
    return Pair(certificate, key, others[0] if others else None, expires(der))


def _no_password() -> str:
    raise ValueError("the key is encrypted: give one that is not, readable by the server alone")


def expires(der: bytes) -> datetime:
    """When a certificate (X.509, in DER) ends: the second time of its validity, the first pair of times in it."""
    body = _contents(_contents(der)[0][1])[0][1]
    for tag, content in _contents(body):
        times = _contents(content) if tag == SEQUENCE else []
        if len(times) == 2 and all(kind in (UTC_TIME, UTC_TIME + 1) for kind, _ in times):
            kind, text = times[1][0], times[1][1].decode("ascii")
            return datetime.strptime(text, "%y%m%d%H%M%SZ" if kind == UTC_TIME else "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
    raise ValueError("a certificate without validity")


def _contents(data: bytes) -> list[tuple[int, bytes]]:
    """The tags and contents that stand side by side in DER."""
    found, at = [], 0
    while at < len(data):
        tag, size, at = data[at], data[at + 1], at + 2
        if size & 0x80:
            more = size & 0x7F
            size, at = int.from_bytes(data[at : at + more], "big"), at + more
        found.append((tag, data[at : at + size]))
        at += size
    return found
