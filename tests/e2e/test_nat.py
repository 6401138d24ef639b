"""Decoding without autoregression and speculation through exported graphs: alone, in batches, beside the network."""

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from dragoman.bundle.reader import Bundle
from dragoman.export.graphs.running import packed
from dragoman.export.network.load import load_network
from dragoman.export.network.nat import decoder_of
from dragoman.export.network.network import Network
from dragoman.server.batches.canvas_batch import CanvasBatch
from dragoman.server.batches.drafters import BlockDrafts, HypothesisDrafts
from dragoman.server.batches.drafting import Drafter, Speculation
from dragoman.server.batches.encoding import encode
from dragoman.server.batches.group import Group, Source
from dragoman.server.batches.shortlist import Shortlist
from dragoman.server.batches.step_batch import StepBatch, chain_batch, tree_batch
from dragoman.server.core.ports import LaneObserver
from dragoman.server.core.segments import FinishReason, Segment
from dragoman.server.core.strategies import Beam, DraftSource, Engine, Lossy, Strategy
from dragoman.server.decode.layout import Layout
from dragoman.server.decode.strategies.nat import NonAutoregressive
from dragoman.server.decode.strategies.speculative import Speculative
from dragoman.server.lanes.opening import open_runtime
from dragoman.server.runtime.runtime import Runtime

END, VOCABULARY = 0, 320


