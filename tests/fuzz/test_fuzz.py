"""Messages, bytes and frames that nobody would write, against a serving process: `make test-fuzz MINUTES=2`.

Whatever comes, no call ends as INTERNAL or UNKNOWN or not at all, known sentences beside it become what they always do,
the process lives, and in the end it holds no more descriptors, threads or tokens than before. What was found is kept in
`fuzz` in the folder of exported bundles; a case that was mended moves to `corpus` beside this file, and is replayed.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from callers import SENTENCES, request
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from random_messages import broken, frames, messages
from raw_http2 import SERVICE, dial
from serving import ServerProcess, serving

from dragoman.bundle.errors import BundleError
from dragoman.bundle.reader import open_bundle
from dragoman.server.testing import write_bundle
from dragoman.v1 import translation_pb2 as pb
from dragoman.v1 import translation_pb2_grpc as pb_grpc

ROOT = Path(__file__).parents[2]
SMALL = ROOT / "models/en-pt"
CORPUS = Path(__file__).parent / "corpus"
FOUND = Path(os.environ.get("CACHE", ROOT / ".cache")).absolute() / "fuzz"
METHODS = {method.name: method for method in pb.DESCRIPTOR.services_by_name["TranslationService"].methods}
TARGETS = len(METHODS) + 3
"""Each method by messages, and broken bytes, frames and manifests."""
SECONDS = 60 * float(os.environ.get("MINUTES", "2")) / TARGETS
DEFECTS = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)
LONGEST_S = 60.0
BATCH = 100
HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000")
EVERYDAY = settings(
    max_examples=BATCH,
    deadline=None,
    database=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
    print_blob=False,
)


class Witness:
    """A caller of known sentences beside everything else, on a thread of its own."""

    def __init__(self, server: ServerProcess) -> None:
        self.answered, self.wrong, self.codes = 1, 0, Counter[str]()
        self._channel = grpc.insecure_channel(server.address, options=[("grpc.use_local_subchannel_pool", 1)])
        self._stub = pb_grpc.TranslationServiceStub(self._channel)
        self._expected = self._ask()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """No more calls."""
        self._over.set()
        self._thread.join(LONGEST_S)
        self._channel.close()

    def _ask(self) -> list[str]:
        answer = self._stub.Translate(request(*SENTENCES), timeout=LONGEST_S)
        return [result.text for result in answer.results]

    def _run(self) -> None:
        while not self._over.wait(0.1):
            try:
                self.wrong += self._ask() != self._expected
                self.answered += 1
            except grpc.RpcError as error:
                self.codes[error.code().name] += 1


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with serving(SMALL, options=["--stall-seconds", "20"]) as server:
        yield server


@pytest.fixture(scope="module")
def channel(server: ServerProcess) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        yield channel


@pytest.fixture(scope="module")
def before(server: ServerProcess, channel: grpc.Channel) -> tuple[int, int]:
    """Descriptors and threads, once everything has been asked for."""
    pb_grpc.TranslationServiceStub(channel).Translate(request(*SENTENCES), timeout=LONGEST_S)
    return server.descriptors(), server.threads()


@pytest.fixture
def witness(server: ServerProcess, before: tuple[int, int]) -> Iterator[Witness]:
    witness = Witness(server)
    yield witness
    witness.close()
    assert server.is_alive(), server.log()[-3000:]
    assert server.get("/livez")[0] == 200
    assert witness.wrong == 0
    assert not witness.codes.keys() & {code.name for code in DEFECTS}


def hammer(kind: str, strategy: st.SearchStrategy[Any], check: Callable[[Any], None], seconds: float) -> int:
    """Check examples until the time is over; how many. One that fails is made small, and kept."""
    tried, last = 0, b""

    @EVERYDAY
    @given(strategy)
    def batch(example: Any) -> None:
        nonlocal tried, last
        tried += 1
        try:
            check(example)
        except BaseException:
            last = example if isinstance(example, bytes) else encoded(example)
            raise

    end_s = time.monotonic() + seconds
    try:
        while time.monotonic() < end_s:
            batch()
    except BaseException:
        FOUND.mkdir(parents=True, exist_ok=True)
        (FOUND / f"{kind}-{hashlib.sha256(last).hexdigest()[:12]}.bin").write_bytes(last)
        raise
    print(f"{kind}: {tried} examples")
    return tried


def encoded(example: Any) -> bytes:
    """A message, or the messages of a pipe each behind its length."""
    if isinstance(example, list):
        return b"".join(framed_alone(message.SerializeToString()) for message in example)
    return example.SerializeToString() if hasattr(example, "SerializeToString") else json.dumps(example).encode()


def framed_alone(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def split(data: bytes) -> Iterator[bytes]:
    """The messages of a pipe."""
    while data:
        size = int.from_bytes(data[:4], "big")
        yield data[4 : 4 + size]
        data = data[4 + size :]


def ask(channel: grpc.Channel, method: str, sent: list[bytes]) -> grpc.StatusCode:
    """Make a call with these messages; how it ends."""
    kinds = METHODS[method].client_streaming, METHODS[method].server_streaming
    code, details = grpc.StatusCode.OK, ""
    try:
        match kinds:
            case (False, False):
                channel.unary_unary(SERVICE + method, bytes, bytes)(sent[0], timeout=LONGEST_S)
            case (False, True):
                list(channel.unary_stream(SERVICE + method, bytes, bytes)(sent[0], timeout=LONGEST_S))
            case _:
                list(channel.stream_stream(SERVICE + method, bytes, bytes)(iter(sent), timeout=LONGEST_S))
    except grpc.RpcError as error:
        code, details = error.code(), error.details() or ""
    assert code not in DEFECTS, details
    assert code is not grpc.StatusCode.DEADLINE_EXCEEDED, f"unanswered for {LONGEST_S:g} s"
    return code


@pytest.mark.parametrize("method", METHODS)
def test_messages(method, server, channel, witness):
    """Every message of a method is answered, or refused by a status that says what is wrong with it."""
    codes = Counter[str]()
    several = METHODS[method].client_streaming
    strategy = messages(METHODS[method].input_type)

    def check(example: Any) -> None:
        sent = [message.SerializeToString() for message in (example if several else [example])]
        codes[ask(channel, method, sent).name] += 1
        assert server.is_alive(), server.log()[-3000:]

    hammer(method, st.lists(strategy, min_size=1, max_size=4) if several else strategy, check, SECONDS)
    print(dict(codes))


def test_broken_bytes(server, channel, witness):
    """Bytes that are nearly a message, or nothing like one, end their own call."""
    codes = Counter[str]()
    method = st.sampled_from(sorted(METHODS))
    strategy = method.flatmap(lambda name: st.tuples(st.just(name), broken(METHODS[name].input_type)))

    def check(example: tuple[str, bytes]) -> None:
        codes[ask(channel, example[0], [example[1]]).name] += 1
        assert server.is_alive(), server.log()[-3000:]

    hammer("bytes", strategy.map(Named), check, SECONDS)
    print(dict(codes))


class Named(tuple[str, bytes]):
    """Bytes for a method, which the corpus keeps as one file."""

    def SerializeToString(self) -> bytes:
        return self[0].encode() + b"\n" + self[1]


def throw(server: ServerProcess, data: bytes) -> None:
    """Say hello and then this on a connection of its own, and read what comes until it ends or nothing comes."""
    with dial(server.address) as connection:
        connection.settimeout(0.05)
        try:
            connection.sendall(HELLO + data)
            while connection.recv(65_536):
                pass
        except (TimeoutError, ConnectionError):
            pass
        if len(data) % 2:  # as a reset, and not as an end
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert server.is_alive(), server.log()[-3000:]


def test_frames(server, witness):
    """Frames that fit nowhere end their own connection at most."""
    hammer("frames", frames(), lambda data: throw(server, data), SECONDS)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=6,
)


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something lies in JSON."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in inside:
        yield (*path, key)
        yield from paths(inner, (*path, key))


def test_manifests(tmp_path):
    """A manifest in which anything stands anywhere is opened or refused as a bundle that is not right."""
    write_bundle(tmp_path / "bundle")
    file = tmp_path / "bundle/manifest.json"
    sound = json.loads(file.read_text("utf-8"))
    change = st.tuples(st.sampled_from(sorted(paths(sound), key=str)), st.one_of(JSON, st.just("remove")))

    def check(changes: list[tuple[tuple[Any, ...], Any]]) -> None:
        manifest = json.loads(json.dumps(sound))
        for path, value in changes:
            place = manifest
            try:
                for key in path[:-1]:
                    place = place[key]
                if value == "remove":
                    del place[path[-1]]
                else:
                    place[path[-1]] = value
            except (KeyError, IndexError, TypeError):
                continue
        file.write_text(json.dumps(manifest), "utf-8")
        problem = ""
        try:
            open_bundle(tmp_path / "bundle")
        except BundleError as error:
            problem = str(error)
        assert len(problem) < 20_000

    hammer("manifest", st.lists(change, min_size=1, max_size=3), check, SECONDS)


@pytest.mark.parametrize("case", sorted(CORPUS.glob("*.bin")), ids=lambda path: path.stem)
def test_what_was_found_before(case, server, channel, witness):
    """What once did harm does none."""
    kind, data = case.stem.rpartition("-")[0], case.read_bytes()
    if kind == "frames":
        throw(server, data)
    elif kind == "bytes":
        method, _, content = data.partition(b"\n")
        ask(channel, method.decode(), [content])
    else:
        ask(channel, kind, list(split(data)) if METHODS[kind].client_streaming else [data])


def test_nothing_is_left(server, before):
    """When all is over, the server holds no token, as many requests have ended as began, and descriptors are back."""
    descriptors, threads = before
    end_s = time.monotonic() + 30
    while time.monotonic() < end_s:
        held = server.total("dragoman_admitted_tokens")
        begun, ended = server.total("dragoman_requests_started_total"), server.total("dragoman_requests_total")
        if held == 0 and begun == ended and server.descriptors() <= descriptors + 2:
            break
        time.sleep(0.5)
    assert held == 0
    assert begun == ended
    assert server.descriptors() <= descriptors + 2
    assert server.threads() <= threads + 4
    assert "Traceback" not in server.log()
