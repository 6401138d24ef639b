"""Speculation in its pure form: whatever is drafted, what comes out is greedy search's."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from dragoman.bundle.manifest import Decoding, Tokenizer
from dragoman.server.core.segments import Decoded, FinishReason, Segment
from dragoman.server.core.strategies import DraftSource, Lossy
from dragoman.server.decode.chains import Chains
from dragoman.server.decode.layout import Layout
from dragoman.server.decode.search import Search
from dragoman.server.decode.step import Query, Reply
from dragoman.server.decode.strategies.speculative import Speculative

END, UNKNOWN, PAD, START = 2, 1, 0, 99
WORDS = Tokenizer("sentencepiece", "-", "-", END, UNKNOWN, START, (PAD,))
SIZE = 14
Words = tuple[int, ...]


@functools.cache
def a_model(seed: int) -> "Model":
    """The same for all tests that ask for it."""
    return Model(seed)


class Model:
    """A language model: what follows depends on all words so far."""

    def __init__(self, seed: int) -> None:
        logits = np.random.default_rng(seed).normal(size=(499, SIZE)) * 2
        self.normaliser = np.log(np.exp(logits).sum(1)).astype(np.float32)
        self._logp = (logits - self.normaliser[:, None]).astype(np.float32)
        self._order = np.argsort(-self._logp, axis=1, kind="stable")
        self._attention = np.random.default_rng(0).random((499, 7)).astype(np.float32)

    def row(self, history: Words) -> int:
        return hash(history) % 499

    def answer(self, query: Query, histories: Sequence[Sequence[Words]]) -> Reply:
        """What the decoder says of places that stand behind these words."""
        rows = np.array([[self.row(one) for one in own] for own in histories])
        logp = self._logp[rows]
        order = self._order[rows][:, :, : query.best]
        attention = self._attention[rows] if query.attention else None
        return Reply(
            np.take_along_axis(logp, order, 2),
            order,
            np.take_along_axis(logp, query.named, 2),
            self.normaliser[rows],
            attention,
        )


@functools.cache
def greedy(model: Model, segment: Segment):
    """One source through the ordinary search; looked up where it was asked before."""
    search = Search(Layout.of(segment), 1, WORDS)
    search.admit(segment)
    history: Words = ()
    while True:
        query = search.ask()
        history = (*history, int(query.ids[0, 0])) if query.depth[0, 0] else ()
        if search.advance(model.answer(query, [[history]])).finished:
            return search.decoded(0).hypotheses


Drafter = Callable[[Words, Words, int], Sequence[int]]
"""The right translation with its end token, what there is of it so far, and how many words are wanted."""


def random_words(right: Words, prefix: Words, count: int) -> list[int]:
    return np.random.default_rng([len(right), len(prefix)]).integers(3, SIZE, count).tolist()


def half_right(right: Words, prefix: Words, count: int) -> list[int]:
    draft = [*right[len(prefix) :][:count]]
    return [*draft[: count // 2], *random_words(right, prefix, count - count // 2)]


DRAFTERS: dict[str, Drafter] = {
    "always wrong": lambda right, prefix, count: [(w + 1) % SIZE for w in right[len(prefix) :][:count]],
    "always right": lambda right, prefix, count: right[len(prefix) :][:count],
    "right, and far too long": lambda right, prefix, count: [*right[len(prefix) :], *[5] * 50][:count],
    "ends early": lambda right, prefix, count: [*right[len(prefix) :][:1], END, END],
    "ends at once": lambda right, prefix, count: [END] * count,
    "ends late": lambda right, prefix, count: [w if w != END else 4 for w in right[len(prefix) :][:count]],
    "repeats": lambda right, prefix, count: [*prefix[-1:]] * count,
    "nothing": lambda right, prefix, count: [],
    "random": random_words,
    "half right": half_right,
    "what is forbidden": lambda right, prefix, count: [PAD, UNKNOWN, PAD][:count],
}


def speculate(model: Model, segments: Sequence[Segment], drafters: Sequence[Drafter], tokens: int, capacity: int):
    """All segments, `capacity` at a time; each with a drafter of its own. Hypotheses, and accepted tokens of each."""
    right = [(*greedy(model, one)[0].ids, END) for one in segments]
    chains, waiting, owners = Chains(WORDS), list(range(len(segments)))[::-1], list[int]()
    found, accepted = {}, dict.fromkeys(range(len(segments)), 0)
    while waiting or owners:
        while waiting and len(owners) < capacity:
            owners.append(waiting.pop())
            chains.admit(segments[owners[-1]])
        prefixes = [tuple(prefix) for prefix in chains.prefixes]
        drafts = [drafters[n](right[n], own, tokens) for n, own in zip(owners, prefixes, strict=True)]
        query, before = (
            chains.verify(drafts, tokens + 1),
            [chains.decoded(g).work.accepted_tokens for g in range(len(owners))],
        )
        histories = [
            [(*own, *query.ids[g, 1 : place + 1].tolist()) for place in range(tokens + 1)]
            for g, own in enumerate(prefixes)
        ]
        for g, own in enumerate(prefixes):
            assert query.depth[g].tolist() == list(range(len(own), len(own) + tokens + 1))
            assert query.ids[g, 0] == (own[-1] if own else START)
        advance = chains.advance(model.answer(query, histories))
        for g in reversed(range(len(owners))):
            stood = chains.decoded(g).work.accepted_tokens - before[g]
            accepted[owners[g]] += stood
            assert g in advance.finished or advance.kept[g] == stood + 1
            if g in advance.finished:
                found[owners[g]] = chains.decoded(g).hypotheses
                chains.remove(g)
                owners[g] = owners[-1]
                del owners[-1]
    return [found[n] for n in range(len(segments))], [accepted[n] for n in range(len(segments))]


def segments(number: int, **decoding) -> list[Segment]:
    rng = np.random.default_rng(3)
    plain = replace(Decoding(max_length=30, max_length_factor=100.0), **decoding)
    return [Segment((*rng.integers(3, SIZE, 6).tolist(), END), plain) for _ in range(number)]


@pytest.mark.parametrize("seed", range(3))
def test_a_thousand_ragged_sources_equal_greedy_search(seed):
    """All drafters side by side, in batches of 7: tokens, log-probabilities and reasons are the same, 0 differences."""
    model = a_model(seed)
    asked = [replace(one, decoding=replace(one.decoding, max_length=1 + n % 23)) for n, one in enumerate(segments(340))]
    drafters = [list(DRAFTERS.values())[n % len(DRAFTERS)] for n in range(len(asked))]

    found, _ = speculate(model, asked, drafters, tokens=3, capacity=7)

    assert found == [greedy(model, one) for one in asked]
    assert {one[0].reason for one in found} == {FinishReason.STOP, FinishReason.LENGTH}


@pytest.mark.parametrize("name", DRAFTERS)
@pytest.mark.parametrize("tokens", [1, 5])
def test_whatever_is_drafted_greedy_search_decides(name, tokens):
    """Each drafter on its own, with drafts of one token and of several."""
    model, asked = a_model(11), segments(25)

    found, _ = speculate(model, asked, [DRAFTERS[name]] * 25, tokens, capacity=4)

    assert found == [greedy(model, one) for one in asked]


@pytest.mark.parametrize(
    "changes",
    [
        {"decoding": {"min_length": 6}},
        {"decoding": {"no_repeat_ngram_size": 1}},
        {"decoding": {"no_repeat_ngram_size": 1, "min_length": 29}},  # all words are forbidden in the end
        {"decoding": {"repetition_penalty": 1.5}},
        {"decoding": {"repetition_penalty": 0.7, "profile": "hf"}},
        {"decoding": {"profile": "fairseq", "max_length": 7}},
        {"decoding": {"profile": "ct2", "min_length": 3}},
        {"decoding": {"unknown_handling": "allow"}},
        {"decoding": {"length_penalty": 0.5, "word_penalty": 0.3}},
        {"prefix": (7, 4, 4, 9)},
        {"suppressed_ids": (3, 5, 8)},
        {"attention": True},
    ],
)
def test_all_that_weighs_words_weighs_drafted_ones(changes):
    """Forced, forbidden and penalised words, whose effect depends on the words before; scores and attention, too."""
    model, own = a_model(5), dict(changes)
    asked = [replace(one, **own) for one in segments(22, **own.pop("decoding", {}))]
    names = list(DRAFTERS.values())

    found, _ = speculate(model, asked, [names[n % len(names)] for n in range(22)], tokens=4, capacity=5)

    expected = [greedy(model, one) for one in asked]
    assert found == expected
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours[0].attention is None) == (theirs[0].attention is None)
        if theirs[0].attention is not None:
            np.testing.assert_array_equal(ours[0].attention, theirs[0].attention)


@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("decoding", [{}, {"unknown_handling": "allow"}, {"max_length": 5}])
def test_a_decoder_that_reads_its_own_best_words_decides_nothing(steps, decoding):
    """Where the best word must not be put out, or the text is over, the rest of what it read is thrown away."""
    model, asked = a_model(6), segments(40, **decoding)
    chains, owners, found, cut = Chains(WORDS, stride=steps), list(range(40)), {}, 0
    for one in asked:
        chains.admit(one)
    while owners:
        query = chains.ask()
        assert (query.is_stride, query.seen.shape) == (steps > 1, (1, steps))
        histories = [[tuple(prefix)] for prefix in chains.prefixes]
        assert query.ids.tolist() == [[own[0][-1] if own[0] else START] for own in histories]
        for _ in range(steps):
            places = replace(query, ids=np.zeros((len(owners), len(histories[0])), np.int64))
            reply = model.answer(replace(places, named=np.zeros((*places.ids.shape, 0), np.int64)), histories)
            histories = [
                [*own, (*own[-1], word)] for own, word in zip(histories, reply.ids[:, -1, 0].tolist(), strict=True)
            ]
        advance = chains.advance(reply)
        for g in reversed(range(len(owners))):
            cut += g not in advance.finished and advance.kept[g] < steps
            if g in advance.finished:
                found[owners[g]] = chains.decoded(g).hypotheses
                chains.remove(g)
                owners[g] = owners[-1]
                del owners[-1]

    assert [found[n] for n in range(40)] == [greedy(model, one) for one in asked]
    assert (cut > 0) == (steps > 1), "some strides are cut short by a word that must not be put out"


@pytest.mark.parametrize("size", [3, 12, 20])
def test_a_source_that_is_alone_strides_farther_while_it_is_far_from_its_end(size):
    """While it lacks more words than that to be as long as its text. Its translation and its rounds are the same."""
    model, asked = a_model(5), replace(segments(1, max_length=40)[0], ids=(*range(5, 5 + size),))

    near, _ = stridden(model, asked, far=0)
    far, strides = stridden(model, asked, far=8)

    assert far == near
    assert far.hypotheses == greedy(model, asked)
    assert strides == {(said, 8 if size - said > 8 else 4) for said, _ in strides}
    assert {count for _, count in strides} == ({4} if size == 3 else {4, 8})


def stridden(model: Model, asked: Segment, far: int) -> tuple[Decoded, set[tuple[int, int]]]:
    """One source by strides; and how many words it had before each, and of how many steps that was."""
    chains, strides = Chains(WORDS, stride=4, far=far), set()
    chains.admit(asked)
    while not chains.decoded(0).hypotheses:
        query, said = chains.ask(), len(chains.prefixes[0])
        strides.add((said, query.seen.shape[1]))
        histories = [[tuple(chains.prefixes[0])]]
        for _ in range(query.seen.shape[1]):
            ids = np.zeros((1, len(histories[0])), np.int64)
            reply = model.answer(replace(query, ids=ids, named=np.zeros((*ids.shape, 0), np.int64)), histories)
            histories = [[*histories[0], (*histories[0][-1], int(reply.ids[0, -1, 0]))]]
        chains.advance(reply)
    return chains.decoded(0), strides


def test_what_is_right_is_accepted_and_counted():
    """All of a right draft, its end token included; nothing of a wrong one."""
    model, asked = a_model(2), segments(20)

    _, right = speculate(model, asked, [DRAFTERS["always right"]] * 20, tokens=3, capacity=20)
    _, wrong = speculate(model, asked, [DRAFTERS["always wrong"]] * 20, tokens=3, capacity=20)

    lengths = [len(greedy(model, one)[0].token_logps) for one in asked]
    # Of each round of four tokens the last is the model's own word.
    assert right == [length - length // 4 for length in lengths]
    assert wrong == [0] * 20


def test_a_source_that_leaves_in_the_middle_changes_no_other():
    """Cancelling moves the last source to its place."""
    model, asked = a_model(4), segments(3)
    alone = [greedy(model, one) for one in asked]
    chains, owners = Chains(WORDS), [0, 1, 2]
    for one in asked:
        chains.admit(one)
    found = {}
    for step in range(40):
        if step == 2:
            chains.remove(0)
            owners = [2, 1]
        prefixes = [tuple(prefix) for prefix in chains.prefixes]
        query = chains.verify([[4, 5]] * len(owners), 3)
        histories = [[p, (*p, 4), (*p, 4, 5)] for p in prefixes]
        advance = chains.advance(model.answer(query, histories))
        for g in reversed(range(len(owners))):
            if g in advance.finished:
                found[owners[g]] = chains.decoded(g).hypotheses
                chains.remove(g)
                owners[g] = owners[-1]
                del owners[-1]
        if not owners:
            break

    assert found[1] == alone[1]
    assert found[2] == alone[2]


def lossy(top: int, margin: float) -> Speculative:
    return Speculative(DraftSource.NAT, 2, "mask-predict", Lossy(top, margin))


def test_a_lossy_source_keeps_what_is_likely_enough():
    """Among so many best words, and within the margin; beside it, an exact source keeps to the best."""
    model = a_model(8)
    (one,) = segments(1)
    chains = Chains(WORDS)
    ranked = [w for w in np.argsort(-model._logp[model.row(())]).tolist() if w not in (PAD, UNKNOWN, END)]
    second = ranked[1]
    gap = float(model._logp[model.row(()), ranked[0]] - model._logp[model.row(()), second])
    for strategy in (lossy(9, gap + 0.01), lossy(9, gap / 2), lossy(2, 100.0), None):
        chains.admit(replace(one, strategy=strategy) if strategy else one)
    last = ranked[3]
    drafts = [[second], [second], [last], [second]]

    query = chains.verify(drafts, 2)
    advance = chains.advance(model.answer(query, [[(), (draft[0],)] for draft in drafts]))

    assert [chains.decoded(g).work.accepted_tokens for g in range(4)] == [1, 0, 0, 0]
    assert advance.drafts == (4, 1)
    assert [prefix[0] for prefix in chains.prefixes] == [second, *[ranked[0]] * 3]