def sources(number: int, seed: int = 0) -> list[tuple[int, ...]]:
    """Of 2 to 40 tokens, every one different."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 40, number)
    return [(*rng.integers(2, VOCABULARY, int(length)).tolist(), END) for length in lengths]


def segments(bundle: Bundle, number: int, strategy: Strategy, **decoding) -> list[Segment]:
    settings = replace(bundle.manifest.decoding, max_length_factor=2.0, **decoding)
    return [Segment(ids, settings, strategy=strategy) for ids in sources(number)]


MODES = {
    "one shot": (NonAutoregressive("mask-predict"), {}),
    "four passes over three lengths": (NonAutoregressive("mask-predict", 4, 3), {"num_hypotheses": 3}),
    "an exact length": (NonAutoregressive("mask-predict", 2, exact_length=7), {}),
    "scored again": (NonAutoregressive("mask-predict", 2, 3, rescore=True), {}),
    "ctc": (NonAutoregressive("ctc"), {}),
    "ctc in three passes": (NonAutoregressive("ctc", 3), {}),
    "a prefix beam": (NonAutoregressive("ctc"), {"beam_size": 4, "num_hypotheses": 4}),
    "lossy drafts": (Speculative(DraftSource.NAT, 4, "mask-predict", Lossy(5, 3.0)), {}),
}


@pytest.mark.parametrize("shortlist", [False, True], ids=["all words", "shortlist"])
@pytest.mark.parametrize("mode", MODES)
def test_alone_and_in_batches_the_numbers_are_the_same(nat: Bundle, decoder, mode: str, shortlist: bool):
    """Texts, scores and reasons to the last bit, whatever shares the run; sources of one batch differ in length."""
    strategy, decoding = MODES[mode]
    asked = segments(nat, 24, strategy, shortlist=shortlist, **decoding)
    lanes = decoder(nat, max_batch=5)

    together = lanes.together(asked)

    assert [one.hypotheses for one in together] == [one.hypotheses for one in lanes.one_by_one(asked)]
    assert len({one.hypotheses[0].ids for one in together}) > 3


def test_different_ways_share_the_lanes(nat: Bundle, decoder):
    """Each segment gets what it gets alone, and says what made it."""
    ways: list[Strategy] = [Beam(), *(strategy for strategy, _ in MODES.values())]
    asked = [replace(one, strategy=ways[n % len(ways)]) for n, one in enumerate(segments(nat, 40, Beam()))]
    lanes = decoder(nat, max_batch=6)

    together = lanes.together(asked)

    assert [one.hypotheses for one in together] == [one.hypotheses for one in lanes.one_by_one(asked)]
    engines = {type(one.strategy): answer.engine for one, answer in zip(asked, together, strict=True)}
    assert engines == {Beam: Engine.GREEDY, NonAutoregressive: Engine.NAT, Speculative: Engine.SPECULATIVE_LOSSY}
    assert all((lanes.lanes.seconds_per_token(engine) or 0.0) > 0.0 for engine in (Engine.GREEDY, Engine.NAT))
    assert lanes.lanes.seconds_per_token(Engine.BEAM) is None


def test_a_model_without_another_decoder_is_served(nat_alone: Bundle, nat_fp32: Bundle, decoder):
    """It translates as the same decoder does beside another one."""
    asked = segments(nat_fp32, 12, NonAutoregressive("ctc"))

    alone, beside = (decoder(bundle).together(asked) for bundle in (nat_alone, nat_fp32))

    assert [one.hypotheses for one in alone] == [one.hypotheses for one in beside]


@pytest.mark.parametrize("kind", ["blocks", "hypotheses"])
def test_drafts_do_not_depend_on_the_batch(nat_fp32: Bundle, kind: str):
    """Those of a source are what it gets alone, whoever joins, leaves, or was not drafted for before."""
    runtime = open_runtime(nat_fp32)
    asked = segments(nat_fp32, 6, Speculative(DraftSource.NAT, 3, "mask-predict"))
    encoded = all_encoded(runtime, asked, hidden=True)

    def make() -> Drafter:
        if kind == "blocks":
            return BlockDrafts(runtime, None, name="mask-predict", capacity=8)
        once = NonAutoregressive("mask-predict")
        return HypothesisDrafts(CanvasBatch(runtime, None, name="mask-predict", capacity=8), once, END)

    def alone(n: int, prefix: list[int]) -> list[int]:
        drafter = make()
        drafter.admit(asked[n], encoded[n])
        return list(drafter.draft([prefix], 3)[0])

    drafter, owners = make(), []
    drafts = []
    for joins, leaves in (([0, 1, 2], [0]), ([3], [1]), ([4, 5], [0, 0])):
        for n in joins:
            drafter.admit(asked[n], encoded[n])
            owners.append(n)
        prefixes = [[3 + n, 7, 9][: n % 4] for n in owners]
        found = drafter.draft(prefixes, 3)
        drafts += [list(own) for own in found]
        assert [list(own) for own in found] == [alone(n, own) for n, own in zip(owners, prefixes, strict=True)]
        for g in leaves:
            drafter.remove(g)
            owners[g] = owners[-1]
            del owners[-1]
        drafter.admit(asked[0], encoded[0])  # one that leaves before it was ever drafted for
        owners.append(0)
        drafter.remove(len(owners) - 1)
        del owners[-1]

    assert len({tuple(own) for own in drafts}) > 1


@pytest.mark.parametrize("mode", ["four passes over three lengths", "ctc"])
@pytest.mark.parametrize("shortlist", [False, True], ids=["all words", "shortlist"])
def test_what_is_too_much_for_one_run_goes_in_turn(nat_fp32: Bundle, monkeypatch, mode: str, shortlist: bool):
    """First come first served, however often the last one takes a place that was left; the texts are the same."""
    runtime = open_runtime(nat_fp32)
    strategy, decoding = MODES[mode]
    asked = segments(nat_fp32, 12, strategy, shortlist=shortlist, **decoding)
    encoded = all_encoded(runtime, asked, hidden=True)
    path = nat_fp32.path("shortlist.npz")
    sizes = {"source_vocabulary": VOCABULARY, "vocabulary": VOCABULARY}
    table = Shortlist.load(path, path.read_bytes(), **sizes, eos_id=END)

    def group() -> Group[int]:
        words = table if shortlist else None
        if mode == "ctc":
            return CanvasBatch(runtime, words, name="ctc", capacity=12)
        return CanvasBatch(runtime, words, name="mask-predict", capacity=12)

    together = run(group(), asked, encoded, 12)
    monkeypatch.setattr("dragoman.server.runtime.run_limits.MAX_LOGITS", 100 * VOCABULARY)
    order: list[int] = []
    batch = group()
    for n, one in enumerate(asked):
        batch.admit(n, one, encoded[n])
    found, steps = {}, 0
    while len(batch):
        for n, one in batch.step():
            found[n] = (one.hypotheses, one.work)
            order.append(n)
        steps += 1

    assert found == together
    assert steps > 4
    assert sum(abs(place - n) for place, n in enumerate(order)) < 40  # about in the order in which they came


def test_an_exact_length_is_exact(nat: Bundle, decoder):
    """Whatever the source's length is."""
    asked = segments(nat, 10, NonAutoregressive("mask-predict", 3, exact_length=5))

    answers = decoder(nat).together(asked)

    assert {(len(one.hypotheses[0].ids), one.hypotheses[0].reason) for one in answers} == {(5, FinishReason.STOP)}


