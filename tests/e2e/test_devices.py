"""Which bundles a device runs, and how: on the provider for processors, with which a GPU shares the code."""

from dataclasses import replace

import numpy as np
import onnx
import pytest

from dragoman.bundle.graphs import DEVICE_HIDDEN_JOIN, DEVICE_STEP, STRIDE
from dragoman.bundle.manifest import Decoding
from dragoman.server.batches.factory import GroupFactory
from dragoman.server.core.errors import StartError
from dragoman.server.core.segments import Segment
from dragoman.server.decode.strategies.sampling import Sampling
from dragoman.server.runtime.hardware import CAPTURED, PROCESSOR, Hardware

VOCABULARY, EOS = 320, 0
KEPT_THERE = Hardware(keeps=True)
GREEDY = Decoding(max_length=25)
BEAM = Decoding(beam_size=4, num_hypotheses=4, max_length=25)


def sources(count: int, seed: int = 0, longest: int = 40) -> list[tuple[int, ...]]:
    rng = np.random.default_rng(seed)
    return [(*map(int, rng.integers(2, VOCABULARY, n)), EOS) for n in rng.integers(0, longest, count)]


@pytest.mark.parametrize("tiny_checkpoint", ["ssru"], indirect=True)
def test_decoders_without_a_step_for_devices_run_the_portable_one(tiny_fp32, decoder, monkeypatch):
    """What they keep lies on the host: every answer is the processor's to the last bit."""
    monkeypatch.setattr(GroupFactory, "_strides", lambda *_: False)  # which count other steps
    kinds = {"greedy": (GREEDY, {}), "beam": (BEAM, {}), "draws": (GREEDY, {"strategy": Sampling(5, temperature=1.3)})}
    segments = [Segment(s, decoding, **more) for decoding, more in kinds.values() for s in sources(12, seed=3)]

    here, there = (decoder(tiny_fp32, max_batch=7, lanes=1, hardware=one) for one in (PROCESSOR, KEPT_THERE))

    assert DEVICE_STEP not in tiny_fp32.manifest.graphs
    assert [a.hypotheses for a in there.together(segments)] == [a.hypotheses for a in here.together(segments)]


def test_recurrent_decoders_are_refused_by_name(tiny_fp32, decoder):
    """At the start, and not after the first request; what to do is said."""
    arch = tiny_fp32.manifest.architecture
    if arch.recurrent is None:
        decoder(tiny_fp32, hardware=KEPT_THERE)
        return
    with pytest.raises(StartError, match=rf"decoders of {arch.decoder} do not run .*: serve it with --provider cpu"):
        decoder(tiny_fp32, hardware=KEPT_THERE)


@pytest.mark.parametrize("tiny_checkpoint", ["ssru"], indirect=True)
def test_strides_are_left_to_processors(tiny_fp32, decoder):
    """A bundle's stride is not even loaded for a device, and greedy search says the same without."""
    segments = [Segment(s, replace(GREEDY, shortlist=False)) for s in sources(12, seed=6)]

    here, there = (decoder(tiny_fp32, hardware=hardware) for hardware in (PROCESSOR, KEPT_THERE))
    plain, resident = here.together(segments), there.together(segments)

    assert [one.hypotheses[0].ids for one in resident] == [one.hypotheses[0].ids for one in plain]
    assert STRIDE in here.lanes.runtime.graphs
    assert STRIDE not in there.lanes.runtime.graphs


READ_AS_SIZES = {
    "Reshape": {1},
    "Expand": {1},
    "Slice": {1, 2, 3, 4},
    "TopK": {1},
    "Range": {0, 1, 2},
    "ConstantOfShape": {0},
    "Unsqueeze": {1},
    "Squeeze": {1},
    "Split": {1},
}
"""Inputs that CUDA's kernels read on the processor."""


def test_captured_graphs_copy_nothing_between_processor_and_gpu(placed_fp32):
    """Numbers computed from sizes, which a GPU's runtime computes on the processor, are read as sizes alone: a copy
    between the two would forbid capture."""
    bundle = placed_fp32
    captured = CAPTURED - {DEVICE_HIDDEN_JOIN}  # which a decoder has that is not autoregressive
    assert bundle.manifest.graphs.keys() >= captured
    for name in captured:
        graph = onnx.load(bundle.path(bundle.manifest.graphs[name].file), load_external_data=False).graph
        sizes: set[str] = set()
        constants = {one.name for one in graph.initializer}
        for node in graph.node:
            assert not any(attribute.HasField("g") for attribute in node.attribute), f"{node.op_type} has a subgraph"
            if node.op_type in ("Shape", "Constant"):
                (sizes if node.op_type == "Shape" else constants).update(node.output)
                continue
            numbers = [x for n, x in enumerate(node.input) if x and n not in READ_AS_SIZES.get(node.op_type, ())]
            if numbers and all(x in sizes or x in constants for x in numbers) and sizes & set(numbers):
                sizes.update(node.output)
            else:
                assert not sizes & set(numbers), f"{name}: {node.op_type} reads {sizes & set(numbers)} as numbers"
