"""What the decoder keeps, kept where the graphs run: on the provider for processors, with which a GPU shares the code.

Every answer is compared with that of the path that keeps it in arrays: the same to the last bit.
"""

import threading
from dataclasses import replace

import numpy as np
import onnx
import pytest

from dragoman.bundle.graphs import STRIDE
from dragoman.bundle.manifest import Decoding
from dragoman.server.batches.encoding import encode
from dragoman.server.batches.factory import GroupFactory
from dragoman.server.core.errors import Cancelled, StartError
from dragoman.server.core.segments import Segment
from dragoman.server.core.strategies import DraftSource
from dragoman.server.decode.draft_costs import Costs
from dragoman.server.decode.strategies.alternatives import Alternatives
from dragoman.server.decode.strategies.diversity import Diversity
from dragoman.server.decode.strategies.forced import Forced
from dragoman.server.decode.strategies.nat import NonAutoregressive
from dragoman.server.decode.strategies.sampling import Sampling
from dragoman.server.decode.strategies.speculative import Speculative
from dragoman.server.lanes import half
from dragoman.server.runtime import device as devices
from dragoman.server.runtime.hardware import CAPTURED, PROCESSOR, Hardware

VOCABULARY, EOS = 320, 0
KEPT_THERE = Hardware(keeps=True)
GREEDY = Decoding(max_length=25)
BEAM = Decoding(beam_size=4, num_hypotheses=4, max_length=25)

KINDS: dict[str, dict[str, object]] = {
    "greedy": {"decoding": GREEDY},
    "greedy, shortlist": {"decoding": replace(GREEDY, shortlist=True)},
    "marian": {"decoding": BEAM},
    "hf": {"decoding": replace(BEAM, profile="hf", early_stopping="heuristic")},
    "sample": {"decoding": replace(GREEDY, num_hypotheses=4), "strategy": Sampling(5, temperature=1.3)},
    "diverse": {"decoding": BEAM, "strategy": Diversity(2, 0.7)},
    "alternatives": {"decoding": BEAM, "strategy": Alternatives(3)},
    "forced": {"decoding": BEAM, "strategy": Forced((7, 8, 1, 7))},
    "prefix": {"decoding": replace(BEAM, profile="hf"), "prefix": (30, 31, 32)},
    "attention": {"decoding": replace(BEAM, coverage_penalty=0.3), "attention": True},
    "repetition": {"decoding": replace(BEAM, repetition_penalty=1.6, no_repeat_ngram_size=2, min_length=10)},
}
DRAFTED: dict[str, dict[str, object]] = {
    "drafts of the source": {"decoding": GREEDY, "strategy": Speculative(DraftSource.SOURCE, 4)},
    "drafts of a block": {"decoding": GREEDY, "strategy": Speculative(DraftSource.NAT, 4, decoder="mask-predict")},
    "drafts of a hypothesis": {"decoding": GREEDY, "strategy": Speculative(DraftSource.HYPOTHESIS, 4, decoder="ctc")},
    "ctc": {"decoding": GREEDY, "strategy": NonAutoregressive("ctc")},
    "ctc, rescored": {"decoding": BEAM, "strategy": NonAutoregressive("ctc", rescore=True)},
    "mask-predict": {"decoding": GREEDY, "strategy": NonAutoregressive("mask-predict")},
}


def sources(count: int, seed: int = 0, longest: int = 40) -> list[tuple[int, ...]]:
    rng = np.random.default_rng(seed)
    return [(*map(int, rng.integers(2, VOCABULARY, n)), EOS) for n in rng.integers(0, longest, count)]


def of_kinds(kinds: dict[str, dict[str, object]], each: int) -> list[Segment]:
    return [Segment(s, **kinds[kind]) for n, kind in enumerate(kinds) for s in sources(each, seed=n)]  # type: ignore


def facts(answers):
    return [(a.hypotheses, a.steps, a.engine, [h.attention is None for h in a.hypotheses]) for a in answers]


@pytest.fixture
def both(decoder, monkeypatch):
    """Lanes of either path for a bundle, neither of which strides: that counts other steps, and is for processors."""
    monkeypatch.setattr(GroupFactory, "_strides", lambda *_: False)

    def make(bundle, **options):
        return [decoder(bundle, hardware=hardware, **options) for hardware in (PROCESSOR, KEPT_THERE)]

    return make