@pytest.mark.parametrize("draft", DraftSource)
@pytest.mark.parametrize("shortlist", [False, True], ids=["all words", "shortlist"])
def test_speculation_in_the_lanes_equals_greedy_search(nat_fp32: Bundle, decoder, draft: DraftSource, shortlist: bool):
    """From every source of drafts, while costs switch it off and on: the same tokens in float32, 0 differences."""
    lanes = decoder(nat_fp32, max_batch=8)
    greedy = lanes.together(segments(nat_fp32, 60, Beam(), shortlist=shortlist))

    found = lanes.together(segments(nat_fp32, 60, Speculative(draft, 3, "mask-predict"), shortlist=shortlist))

    assert [one.hypotheses[0].ids for one in found] == [one.hypotheses[0].ids for one in greedy]
    assert [one.hypotheses[0].reason for one in found] == [one.hypotheses[0].reason for one in greedy]
    assert sum(one.work.drafted_tokens for one in found) > 0
    assert lanes.observer.drafts


class Always:
    """A judge that never leaves drafts out."""

    def wants_drafts(self, sources: int) -> bool:
        return True

    stops_at = None

    def note(self, sources: int, seconds: float, tokens: int, *, is_drafted: bool) -> None:
        assert is_drafted
        assert tokens >= sources


class Drafted(LaneObserver):
    """Writes down what it is told of drafts."""

    def __init__(self) -> None:
        self.drafts: list[tuple[int, int, int]] = []

    def on_drafts(self, sources: int, drafted: int, accepted: int, stops_at: int | None) -> None:
        self.drafts.append((sources, drafted, accepted))


class Adversary:
    """Drafts that are right, wrong, end early, late or not at all, by the source's number."""

    def __init__(self, right: dict[tuple[int, ...], tuple[int, ...]]) -> None:
        self._right = right
        self._texts: list[tuple[int, ...]] = []

    def admit(self, segment: Segment, source: Source) -> None:
        self._texts.append(segment.ids)

    def remove(self, g: int) -> None:
        self._texts[g] = self._texts[-1]
        del self._texts[-1]

    def draft(self, prefixes: Sequence[Sequence[int]], count: int) -> Sequence[Sequence[int]]:
        drafts = []
        for text, prefix in zip(self._texts, prefixes, strict=True):
            right = [*self._right[text][len(prefix) :], END][:count]
            kinds = [
                right,
                [(word + 1) % VOCABULARY for word in right],
                [*right[:1], END, END][:count],
                [word or 5 for word in right],
                [*prefix[-1:]] * count,
                [],
                [*right[:2], 7, 7][:count],
            ]
            drafts.append(kinds[sum(text) % len(kinds)])
        return drafts


