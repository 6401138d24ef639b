"""The largest legal request of every kind, inside the memory limit that the manifests set.

Each server is attacked and left alone; its memory is looked at a minute later. So servers are started one after
another, and looked at in the same order.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from callers import SENTENCES, outcome, request
from serving import ServerProcess, serving

from dragoman.v1 import translation_pb2 as pb
from dragoman.v1 import translation_pb2_grpc as pb_grpc

pytestmark = pytest.mark.asyncio

ROOT = Path(__file__).parents[2]
SMALL = ROOT / "models/en-pt"
BEAMED = Path(os.environ.get("CACHE", ROOT / ".cache")).absolute() / "en-pt"
LIMIT = 2**30
"""deploy/base's."""
BACK = 1.2
LATER_S = 60.0
DEADLINE_S = 25.0
CIVIL = {
    grpc.StatusCode.OK,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}
LARGEST = 131_072
WORDS = "the people of the old town walked to the river and looked at the houses on the other side while it rained "
PROSE = (WORDS * (LARGEST // len(WORDS) + 1))[:LARGEST]
SENTENCES_128K = (" ".join(SENTENCES) + " ") * (LARGEST // (len(" ".join(SENTENCES)) + 1))
WIDE = pb.DecodingOptions(beam_size=16, min_length=150, max_length_factor=100)

PAGE = f"<p>The <b>people</b> of the <a href='/town'>old town</a> {WORDS[22:]}</p>"

REQUESTS = {
    "131,072 times a": request("a" * LARGEST),
    "33,000 times a": request("a" * 33_000),
    "60,000 parentheses": request("(" * 60_000),
    "128 KB of prose without full stops": request(PROSE),
    "128 KB without splitting": request(SENTENCES_128K, splitting=pb.SPLITTING_NONE),
    "1,024 texts of 60 tokens": request(*[f"{n} {WORDS}{WORDS}" for n in range(1024)]),
    "1,024 texts of 4 KB": request(*[f"{n} {PROSE[:4000]}" for n in range(1024)]),
    "1,000 words, beam 16, min_length 150": request(*["House"] * 1000, decoding=WIDE),
    "25 words, beam 16, min_length 150": request(*["House"] * 25, decoding=WIDE),
    "128 KB of prose, beam 16, min_length 150": request(PROSE, decoding=WIDE),
    "4 KB of prose, 32 draws": request(
        PROSE[:4096], decoding=pb.DecodingOptions(num_hypotheses=32, sampling=pb.Sampling(seed=1))
    ),
    "128 KB of prose, 32 draws": request(
        PROSE, decoding=pb.DecodingOptions(num_hypotheses=32, sampling=pb.Sampling(seed=1))
    ),
    "128 KB of a page in HTML": request(PAGE * (LARGEST // len(PAGE)), format=pb.INPUT_FORMAT_HTML),
    "14,000 words in marks of their own": request("<b>w</b> " * 14_000, format=pb.INPUT_FORMAT_HTML),
    "26,000 tags within each other": request("<b>" * 26_000 + "House" + "</b>" * 6_000, format=pb.INPUT_FORMAT_HTML),
    "43,000 tags in Markdown": request("<b>" * 43_000, format=pb.INPUT_FORMAT_MARKDOWN),
}


@dataclass
class Left:
    """A server that has been attacked, and is left alone."""

    server: ServerProcess
    idle: int
    at_s: float


@pytest.fixture(scope="module")
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="module")
def left() -> dict[str, Left]:
    return {}


def mib(size: float) -> str:
    return f"{size / 2**20:,.0f} MiB"


@pytest.mark.parametrize("kind", REQUESTS)
async def test_the_largest_request_is_served_or_refused(kind, fault, stack, left):
    """The process lives, has answered with a status that says what it is, and was never above the limit."""
    row = fault(f"{kind}: 1 GiB")
    # What is left behind is ended by the stack's owner: the next test looks at it.
    server = stack.enter_context(serving(BEAMED if "beam" in kind else SMALL, memory=LIMIT))
    async with server.channel() as channel:
        stub = pb_grpc.TranslationServiceStub(channel)
        await stub.Translate(request(SENTENCES[0]), timeout=30)
        await asyncio.sleep(0.5)
        idle = server.resident()
        start_s = time.monotonic()
        try:
            answer = outcome(await stub.Translate(REQUESTS[kind], timeout=DEADLINE_S))
            code = grpc.StatusCode.OK
        except grpc.aio.AioRpcError as error:
            code, answer = error.code(), f"{error.code().name}"
        seconds = time.monotonic() - start_s

        peak = server.peak() if server.is_alive() else LIMIT
        row.happens = f"{answer} after {seconds:.1f} s, {server.fate()}, peak {mib(peak)} of {mib(LIMIT)}"
        row.happens += f" ({server.limit_is})"
        row.seen, row.lost = f"{seconds:.1f} s", "nothing" if peak <= LIMIT else "the pod"
        left[kind] = Left(server, idle, time.monotonic())
        assert server.is_alive()
        assert code in CIVIL
        assert peak <= LIMIT
        await stub.Translate(request(SENTENCES[0]), timeout=30)


@pytest.mark.parametrize("kind", REQUESTS)
async def test_memory_comes_back(kind, fault, left):
    """A minute after it has been answered, the server has at most 20 % more in memory than before."""
    row = fault(f"{kind}: a minute later")
    attacked = left.pop(kind)
    start_s = time.monotonic()
    while (now := attacked.server.resident()) > BACK * attacked.idle and time.monotonic() < attacked.at_s + LATER_S:
        await asyncio.sleep(0.5)
    seconds = max(time.monotonic(), start_s) - attacked.at_s
    row.happens = f"{mib(now)} after {seconds:.0f} s, {mib(attacked.idle)} before: {now / attacked.idle:.2f} times"
    row.lost = "nothing" if now <= BACK * attacked.idle else mib(now - attacked.idle)

    assert attacked.server.is_alive()
    assert now <= BACK * attacked.idle
