"""The step that bundles have for devices, on the provider for processors: the same words as the portable step's.

Sums are taken in another order there, so that numbers are equal to rounding and not to the last bit.
"""

import ctypes
import math
import shutil
import threading
from dataclasses import replace

import numpy as np
import onnx_ir as ir
import pytest
from properties import examples

from dragoman.bundle.graphs import DEVICE_POOL_FIT, DEVICE_STEP, DEVICE_STRIDE, HIDDEN, IDS, STEP, STRIDE
from dragoman.bundle.manifest import Decoding
from dragoman.export.core.errors import ExportError
from dragoman.export.network.load import load_network
from dragoman.export.proof.device_parity import prove_device
from dragoman.server.batches import step_batch
from dragoman.server.batches.encoding import encode
from dragoman.server.batches.factory import GroupFactory
from dragoman.server.core.errors import Cancelled
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
from dragoman.server.runtime.device_rows import ENCODED, front_of
from dragoman.server.runtime.device_runtime import DeviceRuntime
from dragoman.server.runtime.hardware import CAPTURED, PROCESSOR, Hardware

VOCABULARY, EOS = 320, 0
PLACED = Hardware(keeps=True)
GREEDY = Decoding(max_length=25)
BEAM = Decoding(beam_size=4, num_hypotheses=4, max_length=25)
SOURCES, SOURCES_OF_CANVASES = examples(60), examples(24)
"""Random sources for each strategy; `make test-gpu-words` has 500 of each."""
TIE = 1e-3
"""Two outputs whose scores are this close are equally good."""

KINDS: dict[str, dict[str, object]] = {
    "greedy": {"decoding": GREEDY},
    "marian": {"decoding": BEAM},
    "hf": {"decoding": replace(BEAM, profile="hf", early_stopping="heuristic")},
    "sample": {"decoding": replace(GREEDY, num_hypotheses=4), "strategy": Sampling(5, temperature=1.3)},
    "diverse": {"decoding": BEAM, "strategy": Diversity(2, 0.7)},
    "alternatives": {"decoding": BEAM, "strategy": Alternatives(3)},
    "forced": {"decoding": BEAM, "strategy": Forced((7, 8, 1, 7))},
    "prefix": {"decoding": replace(BEAM, profile="hf"), "prefix": (30, 31, 32)},
    "attention": {"decoding": replace(BEAM, coverage_penalty=0.3), "attention": True},
    "repetition": {"decoding": replace(BEAM, repetition_penalty=1.6, no_repeat_ngram_size=2, min_length=10)},
    "drafts": {"decoding": GREEDY, "strategy": Speculative(DraftSource.SOURCE, 4)},
}
WITHOUT_AUTOREGRESSION: dict[str, dict[str, object]] = {
    "drafts of a block": {"decoding": GREEDY, "strategy": Speculative(DraftSource.NAT, 4, decoder="mask-predict")},
    "drafts of a hypothesis": {"decoding": GREEDY, "strategy": Speculative(DraftSource.HYPOTHESIS, 4, decoder="ctc")},
    "ctc": {"decoding": GREEDY, "strategy": NonAutoregressive("ctc")},
    "ctc, rescored": {"decoding": BEAM, "strategy": NonAutoregressive("ctc", rescore=True)},
    "mask-predict": {"decoding": GREEDY, "strategy": NonAutoregressive("mask-predict")},
}


def segments(kind: str, count: int, longest: int = 40) -> list[Segment]:
    rng = np.random.default_rng([*kind.encode()])
    lengths = rng.integers(0, longest, count)
    options = (KINDS | WITHOUT_AUTOREGRESSION)[kind]
    return [Segment((*map(int, rng.integers(2, VOCABULARY, n)), EOS), **options) for n in lengths]  # type: ignore


def differing(found, expected) -> list[object]:
    """Answers whose best hypothesis is another one, and not an equally good one."""
    return [
        (a.hypotheses[0], b.hypotheses[0])
        for a, b in zip(found, expected, strict=True)
        if a.hypotheses[0].ids != b.hypotheses[0].ids and abs(a.hypotheses[0].score - b.hypotheses[0].score) > TIE
    ]


