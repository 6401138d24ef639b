"""The stride, several steps in one run, gives what single steps give: random models whose decoders have one."""

import shutil
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx_ir as ir
import pytest

from dragoman.bundle.graphs import STRIDE
from dragoman.bundle.manifest import Decoding
from dragoman.bundle.reader import Bundle
from dragoman.export.core.errors import ExportError
from dragoman.export.network.load import load_network
from dragoman.export.proof.stride_parity import prove_stride
from dragoman.server.batches.encoding import encode
from dragoman.server.batches.factory import GroupFactory
from dragoman.server.batches.group import Group
from dragoman.server.batches.shortlist import Shortlist
from dragoman.server.batches.step_batch import STRIDE_STEPS, StepBatch, chain_batch, tree_batch
from dragoman.server.core.segments import FinishReason, Segment
from dragoman.server.core.strategies import Beam
from dragoman.server.decode.chains import Chains
from dragoman.server.decode.layout import Layout
from dragoman.server.decode.search import Search
from dragoman.server.decode.strategies.alternatives import Alternatives
from dragoman.server.decode.strategies.forced import Forced
from dragoman.server.decode.strategies.sampling import Sampling
from dragoman.server.lanes.opening import open_runtime
from dragoman.server.runtime.runtime import Runtime

WORDS, END = 320, 0
NO_STRIDE = "recurrent networks, linear attention and relative positions have no stride"
Found = dict[int, tuple]


def sources(count: int) -> list[tuple[int, ...]]:
    rng = np.random.default_rng(7)
    lengths = [0, 1, 15, 16, 31, *rng.integers(1, 60, count)][:count]
    return [(*map(int, rng.integers(2, WORDS, n)), END) for n in lengths]


def asked(count: int, limit: int) -> list[Segment]:
    return [Segment(ids, Decoding(beam_size=1, max_length=limit, shortlist=True)) for ids in sources(count)]


@pytest.fixture
def runtime(tiny: Bundle) -> Runtime:
    if STRIDE not in tiny.manifest.graphs:
        pytest.skip(NO_STRIDE)
    return open_runtime(tiny)


@pytest.fixture
def shortlist(tiny: Bundle) -> Shortlist:
    path = tiny.path(tiny.manifest.shortlist or "")
    return Shortlist.load(path, path.read_bytes(), source_vocabulary=WORDS, vocabulary=WORDS, eos_id=END)


def run(runtime: Runtime, group: Group[int], segments: Sequence[Segment], places: int) -> Found:
    """All of them, so many at a time: who leaves is followed by the next in the same round."""
    waiting, found = list(range(len(segments)))[::-1], {}
    while waiting or len(group):
        while waiting and len(group) < places:
            n = waiting.pop()
            group.admit(n, segments[n], encode(runtime, [segments[n]])[0])
        for n, one in group.step():
            found[n] = (one.hypotheses, one.steps)
    return found


def strides(runtime: Runtime, shortlist: Shortlist) -> StepBatch[int]:
    return chain_batch(runtime, shortlist, None, capacity=8, has_stride=True)


def test_strides_are_steps(runtime: Runtime, shortlist: Shortlist):
    """Words and reasons of 80 sources, the longest of 60 words, are greedy search's, and so are log-probabilities but
    for rounding; a stride counts as one step.
    """
    segments = asked(80, limit=60)
    single = tree_batch(runtime, shortlist, layout=Layout.of(segments[0]), capacity=8)

    by_steps, by_strides = run(runtime, single, segments, 8), run(runtime, strides(runtime, shortlist), segments, 8)

    apart = list[float]()
    for n in range(80):
        ((one,), _), ((other,), rounds) = by_steps[n], by_strides[n]
        assert (other.ids, other.reason) == (one.ids, one.reason)
        apart += np.abs(np.subtract(other.token_logps, one.token_logps)).tolist()
        assert rounds == -(-len(other.token_logps) // STRIDE_STEPS)
    lengths = {len(one[0].ids) % STRIDE_STEPS for one, _ in by_strides.values()}
    assert lengths == set(range(STRIDE_STEPS)), "sources end at every place of a stride"
    # Both add up in other orders, which in int8 may round an integer the other way.
    rounded, most = (0.01, 0.02) if runtime.manifest.precision == "int8" else (0.0, 1e-4)
    assert sum(each > 1e-4 for each in apart) <= rounded * len(apart)
    assert max(apart) <= most


def test_strides_of_a_batch_are_those_of_each_alone(runtime: Runtime, shortlist: Shortlist):
    """To the last bit: sources of 1 to 60 words, who join and leave at different strides."""
    segments = asked(40, limit=60)

    together = run(runtime, strides(runtime, shortlist), segments, 8)

    assert together == {n: run(runtime, strides(runtime, shortlist), [one], 1)[0] for n, one in enumerate(segments)}


def test_a_stride_goes_on_from_the_word_that_is_chosen(tiny: Bundle, shortlist: Shortlist, runtime: Runtime):
    """Where the best word must not be put out, as the unknown word, what was read behind it is thrown away."""
    segments = asked(30, limit=40)
    plain = run(runtime, strides(runtime, shortlist), segments, 8)
    counts = np.bincount([word for (one,), _ in plain.values() for word in one.ids], minlength=WORDS)
    frequent = int(counts.argmax())
    refusing = open_runtime(tiny)
    refusing.manifest = replace(tiny.manifest, tokenizer=replace(tiny.manifest.tokenizer, unk_id=frequent))
    single = tree_batch(refusing, shortlist, layout=Layout.of(segments[0]), capacity=8)

    by_steps, by_strides = run(refusing, single, segments, 8), run(refusing, strides(refusing, shortlist), segments, 8)

    assert counts[frequent] > 5
    assert all(frequent not in one.ids for (one,), _ in by_strides.values())
    assert [by_strides[n][0][0].ids for n in range(30)] == [by_steps[n][0][0].ids for n in range(30)]


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5])
def test_a_limit_is_kept_within_a_stride(runtime: Runtime, shortlist: Shortlist, limit: int):
    """So many words, LENGTH for a reason, and those of the longer translation."""
    segments = asked(12, limit=60)
    short = [replace(one, decoding=replace(one.decoding, max_length=limit)) for one in segments]

    long, cut = (run(runtime, strides(runtime, shortlist), each, 8) for each in (segments, short))

    for n in range(12):
        ((whole,), _), ((one,), _) = long[n], cut[n]
        assert one.ids == whole.ids[:limit]
        assert one.reason is (FinishReason.LENGTH if len(whole.token_logps) > limit else whole.reason)


