"""Callers of single sentences beside one client that asks for much."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from callers import Calls, bulk, one_by_one, request, sentences
from serving import serving

from dragoman.v1 import translation_pb2 as pb
from dragoman.v1 import translation_pb2_grpc as pb_grpc

pytestmark = pytest.mark.asyncio

ROOT = Path(__file__).parents[2]
SMALL = ROOT / "models/en-pt"
BEAMED = Path(os.environ.get("CACHE", ROOT / ".cache")).absolute() / "en-pt"
TIMES_ALONE, DEADLINE_TIMES = 3, 10
DEADLINES_S = (0.5, 1, 2, 5)
ALONE_S, BESIDE_S, HURRIED_S = 3.0, 10.0, 4.0

WIDE = pb.DecodingOptions(beam_size=16, min_length=150, max_length_factor=100)

# What is refused as a whole holds nobody up; so there is a smaller request of each kind, too.
BULK = {
    "1,000 sentences": (SMALL, request(*sentences(1000))),
    "100,000 full stops": (SMALL, request("." * 100_000)),
    "131,072 parentheses": (SMALL, request("(" * 131_072)),
    "60,000 parentheses": (SMALL, request("(" * 60_000)),
    "1,000 words, beam 16, min_length 150": (BEAMED, request(*["House"] * 1000, decoding=WIDE)),
    "25 words, beam 16, min_length 150": (BEAMED, request(*["House"] * 25, decoding=WIDE)),
}


@pytest.mark.parametrize("kind", BULK)
async def test_a_single_sentence_beside_a_bulk_client(kind, fault):
    """Its median time is at most 3 times that alone, and none is refused that may take 10 times as long as alone."""
    row = fault(f"single sentences beside {kind}")
    bundle, message = BULK[kind]
    with serving(bundle) as server:
        async with server.channel() as quiet, server.channel() as loud:
            await one_by_one(quiet, 1.0)
            alone = await one_by_one(quiet, ALONE_S)
            deadline_s = DEADLINE_TIMES * alone.p50_s
            async with bulk(loud, message) as asked:
                await asyncio.sleep(1.0)
                beside = await one_by_one(quiet, BESIDE_S, fewest=3)
                hurried = await one_by_one(quiet, HURRIED_S, deadline_s=deadline_s)

    row.happens = f"p50 {1e3 * beside.p50_s:,.0f} ms, alone {1e3 * alone.p50_s:.0f}: {beside.p50_s / alone.p50_s:.1f} "
    row.happens += f"times ({beside}); in {1e3 * deadline_s:.0f} ms: {hurried}; bulk: {asked}"
    row.lost = f"{_refused(beside) + _refused(hurried)} of {beside.codes.total() + hurried.codes.total()} refused"
    assert beside.codes.keys() == {"OK"}
    assert beside.p50_s <= TIMES_ALONE * alone.p50_s
    assert _refused(hurried) == 0


async def test_a_deadline_that_is_kept_is_not_called_unmeetable(fault):
    """Beside one client of 1,000 sentences at a time, no call is refused for a deadline that calls like it keep."""
    rows = {deadline_s: fault(f"a deadline of {deadline_s:g} s beside 1,000 sentences") for deadline_s in DEADLINES_S}
    refused = {}
    with serving(SMALL) as server:
        async with server.channel() as quiet, server.channel() as loud:
            await one_by_one(quiet, 1.0)
            async with bulk(loud, request(*sentences(1000))):
                await asyncio.sleep(1.0)
                free = await one_by_one(quiet, 5.0)
                for deadline_s, row in rows.items():
                    hurried = await one_by_one(quiet, 5.0, deadline_s=deadline_s)
                    refused[deadline_s] = _refused(hurried)
                    row.happens = f"{hurried}; without a deadline p50 {1e3 * free.p50_s:.0f} ms"
                    row.lost = f"{_refused(hurried) / hurried.codes.total():.0%} refused"

    assert free.p50_s < min(DEADLINES_S)
    assert not any(refused.values())


async def test_two_bulk_clients_share(fault):
    """A second client of many sentences gets its first answer while the first one's 20 requests wait."""
    row = fault("a bulk client beside 20 requests of another")
    with serving(SMALL) as server:
        async with server.channel() as first, server.channel() as second:
            stub = pb_grpc.TranslationServiceStub(second)
            async with bulk(first, request(*sentences(100)), streams=20) as asked:
                await asyncio.sleep(2.0)
                before = asked.codes["OK"]
                await stub.Translate(request(*sentences(100)), timeout=60)
                after = asked.codes["OK"]
    row.happens = f"answered after {after - before} of the other's"
    assert after - before <= 20


def _refused(calls: Calls) -> int:
    """Calls that were turned away without being tried."""
    return calls.unmeetable + calls.codes["RESOURCE_EXHAUSTED"] + calls.codes["UNAVAILABLE"]