def parts_at_a_tie(one, other) -> bool:
    """Whether the first words that differ are equally likely."""
    words = zip(one.ids, other.ids, one.token_logps, other.token_logps, strict=False)
    return next((abs(a - b) < TIE for word, another, a, b in words if word != another), False)


@pytest.fixture
def both(decoder, monkeypatch):
    """Lanes of either path, neither of which strides."""
    monkeypatch.setattr(GroupFactory, "_strides", lambda *_: False)

    def make(bundle, **options):
        return [decoder(bundle, hardware=hardware, **options) for hardware in (PROCESSOR, PLACED)]

    return make


def test_the_bundle_has_its_own_step(placed_fp32):
    """Else all of this would compare a path with itself."""
    assert DEVICE_STEP in placed_fp32.manifest.graphs


@pytest.mark.parametrize("kind", KINDS)
def test_each_strategy_says_the_same_words(both, placed_fp32, kind):
    """Many random sources, and few places: sources join and leave all the time, rows are reused, and slots grow. Where
    words are equally likely, rounding decides which of them stands first among those that are drawn from.
    """
    given = segments(kind, 500 if kind == "greedy" else SOURCES)

    here, there = (one.together(given) for one in both(placed_fp32, max_batch=12))

    others = differing(there, here)
    assert [pair for pair in others if kind != "sample" or not parts_at_a_tie(*pair)] == []
    assert np.mean([a.hypotheses[0].ids == b.hypotheses[0].ids for a, b in zip(there, here, strict=True)]) >= 0.98


@pytest.mark.parametrize(("places", "few"), [(1, 64), (12, 64), (12, 5)])
def test_strides_say_the_words_of_single_steps_to_the_last_bit(decoder, placed_fp32, monkeypatch, places, few):
    """Words, reasons and log-probabilities of 150 sources that join and leave, some while too many are there."""
    monkeypatch.setattr(step_batch, "MOST_STRIDING", few)
    given = segments("greedy", 150, longest=60)
    limited = [replace(one, decoding=replace(GREEDY, max_length=n)) for n, one in enumerate(given[:9], 1)]
    found, graphs = [], []
    for strides in (GroupFactory._strides, lambda *_: False):
        monkeypatch.setattr(GroupFactory, "_strides", strides)
        lanes = decoder(placed_fp32, hardware=PLACED, max_batch=places, lanes=1)
        step, graphs_run = lanes.lanes.runtime.step, set()

        def noted(graph, feed, *, attention, step=step, graphs_run=graphs_run):
            graphs_run.add(graph)
            return step(graph, feed, attention=attention)

        lanes.lanes.runtime.step = noted
        answers = lanes.together([*given, *limited])
        found.append([[(h.ids, h.reason, h.token_logps) for h in answer.hypotheses] for answer in answers])
        graphs.append(graphs_run)

    assert found[0] == found[1]
    assert graphs == [{STRIDE, STEP} if few < places else {STRIDE}, {STEP}]


def test_a_stride_that_says_something_else_is_not_written(placed_checkpoint, placed_fp32, tmp_path):
    """The proof at the end of an export: one that reads its first word again fails it."""
    network, directory = load_network(placed_checkpoint), tmp_path / "bundle"
    shutil.copytree(placed_fp32.directory, directory)
    assert prove_device(network, directory, "fp32")
    model = ir.load(directory / f"{DEVICE_STRIDE}.onnx")
    fed = next(node for node in model.graph if node.name == f"{IDS}.1").outputs[0]
    fed.replace_all_uses_with(next(value for value in model.graph.inputs if value.name == IDS))
    ir.save(model, directory / f"{DEVICE_STRIDE}.onnx")

    with pytest.raises(ExportError, match=f"{DEVICE_STRIDE}/topk_logp"):
        prove_device(network, directory, "fp32")


def test_scores_and_attention_are_those_of_the_portable_step(both, placed_fp32):
    """Where the words are the same, scores, and what each word attended to, are equal to rounding."""
    given = segments("attention", 20)

    here, there = (one.together(given) for one in both(placed_fp32, max_batch=8))

    for a, b in zip(there, here, strict=True):
        if a.hypotheses[0].ids == b.hypotheses[0].ids:
            assert a.hypotheses[0].score == pytest.approx(b.hypotheses[0].score, abs=1e-3)
            np.testing.assert_allclose(a.hypotheses[0].token_logps, b.hypotheses[0].token_logps, atol=1e-4)
            np.testing.assert_allclose(a.hypotheses[0].attention, b.hypotheses[0].attention, atol=1e-4)