@pytest.fixture
def on_device(tiny_fp32):
    """A random model in float32 of a kind that devices run."""
    if tiny_fp32.manifest.architecture.recurrent is not None:
        pytest.skip("recurrent decoders do not run there, which has its own test")
    return tiny_fp32


def test_every_strategy_is_the_same(on_device, both):
    """Four sources of each kind in one lane of seven places, joining and leaving at their own steps."""
    segments = of_kinds(KINDS, 4)

    plain, there = (facts(lanes.together(segments)) for lanes in both(on_device, max_batch=7, lanes=1))

    assert there == plain


def test_drafts_and_decoders_without_autoregression_are_the_same_in_float16(nat_bundle, both, monkeypatch):
    """Chains of several words, of which each source keeps its own number, and canvases; and every other strategy."""
    # Left to itself it depends on the time that a round takes, and a chain rounds otherwise than single words.
    monkeypatch.setattr(Costs, "wants_drafts", lambda *_: True)
    segments = of_kinds(KINDS | DRAFTED, 3)

    plain, there = (facts(lanes.together(segments)) for lanes in both(nat_bundle("fp16"), max_batch=5, lanes=1))

    assert there == plain


def test_float16_is_kept_as_float16(nat_bundle, decoder):
    """Pools and memory of a float16 bundle are of two bytes a number on either path; no step casts all of them."""
    for hardware in (PROCESSOR, KEPT_THERE):
        lanes = decoder(nat_bundle("fp16"), hardware=hardware)
        dtypes = set()
        step = lanes.lanes.runtime.step

        def seen(graph, feed, *, attention, step=step, dtypes=dtypes):
            dtypes |= {str(feed[name].dtype) for name in feed if name.startswith(("self_", "cross_"))}
            return step(graph, feed, attention=attention)

        lanes.lanes.runtime.step = seen
        lanes.together([Segment(sources(1)[0], GREEDY)])

        assert dtypes == {"float16"}


@pytest.mark.parametrize("count", [1, 32])
def test_batches_of_one_and_full_ones_are_the_same(on_device, both, count):
    """Rows that fill up a power of two, and a batch without any."""
    segments = [Segment(s, BEAM) for s in sources(count, seed=8)]

    plain, there = (facts(lanes.together(segments)) for lanes in both(on_device, max_batch=32, lanes=1))

    assert there == plain


def test_pools_grow_and_shrink_alike(on_device, both):
    """A source of 200 words that is translated into 150, between short ones: all as without it, and the pool is as
    small after it as before."""
    long = Decoding(beam_size=2, max_length=150, min_length=149, max_length_factor=100.0)
    short = replace(BEAM, beam_size=2, num_hypotheses=2)
    segments = [Segment(s, short) for s in sources(12, seed=3)]
    segments.insert(1, Segment((*[5] * 200, EOS), long))
    plain, there = both(on_device, max_batch=4, lanes=1)
    sizes = []
    step = there.lanes.runtime.step

    def measured(graph, feed, *, attention):
        sizes.append({name: value.shape for name, value in feed.items()})
        return step(graph, feed, attention=attention)

    there.lanes.runtime.step = measured

    assert facts(there.together(segments)) == facts(plain.together(segments))
    largest = max(np.prod(shape) for size in sizes for shape in size.values())
    there.one_by_one(segments[4:5])
    assert max(np.prod(shape) for shape in sizes[-1].values()) < largest / 4


def test_those_that_stay_are_the_same_when_others_are_cancelled(on_device, both):
    """Every other source is cancelled at the third step; the rest come out as they do where nobody leaves."""
    segments = [Segment(s, BEAM) for s in sources(16, seed=5)]
    plain, there = both(on_device, max_batch=16, lanes=1)
    expected = plain.together(segments)
    tickets, answers, answered = [], {}, threading.Semaphore(0)
    is_submitted = threading.Event()

    def done(index):
        def keep(answer):
            answers[index] = answer
            answered.release()

        return keep

    def cancel_at_the_third_step(*_):
        there.observer.steps.append((0, 0))
        if len(there.observer.steps) == 3:
            for ticket in tickets[::2]:
                there.lanes.cancel(ticket)

    there.observer.on_step = cancel_at_the_third_step
    runtime = there.lanes.runtime
    encode_really = runtime.encode
    runtime.encode = lambda *inputs, **wanted: (is_submitted.wait(30), encode_really(*inputs, **wanted))[1]
    tickets += [there.lanes.submit(segment, done(n)) for n, segment in enumerate(segments)]
    is_submitted.set()
    for _ in segments:
        assert answered.acquire(timeout=60)

    kept = [n for n in range(len(segments)) if not isinstance(answers[n], Cancelled)]
    assert set(range(1, 16, 2)) <= set(kept) < set(range(16))
    assert [answers[n].hypotheses for n in kept] == [expected[n].hypotheses for n in kept]