def run(group: Group[int], asked: Sequence[Segment], encoded: Sequence[Source], places: int) -> dict[int, tuple]:
    """All of them, so many at a time."""
    waiting, found = list(range(len(asked)))[::-1], {}
    while waiting or len(group):
        while waiting and len(group) < places:
            n = waiting.pop()
            group.admit(n, asked[n], encoded[n])
        for n, one in group.step():
            found[n] = (one.hypotheses, one.work)
    return found


def all_encoded(runtime: Runtime, asked: Sequence[Segment], *, hidden: bool = False) -> list[Source]:
    return [encode(runtime, [one], hidden=hidden)[0] for one in asked]


def test_a_thousand_sentences_under_adversarial_drafts_equal_greedy_search(nat_fp32: Bundle):
    """Ragged batches of 32, on the real step graph: tokens and reasons, 0 differences; right drafts are accepted."""
    runtime = open_runtime(nat_fp32)
    asked = segments(nat_fp32, 1000, Beam())
    encoded = all_encoded(runtime, asked)
    layout = Layout.of(asked[0])
    greedy = run(tree_batch(runtime, None, layout=layout, capacity=32), asked, encoded, 32)
    adversary = Adversary({one.ids: greedy[n][0][0].ids for n, one in enumerate(asked)})
    observer = Drafted()
    speculation = Speculation(Speculative(DraftSource.NAT, 4, "mask-predict"), adversary, Always(), observer)
    batch: StepBatch[int] = chain_batch(runtime, None, speculation, capacity=32, has_stride=True)

    found = run(batch, asked, encoded, 32)

    assert [found[n][0][0].ids for n in range(1000)] == [greedy[n][0][0].ids for n in range(1000)]
    assert [found[n][0][0].reason for n in range(1000)] == [greedy[n][0][0].reason for n in range(1000)]
    logps = [[one[n][0][0].logp for n in range(1000)] for one in (found, greedy)]
    np.testing.assert_allclose(*logps, rtol=1e-5, atol=1e-4)
    assert sum(right for *_, right in observer.drafts) == sum(found[n][1].accepted_tokens for n in range(1000)) > 2000
    assert sum(drafted for _, drafted, _ in observer.drafts) == sum(found[n][1].drafted_tokens for n in range(1000))


@pytest.mark.parametrize("name", ["passes", "drafts"])
def test_a_source_that_leaves_in_the_middle_changes_no_other(nat_fp32: Bundle, name: str):
    """Cancelled after the first step; the others are answered as they are without it."""
    runtime = open_runtime(nat_fp32)
    strategy: Strategy = NonAutoregressive("mask-predict", 5, 2)
    if name == "drafts":
        strategy = Speculative(DraftSource.NAT, 3, "mask-predict")
    asked = segments(nat_fp32, 7, strategy)
    encoded = all_encoded(runtime, asked, hidden=True)

    def group() -> Group[int]:
        if name == "passes":
            return CanvasBatch(runtime, None, name="mask-predict", capacity=8)
        right = {one.ids: (3, 4, 5) for one in asked}
        speculation = Speculation(strategy, Adversary(right), Always(), LaneObserver())
        return chain_batch(runtime, None, speculation, capacity=8, has_stride=True)

    alone = {n: run(group(), [one], [encoded[n]], 1)[0] for n, one in enumerate(asked)}
    batch, found = group(), {}
    for n, one in enumerate(asked):
        batch.admit(n, one, encoded[n])
    found |= {n: (one.hypotheses, one.work) for n, one in batch.step()}
    left = [n for n in (0, 3) if n in batch.owners]
    for n in left:
        batch.drop(n)
    while len(batch):
        found |= {n: (one.hypotheses, one.work) for n, one in batch.step()}

    assert left
    assert found == {n: answer for n, answer in alone.items() if n not in left}