def test_all_ways_together_disturb_nobody(both, placed_fp32):
    """Groups of every kind side by side on two lanes: each source's words are those that it has alone."""
    given = [segment for kind in KINDS for segment in segments(kind, 8, longest=90)]

    together = both(placed_fp32, max_batch=16)[1].together(given)
    alone = both(placed_fp32, max_batch=1)[1].together(given)

    assert differing(together, alone) == []


@pytest.mark.parametrize("kind", WITHOUT_AUTOREGRESSION)
def test_canvases_and_their_drafts_say_the_same_words(both, nat_fp32, monkeypatch, kind):
    """The encoder runs twice where both kinds of decoders read a source: for the device's step, and for arrays."""
    monkeypatch.setattr(Costs, "wants_drafts", lambda *_: True)  # left to itself it depends on the time of a round
    given = segments(kind, SOURCES_OF_CANVASES)

    here, there = (one.together(given) for one in both(nat_fp32, max_batch=7))

    assert differing(there, here) == []


@pytest.mark.parametrize("count", [1, 32])
def test_batches_of_one_and_full_ones_say_the_same_words(both, placed_fp32, count):
    """Rows that fill up a size of a run, and a batch without any."""
    given = segments("marian", count)

    here, there = (one.together(given) for one in both(placed_fp32, max_batch=32, lanes=1))

    assert differing(there, here) == []


def test_what_a_long_source_needed_is_given_up(both, placed_fp32):
    """A source of 200 words that is translated into 290, between short ones: their words are as without it, and what a
    step reads is as small after it as before."""
    long = Decoding(beam_size=2, max_length=290, min_length=289, max_length_factor=100.0)
    given = segments("marian", 12)
    given.insert(1, Segment((*[5] * 200, EOS), long))
    here, there = both(placed_fp32, max_batch=4, lanes=1)
    sizes = []
    step = there.lanes.runtime.step

    def measured(graph, feed, *, attention):
        _, pool, _ = feed[front_of(DEVICE_POOL_FIT)]
        sizes.append(max(math.prod(tensor.shape[1:]) for tensor in pool.values()))
        return step(graph, feed, attention=attention)

    there.lanes.runtime.step = measured

    assert differing(there.together(given), here.together(given)) == []
    there.one_by_one(given[4:5])
    assert sizes[-1] <= max(sizes) / 4


def test_those_that_stay_are_the_same_when_others_are_cancelled(both, placed_fp32):
    """Every other source is cancelled at the third step; the rest say what they say where nobody leaves."""
    given = segments("marian", 16)
    _, there = both(placed_fp32, max_batch=16, lanes=1)
    expected = there.together(given)
    tickets, answers, answered = [], {}, threading.Semaphore(0)
    is_submitted, steps = threading.Event(), []

    def done(index):
        def keep(answer):
            answers[index] = answer
            answered.release()

        return keep

    def cancel_at_the_third_step(*_):
        steps.append(0)
        if len(steps) == 3:
            for ticket in tickets[::2]:
                there.lanes.cancel(ticket)

    there.observer.on_step = cancel_at_the_third_step
    runtime = there.lanes.runtime
    encode_really = runtime.encode
    runtime.encode = lambda *inputs, **wanted: (is_submitted.wait(30), encode_really(*inputs, **wanted))[1]
    tickets += [there.lanes.submit(segment, done(n)) for n, segment in enumerate(given)]
    is_submitted.set()
    for _ in given:
        assert answered.acquire(timeout=60)

    stayed = [n for n in range(len(given)) if not isinstance(answers[n], Cancelled)]
    assert set(range(1, 16, 2)) <= set(stayed) < set(range(16))
    assert differing([answers[n] for n in stayed], [expected[n] for n in stayed]) == []


@pytest.mark.parametrize(("name", "most"), [("MOST_CAPTURES", 0), ("MOST_CAPTURES", 3), ("MOST_RUNS", 2)])
def test_runs_that_are_not_captured_are_the_same(both, placed_fp32, monkeypatch, name, most):
    """Without captures, with fewer than are needed, and with runs that are made anew again and again."""
    monkeypatch.setattr(devices, name, most)
    given = [segment for kind in KINDS for segment in segments(kind, 2)]

    here, there = (one.together(given) for one in both(placed_fp32, max_batch=6, lanes=1))

    assert differing(there, here) == []


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


