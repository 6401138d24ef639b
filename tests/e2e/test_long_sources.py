"""Encoders for long sources: each source's keys and values are the same to the last bit in every run of the encoder."""

import json
import subprocess
import sys

import numpy as np
import pytest

from dragoman.bundle.manifest import Decoding
from dragoman.bundle.reader import Bundle
from dragoman.server.batches.encoding import encode
from dragoman.server.core.segments import Segment
from dragoman.server.lanes.opening import open_runtime
from dragoman.server.runtime.positions import segment_bytes

VOCABULARY, EOS = 320, 0
LENGTHS = (1, 5, 16, 17, 31, 33, 47, 64, 65, 80, 129, 200, 257, 650)
RUNS = ((0, 13), (1, 2, 3), (4, 5, 6, 7), (12, 8, 0), (9, 10, 11, 12), (13, 12, 1), tuple(range(len(LENGTHS))))


def segments() -> list[Segment]:
    """A segment of each length."""
    rng = np.random.default_rng(4)
    decoding = Decoding(beam_size=2, num_hypotheses=2, max_length=30)
    return [Segment((*map(int, rng.integers(2, VOCABULARY, n - 1)), EOS), decoding) for n in LENGTHS]


def test_a_source_is_encoded_the_same_alone_and_in_every_run(long_bundle: Bundle) -> None:
    """Below, at and above blocks, beside shorter and longer ones: no bit of any key or value of a word changes."""
    runtime, texts = open_runtime(long_bundle), segments()
    alone = [encode(runtime, [text])[0].tensors for text in texts]

    for run in RUNS:
        together = encode(runtime, [texts[index] for index in run])
        for index, source in zip(run, together, strict=True):
            length = LENGTHS[index]
            for name, tensor in source.tensors.items():
                expected = alone[index][name]
                is_keys = "k." in name  # which are turned
                found, wanted = (t[..., :length] if is_keys else t[:, :length] for t in (tensor, expected))
                assert np.array_equal(found, wanted), (name, length, run)


@pytest.mark.parametrize("most", [1, 4])
def test_long_sources_decode_the_same_beside_short_ones(long_bundle: Bundle, decoder, most: int) -> None:
    """Whole translations of sources of up to 650 words, in lanes of different sizes, are those of each alone."""
    texts = segments()[3::3]

    expected = [answer.hypotheses for answer in decoder(long_bundle, max_batch=1, lanes=1).one_by_one(texts)]

    found = decoder(long_bundle, max_batch=most, lanes=2).together(texts)
    assert [answer.hypotheses for answer in found] == expected
    assert len({answer[0].ids for answer in expected}) > 2, "outputs that are all the same prove nothing"


READER = """
import json, resource, sys, threading
from pathlib import Path
from dragoman.bundle.manifest import Decoding
from dragoman.bundle.reader import open_bundle
from dragoman.server.core.segments import Segment
from dragoman.server.lanes.opening import open_lanes
from dragoman.server.telemetry.lane_metrics import LaneTally

bundle, decoding = open_bundle(Path(sys.argv[1])), Decoding(beam_size=2, num_hypotheses=2, max_length=8)
lanes = open_lanes(bundle, num_lanes=1, threads_per_lane=1, max_batch=4, observer=LaneTally())

def read(*lengths):
    answers, answered = {}, threading.Semaphore(0)
    for length in lengths:
        ids = tuple(2 + n * 7 % 311 for n in range(length - 1)) + (0,)
        def keep(answer, length=length):
            answers[length] = answer
            answered.release()
        lanes.submit(Segment(ids, decoding), keep)
    for _ in lengths:
        answered.acquire()
    return {length: [list(h.ids) for h in answer.hypotheses] for length, answer in answers.items()}

alone = read(20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
beside = read(16000, 20, 300)
grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
long = read(16000)
lanes.close()
print(json.dumps({"grown": grown, "same": long[16000] == beside[16000] and alone[20] == beside[20]}))
"""


@pytest.mark.parametrize("precision", ["fp32"], indirect=True)
@pytest.mark.parametrize("long_bundle", ["window"], indirect=True)
def test_a_document_of_16000_tokens_takes_no_more_than_is_counted_for_it(long_bundle: Bundle) -> None:
    """Lanes read it beside short sources, say of each what they say of it alone, and hold what admission counts."""
    command = [sys.executable, "-c", READER, str(long_bundle.directory)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=170).stdout)

    assert found["same"]
    assert found["grown"] <= segment_bytes(long_bundle.manifest, 16_000, width=2)