def unrolled(network: Network, ids: tuple[int, ...], passes: int, tokens: int) -> list[int]:
    """Mask-predict in torch, one source without any padding: the passes written one after the other."""
    decoder = decoder_of(network, "mask-predict")
    source = torch.tensor([ids])
    given = packed(source, torch.zeros(1, 1, 1, len(ids)))
    hidden = network.encode(**given)
    cross, open_ = decoder.memory(hidden, given["places"]), torch.zeros(1, 1, 1, 1)
    # A masked place shows the source's position at its share of the way, both ends included.
    masks = [VOCABULARY + round(place * (len(ids) - 1) / tokens) for place in range(tokens)]
    canvas = torch.tensor([[*masks, END]])
    scores, masked, before = torch.zeros(tokens), list(range(tokens)), None
    for t in range(1, passes + 1):
        x = decoder.run(
            decoder.embed(network, canvas, decoder.shown(hidden, given["places"])), (1, tokens + 1), open_, cross, open_
        )
        logp = decoder.logits(network, x).log_softmax(-1)
        logp[:, [END, 1]] = -torch.inf  # the end is given, and the unknown word is never put out
        for place in masked:
            scores[place], canvas[0, place] = logp[place].max(-1)
        if canvas.tolist() == before:  # nothing changes any more
            break
        before = canvas.tolist()
        masked = sorted(range(tokens), key=lambda place: (scores[place].item(), place))
        masked = masked[: int(tokens * (1 - t / passes))]
        for place in masked:
            canvas[0, place] = masks[place]
    words: list[int] = canvas[0, :tokens].tolist()
    return words


@pytest.mark.parametrize("passes", [1, 3])
def test_passes_through_the_graphs_equal_those_of_the_network(nat_fp32: Bundle, decoder, tmp_path, nat_source, passes):
    """The whole way: encoder, memory and canvas graphs in batches, beside torch and one source at a time."""
    network = load_network(nat_source(tmp_path))
    asked = segments(nat_fp32, 12, NonAutoregressive("mask-predict", passes, exact_length=9))

    answers = decoder(nat_fp32).together(asked)

    with torch.inference_mode():
        expected = [unrolled(network, one.ids, passes, 9) for one in asked]
    assert [list(one.hypotheses[0].ids) for one in answers] == expected


def repeated(network: Network, ids: tuple[int, ...], passes: int) -> list[list[int]]:
    """What CTC says in each of its passes, in torch, one source without any padding."""
    decoder = decoder_of(network, "ctc")
    given = packed(torch.tensor([ids]), torch.zeros(1, 1, 1, len(ids)))
    hidden, open_ = network.encode(**given), torch.zeros(1, 1, 1, 1)
    shown, said = torch.full((1, 2 * len(ids)), VOCABULARY), []
    for _ in range(passes):
        logits = decoder.logits(network, decoder.read(network, hidden, given["places"], open_, shown))
        logits[:, 1] = -torch.inf  # the unknown word is never put out
        shown = logits.argmax(-1)[None]  # the blank, which is behind the vocabulary, shows nothing
        words = [word for word, _ in itertools.groupby(shown[0].tolist()) if word != VOCABULARY]
        said.append(words[: words.index(END)] if END in words else words)
    return said


@pytest.mark.parametrize("passes", [1, 3])
def test_passes_of_ctc_equal_those_of_the_network(nat_fp32: Bundle, decoder, tmp_path, nat_source, passes):
    """Each reads the words of the one before it, in batches, beside torch and one source at a time."""
    network = load_network(nat_source(tmp_path))
    asked = segments(nat_fp32, 12, NonAutoregressive("ctc", passes))

    answers = decoder(nat_fp32).together(asked)

    with torch.inference_mode():
        said = [repeated(network, one.ids, passes) for one in asked]
    longest = [one.max_target_tokens - 1 for one in asked]
    expected = [one[-1][:most] for one, most in zip(said, longest, strict=True)]
    assert [list(one.hypotheses[0].ids) for one in answers] == expected
    assert passes == 1 or any(one[0] != one[-1] for one in said), "a pass that changes nothing proves nothing"