@pytest.fixture
def at_once(monkeypatch):
    """The second run of a size is captured, and nothing meanwhile."""
    monkeypatch.setattr(devices, "PATIENCE", 1)
    monkeypatch.setattr(DeviceRuntime, "prepare", lambda _: False)


def captures_of(decoder) -> list[str]:
    """What is captured from now on."""
    captured: list[str] = []
    sessions = decoder.lanes.runtime._sessions
    for name in CAPTURED & sessions.keys():
        sessions[name] = CapturedThrice(sessions[name], captured)
    return captured


def test_a_capture_may_run_a_graph_more_than_once(both, placed_fp32, at_once):
    """What is written is written to the same places again; no id comes twice, on whichever lane."""
    given = [segment for kind in KINDS for segment in segments(kind, 3)]
    here, there = both(placed_fp32, max_batch=6, lanes=2)
    captured = captures_of(there)

    assert differing(there.together(given), here.together(given)) == []
    assert len(captured) > 10
    assert len(set(captured)) == len(captured)


def test_what_is_captured_while_nobody_waits_does_once_more_what_it_did(both, placed_fp32):
    """Sources that come one after another find a lane that has captured what it ran before: the same words."""
    given = [segment for kind in KINDS for segment in segments(kind, 4)]
    here, there = both(placed_fp32, max_batch=6, lanes=1)
    captured, has_rested, runtime = captures_of(there), threading.Event(), there.lanes.runtime
    encode_really, prepare_really = runtime.encode, runtime.prepare
    runtime.encode = lambda *inputs, **wanted: (has_rested.clear(), encode_really(*inputs, **wanted))[1]
    runtime.prepare = lambda: prepare_really() or has_rested.set() or False

    for _ in range(2):
        assert differing(there.one_by_one(given), here.one_by_one(given)) == []
        assert has_rested.wait(60)
    assert len(captured) > 10
    assert len(set(captured)) == len(captured)


def test_sizes_that_come_again_are_captured_once(both, placed_fp32, at_once):
    """Batches come and go, and their memory with them: the steps of later ones are all repeated."""
    _, there = both(placed_fp32, max_batch=4, lanes=1)
    captured = captures_of(there)
    given = [segment for kind in ("greedy", "marian") for segment in segments(kind, 30, longest=14)]
    there.one_by_one(given)

    there.one_by_one(given)
    first = len(captured)
    there.one_by_one(given * 2)

    assert 0 < first < 20
    assert len(captured) == first


def test_a_source_that_is_no_number_spoils_nobody(both, placed_fp32, monkeypatch):
    """What the encoder made of one source is not a number; it fails, and those after it say what they say alone."""
    _, there = both(placed_fp32, max_batch=2, lanes=1)
    good = segments("marian", 6)
    expected = {one.ids for answer in there.one_by_one(good) for one in answer.hypotheses[:1]}
    nan = Segment((*good[0].ids[:-1], 9, 9, EOS), BEAM)

    def spoil(runtime, given, **wanted):
        made = encode(runtime, given, **wanted)
        for one, segment in zip(made, given, strict=True):
            if segment is nan:
                run, row = one.tensors[ENCODED]
                hidden = run.kept[HIDDEN]
                size = math.prod(hidden.shape[1:])
                floats = (ctypes.c_float * size).from_address(hidden.pointer + row * size * hidden.dtype.itemsize)
                floats[:] = [math.nan] * size
        return made

    monkeypatch.setattr(half, "encode", spoil)
    answers, answered = [], threading.Semaphore(0)
    for segment in [nan, *good]:
        there.lanes.submit(segment, lambda answer: (answers.append(answer), answered.release()))
    for _ in range(7):
        assert answered.acquire(timeout=60)

    failed = [answer for answer in answers if isinstance(answer, Exception)]
    assert ["not finite" in str(one.detail) for one in failed] == [True]
    said = [answer.hypotheses[0].ids for answer in answers if not isinstance(answer, Exception)]
    assert len(said) == 6
    assert {*said} <= expected
