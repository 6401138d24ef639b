"""Documents of 16,000 tokens through a server whose memory is bounded: served or refused by name, and never its end.

The model has random weights and the encoder of a small LongT5 without sums: what it says means nothing, and takes as
much as if it did.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import grpc
import pytest
import torch
from callers import SENTENCES, outcome, request
from serving import serving

from dragoman.bundle.manifest import Architecture, Decoding, LanguagePair, Limits, Window
from dragoman.bundle.reader import open_bundle
from dragoman.export.core.checkpoint import Checkpoint
from dragoman.export.export import export
from dragoman.export.network.load import canonical_weights
from dragoman.export.network.network import Network
from dragoman.v1 import translation_pb2 as pb
from dragoman.v1 import translation_pb2_grpc as pb_grpc

pytestmark = pytest.mark.asyncio

WORDS = open_bundle(Path(__file__).parents[2] / "models/en-pt")
TOKENS, LAYERS = 16_384, 6
DOCUMENT = "the people of the old town walked to the river and looked at the other side " * 941
"""A word is a token."""
BACK, LATER_S = 1.2, 60.0
GIB, REJECT = 2**30, pb.ON_TOO_LONG_REJECT


@pytest.fixture(scope="module")
def long(tmp_path_factory) -> Path:
    """A bundle of a random model that reads 16,384 tokens."""
    folder = tmp_path_factory.mktemp("long")
    arch = Architecture(
        d_model=256,
        heads=4,
        ffn=1024,
        encoder_layers=LAYERS,
        decoder_layers=2,
        source_vocabulary=WORDS.manifest.architecture.source_vocabulary,
        target_vocabulary=WORDS.manifest.architecture.target_vocabulary,
        norm="pre",
        norm_kind="rms",
        linear_bias=False,
        positions="relative",
        relative_buckets=32,
        relative_distance=128,
        encoder_window=Window((127,) * LAYERS),
        encoder_positions=TOKENS,
    )
    torch.manual_seed(0)
    network = Network(arch).eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter.normal_(0, 0.05)
    tokenizer = WORDS.manifest.tokenizer
    checkpoint = Checkpoint(
        name="long",
        pairs=(LanguagePair("en", "pt"),),
        architecture=arch,
        weights=canonical_weights(network),
        quantized={},
        tokenizer=tokenizer,
        tokenizer_files={tokenizer.source: WORDS.path(tokenizer.source)},
        decoding=Decoding(max_length=64),
        limits=Limits(TOKENS, 512),
        source_format="random",
        source_files=(),
    )
    export(checkpoint, folder / "long", precision="int8", progress=lambda _: None)
    return folder / "long"


def asked(copies: int = 1, **fields) -> pb.TranslateRequest:
    """The document as one segment, and no two of them alike."""
    texts = [f"{n} {DOCUMENT}" for n in range(copies)]
    return request(*texts, splitting=pb.SPLITTING_NONE, on_too_long=REJECT, **fields)


MORE = ("--backlog-tokens", "200000")
WIDE = pb.DecodingOptions(beam_size=16, num_hypotheses=16)
CASES = {
    "a document of 16,000 tokens, cut, 1 GiB": (GIB, (), request(DOCUMENT), True),
    "a document of 16,000 tokens, whole, 1 GiB": (GIB, (), asked(), False),
    "eight of up to 1,000 tokens, beam 16, 1 GiB": (
        GIB,
        (),
        request(*[f"{n} {DOCUMENT[:5000]}" for n in range(8)], splitting=pb.SPLITTING_NONE, decoding=WIDE),
        True,
    ),
    "eight of 3,700 tokens, two lanes, 1 GiB": (
        GIB,
        ("--lanes", "2"),
        request(*[f"{n} {DOCUMENT[:16400]}" for n in range(8)], splitting=pb.SPLITTING_NONE, on_too_long=REJECT),
        True,
    ),
    "a document of 16,000 tokens, whole, 3 GiB": (3 * GIB, ("--lanes", "1"), asked(), True),
    "four documents of 16,000 tokens, whole, 3 GiB": (3 * GIB, (*MORE, "--lanes", "1"), asked(4), True),
    "four documents of 16,000 tokens, whole, two lanes, 5 GiB": (5 * GIB, (*MORE, "--lanes", "2"), asked(4), True),
    "two documents of 16,000 tokens, beam 16, two lanes, 5 GiB": (5 * GIB, (), asked(2, decoding=WIDE), True),
}


@pytest.mark.parametrize("kind", CASES)
async def test_long_documents_are_served_or_refused(kind, fault, long):
    """Each text has a translation, or a reason that names tokens and memory; the limit holds, and memory comes back."""
    row, (memory, options, message, is_served) = fault(kind), CASES[kind]
    with serving(long, memory=memory, options=options) as server:
        async with server.channel(**{"grpc.max_receive_message_length": -1}) as channel:
            stub = pb_grpc.TranslationServiceStub(channel)
            await stub.Translate(request(SENTENCES[0]), timeout=30)
            await asyncio.sleep(0.5)
            idle, start_s = server.resident(), time.monotonic()
            code, results, what = grpc.StatusCode.OK, [], ""
            try:
                answer = await stub.Translate(message, timeout=300)
                results, what = list(answer.results), outcome(answer)
            except grpc.aio.AioRpcError as error:
                code, what = error.code(), f"{error.code().name}: {error.details()}"
            seconds, peak = time.monotonic() - start_s, server.peak()
            while (now := server.resident()) > BACK * idle and time.monotonic() < start_s + seconds + LATER_S:
                await asyncio.sleep(0.5)
            row.happens = f"{what} after {seconds:.1f} s, {server.fate()}, peak {peak >> 20} MiB ({server.limit_is}), "
            row.happens += f"{idle >> 20} MiB before and {now >> 20} MiB later"
            row.seen, row.lost = f"{seconds:.1f} s", "nothing" if peak <= memory else "the pod"

            assert server.is_alive()
            assert peak <= memory
            assert now <= BACK * idle
            assert code is (grpc.StatusCode.OK if is_served else grpc.StatusCode.INVALID_ARGUMENT), what
            assert is_served or "the model reads at most" in what
            assert not any(text.status.code for text in results)
            await stub.Translate(request(SENTENCES[1]), timeout=30)