def test_two_lanes_do_not_disturb_one_another(on_device, both):
    """Sources of all kinds on two lanes at once, each with its own buckets and buffers."""
    segments = of_kinds(KINDS, 3)
    plain, there = both(on_device, max_batch=6, lanes=2)

    assert facts(there.together(segments)) == facts(plain.together(segments))


@pytest.mark.parametrize("most", [0, 3])
def test_runs_that_are_not_captured_are_the_same(on_device, both, monkeypatch, most):
    """Without buckets, and with fewer than are needed, so that captured runs and others follow each other."""
    monkeypatch.setattr(devices, "MOST_BUCKETS", most)
    segments = of_kinds(KINDS, 2)
    plain, there = both(on_device, max_batch=6, lanes=1)

    assert facts(there.together(segments)) == facts(plain.together(segments))


class CapturedThrice:
    """A session that, like CUDA's, runs a graph more than once when it captures it."""

    def __init__(self, session, captured):
        self._session, self._captured, self._ids = session, captured, set()

    def __getattr__(self, name):
        return getattr(self._session, name)

    def run_with_iobinding(self, binding, options):
        graph_id = options.get_run_config_entry("gpu_graph_id")
        is_new = graph_id not in self._ids and graph_id != devices.PLAIN
        self._ids.add(graph_id)
        for _ in range(3 if is_new else 1):
            self._session.run_with_iobinding(binding, options)
        if is_new:
            self._captured.append(graph_id)


def test_a_capture_may_run_a_graph_more_than_once(on_device, both):
    """Steps are pure, nodes are written to the same slots again, and sources move on dummies; no id comes twice."""
    segments = of_kinds(KINDS, 3)
    plain, there = both(on_device, max_batch=6, lanes=2)
    captured: list[str] = []
    sessions = there.lanes.runtime._sessions
    for name in CAPTURED & sessions.keys():
        sessions[name] = CapturedThrice(sessions[name], captured)

    assert facts(there.together(segments)) == facts(plain.together(segments))
    assert len(captured) > 20
    assert len(set(captured)) == len(captured)


class Forgetful:
    """A session that, like CUDA's beside captured ones, may give away what it allotted to outputs after their run."""

    def __init__(self, session, given_away):
        self._session, self._given_away = session, given_away

    def __getattr__(self, name):
        return getattr(self._session, name)

    def run_with_iobinding(self, binding, options):
        for value in self._given_away:
            value.update_inplace(np.full(value.shape(), np.nan, value.numpy().dtype))
        self._given_away.clear()
        self._session.run_with_iobinding(binding, options)
        if options.get_run_config_entry("gpu_graph_id") == devices.PLAIN and not binding.is_placed:
            self._given_away += [one for one in binding.get_outputs() if one.data_type() != "tensor(int64)"]

    def io_binding(self):
        return Placed(self._session.io_binding())


class Placed:
    """A binding that knows whether all that stays on the device has been given its place."""

    def __init__(self, binding):
        self._binding, self.is_placed = binding, True
        self._iobinding = binding._iobinding

    def __getattr__(self, name):
        return getattr(self._binding, name)

    def bind_output(self, name, kind="cpu", index=0, dtype=None, shape=None, pointer=None):
        if name.startswith("new_") and pointer is None:
            self.is_placed = False
        self._binding.bind_output(name, kind, index, dtype, shape, pointer)


