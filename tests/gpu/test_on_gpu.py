"""The decoder on a GPU against the same bundle on the processor, captured and not, alone and under load."""

import json
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from sentencepiece import SentencePieceProcessor

from dragoman.bundle.manifest import Decoding
from dragoman.server.core.ports import LaneObserver
from dragoman.server.core.segments import Segment
from dragoman.server.decode.strategies.sampling import Sampling
from dragoman.server.lanes.opening import open_lanes
from dragoman.server.runtime import device as devices
from dragoman.server.runtime.hardware import PROCESSOR, PROVIDERS, SHAPE_OPS

VOCABULARY, EOS = 320, 0
GREEDY = Decoding(max_length=30)
BEAM = Decoding(beam_size=4, num_hypotheses=4, max_length=30)
KINDS = {
    "greedy": {"decoding": GREEDY},
    "beam": {"decoding": BEAM},
    "hf": {"decoding": replace(BEAM, profile="hf")},
    "sample": {"decoding": replace(GREEDY, num_hypotheses=3), "strategy": Sampling(5, temperature=1.3)},
    "prefix": {"decoding": BEAM, "prefix": (9, 8)},
}
TIE = 1e-3
"""Two outputs whose scores are this close are equally good: what is added up in another order is rounded otherwise."""


def segments(each: int, longest: int = 40) -> list[Segment]:
    rng = np.random.default_rng(4)
    return [
        Segment((*map(int, rng.integers(2, VOCABULARY, n)), EOS), **kind)
        for kind in KINDS.values()
        for n in rng.integers(0, longest, each)
    ]


def differing(found, expected, tie=TIE):
    """Answers whose best hypothesis is another one, and not an equally good one."""
    return [
        (a.hypotheses[0], b.hypotheses[0])
        for a, b in zip(found, expected, strict=True)
        if a.hypotheses[0].ids != b.hypotheses[0].ids and abs(a.hypotheses[0].score - b.hypotheses[0].score) > tie
    ]


def equal(found, expected) -> float:
    """Share of answers with the very same words."""
    pairs = zip(found, expected, strict=True)
    return float(np.mean([a.hypotheses[0].ids == b.hypotheses[0].ids for a, b in pairs]))


def test_the_gpu_says_what_the_processor_says(tiny, hardware, decode):
    """float32: every strategy's words, and scores within a thousandth, of the path with arrays."""
    given = segments(12)

    there, here = (decode(tiny, given, max_batch=8, hardware=one) for one in (hardware, PROCESSOR))

    assert differing(there, here) == []
    assert equal(there, here) >= 0.98
    for a, b in zip(there, here, strict=True):
        if a.hypotheses[0].ids == b.hypotheses[0].ids:
            assert a.hypotheses[0].score == pytest.approx(b.hypotheses[0].score, abs=TIE)


def test_captured_runs_are_those_that_are_not(tiny, hardware, decode, monkeypatch):
    """The same words, and scores within a thousandth, whether launches are repeated or made anew."""
    given = segments(12)
    captured = decode(tiny, given, max_batch=8, lanes=1, hardware=hardware)
    monkeypatch.setattr(devices, "MOST_CAPTURES", 0)

    assert differing(captured, decode(tiny, given, max_batch=8, lanes=1, hardware=hardware)) == []


def test_two_lanes_under_load_disturb_nobody(tiny, hardware, decode):
    """400 segments of all kinds on two lanes, joining and leaving at every step, against one lane with one place."""
    given = segments(80)

    together = decode(tiny, given, max_batch=16, lanes=2, hardware=hardware)
    alone = decode(tiny, given, max_batch=1, lanes=1, hardware=hardware)

    assert differing(together, alone) == []
    assert equal(together, alone) >= 0.98


def test_the_real_model_in_float16(real, hardware, decode, lines):
    """200 sentences: nearly all word for word what the processor makes of the same bundle, all nearly as probable."""
    pieces = SentencePieceProcessor(model_file=str(real.path(real.manifest.tokenizer.source)))
    decoding = replace(real.manifest.decoding, beam_size=1, num_hypotheses=1, shortlist=False)
    given = [Segment((*pieces.encode(line), real.manifest.tokenizer.eos_id), decoding) for line in lines]
    given = [one for one in given if len(one.ids) <= real.manifest.limits.max_source_tokens]

    there, here = (decode(real, given, max_batch=32, hardware=one) for one in (hardware, PROCESSOR))

    assert equal(there, here) >= 0.95
    assert differing(there, here, tie=0.1) == []


def test_no_number_is_computed_on_the_processor(tiny, hardware, decode, monkeypatch, tmp_path):
    """ONNX Runtime's own profile of a decode: on the processor run sizes of tensors, and nothing else."""
    plain, made = onnxruntime.InferenceSession, []

    def profiling(path, options, **more):
        options.enable_profiling = True
        options.profile_file_prefix = str(tmp_path / f"{len(made)}")
        made.append(plain(path, options, **more))
        return made[-1]

    monkeypatch.setattr(onnxruntime, "InferenceSession", profiling)
    decode(tiny, segments(4), hardware=hardware)
    events = [e for session in made for e in json.loads(Path(session.end_profiling()).read_text())]
    ran = [e["args"] for e in events if e.get("cat") == "Node" and e["name"].endswith("_kernel_time")]

    assert {"MatMul"} <= {one["op_name"] for one in ran}
    if hardware.provider == "cuda":
        astray = {one["op_name"] for one in ran if one["provider"] != PROVIDERS["cuda"]}
        assert astray <= SHAPE_OPS


def test_memory_does_not_grow(tiny, hardware):
    """Over many shapes again and again, on two lanes that stay, no more is in use after the last round than after the
    second, but for a little."""
    lanes = open_lanes(tiny, num_lanes=2, threads_per_lane=1, max_batch=32, observer=LaneObserver(), hardware=hardware)
    used = []
    for _ in range(6):
        for longest in (10, 40, 120, 240):
            answers(lanes, segments(16, longest))
        used.append(in_use(hardware))
    lanes.close()

    assert used[-1] - used[1] < 64 << 20, used


def answers(lanes, given):
    found, answered = [], threading.Semaphore(0)
    for segment in given:
        lanes.submit(segment, lambda answer: (found.append(answer), answered.release()))
    for _ in given:
        assert answered.acquire(timeout=120)
    assert not [one for one in found if isinstance(one, Exception)]


def in_use(hardware) -> int:
    """Bytes of the GPU's memory, or of this process' where there is none."""
    if hardware.provider == "cpu":
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * 4096
    import torch

    free, total = torch.cuda.mem_get_info(hardware.device)
    return total - free


def test_a_server_says_what_it_runs_on(tiny, hardware):
    """Lanes name the provider that their sessions have, which metrics and Describe pass on."""
    lanes = open_lanes(tiny, num_lanes=1, threads_per_lane=1, max_batch=4, observer=LaneObserver(), hardware=hardware)

    assert lanes.provider == hardware.provider
    lanes.close()