def test_one_that_leaves_between_strides_changes_no_other(runtime: Runtime, shortlist: Shortlist):
    """Dropped after the first stride; what it had is not counted to the one that takes its place."""
    segments = asked(8, limit=40)
    alone = {n: run(runtime, strides(runtime, shortlist), [one], 1)[0] for n, one in enumerate(segments)}
    batch, found = strides(runtime, shortlist), {}
    for n, one in enumerate(segments):
        batch.admit(n, one, encode(runtime, [one])[0])
    found |= {n: (one.hypotheses, one.steps) for n, one in batch.step()}
    dropped = batch.owners[::3]

    assert dropped
    assert [batch.drop(n) for n in dropped] == [STRIDE_STEPS] * len(dropped)
    while len(batch):
        found |= {n: (one.hypotheses, one.steps) for n, one in batch.step()}
    assert found == {n: answer for n, answer in alone.items() if n not in dropped}


@pytest.mark.parametrize("place", [1, 2, 3])
def test_what_a_stride_reads_last_may_be_no_number(runtime: Runtime, shortlist: Shortlist, monkeypatch, place: int):
    """What lies before it stands and is gone on from; at the first place of a run, the source alone is lost."""
    segments = asked(20, limit=40)
    plain, run_graph = run(runtime, strides(runtime, shortlist), segments, 8), runtime.run
    rounds = []

    def run_badly(graph: str, feed: dict) -> dict:
        said = run_graph(graph, feed)
        if graph == STRIDE:
            rounds.append(feed["depth"])
            said["topk_logp"][place if len(rounds) % 2 else STRIDE_STEPS :] = np.nan
        return said

    monkeypatch.setattr(runtime, "run", run_badly)
    found = run(runtime, strides(runtime, shortlist), segments, 8)

    def run_worse(graph: str, feed: dict) -> dict:
        said = run_graph(graph, feed)
        return {n: t * np.nan for n, t in said.items()} if graph == STRIDE else said

    monkeypatch.setattr(runtime, "run", run_worse)
    batch = strides(runtime, shortlist)
    batch.admit(0, segments[0], encode(runtime, segments[:1])[0])

    assert [found[n][0][0].ids for n in range(20)] == [plain[n][0][0].ids for n in range(20)]
    assert [found[n][0][0].reason for n in range(20)] == [plain[n][0][0].reason for n in range(20)]
    assert [one.hypotheses for _, one in batch.step()] == [()]


def test_greedy_search_strides_unless_more_is_asked_for(runtime: Runtime, shortlist: Shortlist):
    """Whatever weighs words, reads attention, draws or keeps several takes single steps; so does the whole vocabulary
    where the stride is over a shortlist."""
    factory = GroupFactory(runtime, shortlist, capacity=4, observer=None)  # type: ignore[arg-type]  # nothing is drafted
    (greedy,) = asked(1, limit=40)

    def decoding(**options) -> Segment:
        return replace(greedy, decoding=replace(greedy.decoding, **options))

    others = {
        "a beam": decoding(beam_size=2),
        "a penalty": decoding(repetition_penalty=1.2),
        "n-grams": decoding(no_repeat_ngram_size=3),
        "a least length": decoding(min_length=3),
        "all words": decoding(shortlist=False),
        "copies": decoding(unknown_handling="copy"),
        "suppressed words": replace(greedy, suppressed_ids=(5,)),
        "a prefix": replace(greedy, prefix=(5,)),
        "alignments": replace(greedy, attention=True),
        "a forced target": replace(greedy, strategy=Forced((5, 6))),
        "sampling": replace(greedy, strategy=Sampling(1)),
        "alternatives": replace(greedy, strategy=Alternatives(2)),
    }

    assert isinstance(factory.group(greedy).grower, Chains)
    assert factory.key(greedy) == factory.key(replace(greedy, ids=(3, END), strategy=Beam()))
    for name, segment in others.items():
        assert isinstance(factory.group(segment).grower, Search), name
        assert factory.key(segment) != factory.key(greedy), name


def test_a_stride_that_says_something_else_is_not_written(tiny_fp32: Bundle, tiny_checkpoint, tmp_path):
    """The proof at the end of an export: one whose words all stand in the same place fails it."""
    if STRIDE not in tiny_fp32.manifest.graphs:
        pytest.skip(NO_STRIDE)
    network, directory = load_network(tiny_checkpoint), tmp_path / "bundle"
    shutil.copytree(tiny_fp32.directory, directory)
    assert prove_stride(network, directory, "fp32")
    model = ir.load(directory / f"{STRIDE}.onnx")
    last = model.graph.initializers[f"const.row.{tiny_fp32.manifest.architecture.max_positions - 1}"]
    last.const_value = ir.tensor(np.zeros(1, np.int64), name=last.name)
    ir.save(model, directory / f"{STRIDE}.onnx")

    with pytest.raises(ExportError, match="stride and steps: topk_logp"):
        prove_stride(network, directory, "fp32")