def test_what_an_uncaptured_step_leaves_is_nobody_elses(on_device, both):
    """Captured runs of the same graph compute where ONNX Runtime allots: new nodes are not left there until the next
    run."""
    segments = of_kinds(KINDS, 3)
    plain, there = both(on_device, max_batch=6, lanes=1)
    sessions, given_away = there.lanes.runtime._sessions, []
    for name in CAPTURED & sessions.keys():
        sessions[name] = Forgetful(sessions[name], given_away)

    assert facts(there.together(segments)) == facts(plain.together(segments))


def test_sizes_that_come_again_are_captured_once(on_device, decoder):
    """Batches come and go, and their buffers with them: the steps of later ones are all replayed."""
    lanes = decoder(on_device, max_batch=4, lanes=1, hardware=KEPT_THERE)
    segments = [Segment(s, decoding) for s in sources(30, seed=3, longest=14) for decoding in (GREEDY, BEAM)]
    lanes.one_by_one(segments)
    captured: list[str] = []
    sessions = lanes.lanes.runtime._sessions
    sessions["step"] = CapturedThrice(sessions["step"], captured)

    lanes.one_by_one(segments)
    first = len(captured)
    lanes.one_by_one(segments * 2)

    assert first < 20
    assert len(captured) == first


def test_a_source_that_is_no_number_spoils_nobody(on_device, decoder, monkeypatch):
    """One source's memory is not a number; it fails, and those after it in its row are as they are alone."""
    lanes = decoder(on_device, max_batch=2, lanes=1, hardware=KEPT_THERE)
    good = [Segment(s, BEAM) for s in sources(6, seed=9)]
    expected = facts(lanes.one_by_one(good))
    nan = Segment((*sources(1, seed=1)[0][:-1], 9, 9, EOS), BEAM)

    def spoil(runtime, segments, **wanted):
        made = encode(runtime, segments, **wanted)
        for one, segment in zip(made, segments, strict=True):
            if segment is nan:
                tensor, row = one.tensors["cross_k.0"]
                bad = runtime.device.zeros(tensor.shape, tensor.dtype)
                fill = np.full(bad.shape, np.nan, bad.dtype)
                bad.owner._value.update_inplace(fill)
                one.tensors["cross_k.0"] = bad, row
        return made

    monkeypatch.setattr(half, "encode", spoil)
    answers = []
    answered = threading.Semaphore(0)
    for segment in [nan, *good]:
        lanes.lanes.submit(segment, lambda answer: (answers.append(answer), answered.release()))
    for _ in range(7):
        assert answered.acquire(timeout=60)

    failed = [answer for answer in answers if isinstance(answer, Exception)]
    assert ["not finite" in str(one.detail) for one in failed] == [True]
    found = facts(answer for answer in answers if not isinstance(answer, Exception))
    assert all(one in expected for one in found)
    assert len(found) == 6


def test_recurrent_decoders_are_refused_by_name(tiny_fp32, decoder):
    """At the start, and not after the first request; what to do is said."""
    arch = tiny_fp32.manifest.architecture
    if arch.recurrent is None:
        assert {"pool.keep", "pool.move", "memory.move", "memory.fit"} <= tiny_fp32.manifest.graphs.keys()
        return
    with pytest.raises(StartError, match=r"decoders of lstm do not run .*: serve it with --provider cpu"):
        decoder(tiny_fp32, hardware=KEPT_THERE)


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


def test_captured_graphs_copy_nothing_between_processor_and_gpu(on_device, real_fp32):
    """Numbers computed from sizes, which a GPU's runtime computes on the processor, are read as sizes alone: a copy
    between the two would forbid capture. Large vocabularies are searched in two stages, and small ones in one."""
    for bundle, name in [(b, n) for b in (on_device, real_fp32) for n in CAPTURED & b.manifest.graphs.keys()]:
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


def test_strides_are_left_to_processors(on_device, decoder):
    """A bundle's stride is not even loaded where a device keeps the nodes, and greedy search says the same without."""
    segments = [Segment(s, replace(GREEDY, shortlist=True)) for s in sources(12, seed=6)]

    here, there = (decoder(on_device, hardware=hardware) for hardware in (PROCESSOR, KEPT_THERE))
    plain, resident = here.together(segments), there.together(segments)

    assert [one.hypotheses[0].ids for one in resident] == [one.hypotheses[0].ids for one in plain]
    assert STRIDE not in there.lanes.runtime._sessions
    assert (STRIDE in here.lanes.runtime._sessions) == (STRIDE in on_device.manifest.graphs)
