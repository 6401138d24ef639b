"""Loops: what is one, and that all searches end it at the same place, and nothing else."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle, islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.bundle.manifest import Decoding, Tokenizer
from dragoman.server.core.segments import Decoded, FinishReason, Hypothesis, Segment
from dragoman.server.decode.chains import Chains
from dragoman.server.decode.layout import Layout
from dragoman.server.decode.loops import EVERY, allowed_rounds, ends_in_a_loop
from dragoman.server.decode.search import Search
from dragoman.server.decode.step import Query, Reply
from dragoman.server.decode.strategies.diversity import Diversity
from dragoman.server.decode.strategies.forced import Forced
from dragoman.server.decode.strategies.sampling import Sampling

END, UNKNOWN, PAD, START = 2, 1, 0, 99
WORDS = Tokenizer("sentencepiece", "-", "-", END, UNKNOWN, START, (PAD,))
SIZE = 40
PLAIN = (5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, END)
LIMIT = 400


class Singer:
    """A model in which the newest token alone decides what follows: first some words, then a refrain without end.

    `errors` is how much it likes other words, by chance; `end` how much it likes to end.
    """

    def __init__(self, verse: Sequence[int], refrain: Sequence[int], *, errors: float = 0.0, end: float = 0.0) -> None:
        song = [*verse, *refrain, refrain[0]]
        logits = np.random.default_rng(7).random((SIZE, SIZE)) * errors
        for before, word in zip([0, *song], song, strict=False):
            logits[before, word] += 6
        logits[:, END] += end
        logits[:, [PAD, UNKNOWN]] = -30
        self.normaliser = np.log(np.exp(logits).sum(1)).astype(np.float32)
        self.logp = (logits - self.normaliser[:, None]).astype(np.float32)
        self._order = np.argsort(-self.logp, axis=1, kind="stable")

    def answer(self, query: Query) -> Reply:
        ids = np.where(query.ids == START, 0, query.ids)
        if query.is_stride:
            steps = [ids[:, 0]]
            while len(steps) < query.seen.shape[1]:
                steps.append(self.logp[steps[-1]].argmax(1))
            ids = np.stack(steps, axis=1)
        logp = self.logp[ids]
        order = self._order[ids][:, :, : query.best]
        named = query.named if query.named.shape[2] else np.zeros((*ids.shape, 0), np.int64)
        attention = np.full((*ids.shape, 64), 1 / 64, np.float32) if query.attention else None
        return Reply(
            np.take_along_axis(logp, order, 2),
            order,
            np.take_along_axis(logp, named, 2),
            self.normaliser[ids],
            attention,
        )


def segment(source: Sequence[int] = PLAIN, *, stops_loops: bool = True, strategy=None, **decoding) -> Segment:
    settings = replace(Decoding(max_length=LIMIT, max_length_factor=100.0), **decoding)
    made = Segment(tuple(source), settings, stops_loops=stops_loops)
    return made if strategy is None else replace(made, strategy=strategy)


def searched(model: Singer, *segments: Segment) -> list[Decoded]:
    """All of them in one search; each joins a step after the one before."""
    (layout,) = {Layout.of(one) for one in segments}
    search, waiting, owners = Search(layout, len(segments), WORDS), list(range(len(segments))), list[int]()
    decoded = dict[int, Decoded]()
    while waiting or owners:
        if waiting:
            owners.append(waiting.pop(0))
            search.admit(segments[owners[-1]])
        for g in reversed(search.advance(model.answer(search.ask())).finished):
            decoded[owners[g]] = search.decoded(g)
            search.remove(g)
            owners[g] = owners[-1]
            del owners[-1]
    return [decoded[number] for number in range(len(segments))]


def strode(model: Singer, asked: Segment) -> Hypothesis:
    """By a search whose decoder takes four steps by itself."""
    search = Search(Layout.of(asked), 1, WORDS, stride=4, most_striding=1)
    search.admit(asked)
    while not search.advance(model.answer(search.ask())).finished:
        pass
    return search.decoded(0).hypotheses[0]


def chained(model: Singer, asked: Segment, *, stride: int = 1, drafts: int = 0) -> Hypothesis:
    """By chains that draft the refrain well and badly in turn."""

    def propose(prefixes: Sequence[Sequence[int]]) -> list[list[int]]:
        right = [[int(model.logp[(prefix or [0])[-1]].argmax())] for prefix in prefixes]
        for words in right:
            while len(words) < drafts:
                words.append(int(model.logp[words[-1]].argmax()))
        return [words[: len(prefix) % (drafts + 1)] for words, prefix in zip(right, prefixes, strict=True)]

    chains = Chains(WORDS, propose, longest=drafts) if drafts else Chains(WORDS, stride=stride)
    chains.admit(asked)
    while not chains.advance(model.answer(chains.ask())).finished:
        pass
    return chains.decoded(0).hypotheses[0]


def rounds_at_the_end(tokens: Sequence[int], size: int) -> float:
    """How many rounds of a cycle of this size tokens end in, the plain way."""
    back = list(tokens)[::-1]
    same = next((n for n in range(size, len(back)) if back[n] != back[n - size]), len(back))
    return same / size


@given(
    st.lists(st.integers(3, 12), max_size=12),
    st.lists(st.integers(3, 12), min_size=1, max_size=11),
    st.integers(0, 160),
    st.integers(0, 12),
)
def test_a_loop_is_a_short_cycle_with_many_rounds(verse, refrain, length, allowed):
    """At most 8 tokens, at least 8 times, at least 16 tokens, and more rounds than its source is allowed."""
    tokens = [*verse, *islice(cycle(refrain), length)]

    rounds = {size: rounds_at_the_end(tokens, size) for size in range(1, 9)}
    expected = any(many >= max(8, allowed + 1) and many * size >= 16 for size, many in rounds.items())
    assert ends_in_a_loop(tokens, allowed) == expected


@pytest.mark.parametrize(
    ("source", "rounds"),
    [
        ((), 0),
        (PLAIN, 4),
        ((5, 5, 5, END), 12),
        ((9, *[5, 6] * 10, 9, END), 40),
        ((*range(3, 33), *range(3, 33), *range(3, 33), END), 12),  # a sentence of thirty tokens, three times
    ],
)
def test_a_source_that_repeats_itself_may_be_translated(source, rounds):
    """Four rounds for each of its own; a text without repetition has one."""
    assert allowed_rounds(source) == rounds


@pytest.mark.parametrize("refrain", [(20,), (20, 21), (20, 21, 22), tuple(range(20, 28))])
@pytest.mark.parametrize("verse", [(), (30, 31, 32)])
def test_greedy_search_ends_a_loop_soon_and_says_so(verse, refrain):
    """Within eight rounds, or sixteen tokens, and the next look; what was said until then is what was said without."""
    model = Singer(verse, refrain)

    [stopped], [on] = (searched(model, segment(stops_loops=stops))[0].hypotheses for stops in (True, False))

    size = max(8 * len(refrain), 16)
    assert stopped.reason is FinishReason.REPETITION
    assert len(verse) + size < len(stopped.ids) <= len(verse) + size + EVERY + 1
    assert (len(on.ids), on.reason) == (LIMIT, FinishReason.LENGTH)
    assert stopped.ids == on.ids[: len(stopped.ids)]
    assert stopped.token_logps == on.token_logps[: len(stopped.ids)]


@pytest.mark.parametrize("prefix", [(), (5, 6, 7)])
@pytest.mark.parametrize("verse", [(), (30, 31, 32, 33)])
def test_all_ways_to_greedy_decoding_end_it_at_the_same_token(verse, prefix):
    """Steps, strides, drafts of any length, and the way of segments that ask for more: to the bit."""
    model = Singer(verse, (20, 21, 22), errors=1.0)
    asked = replace(segment(), prefix=prefix)

    [expected] = searched(model, asked)[0].hypotheses

    assert expected.reason is FinishReason.REPETITION
    assert searched(model, replace(asked, attention=True))[0].hypotheses == (expected,)
    assert chained(model, asked) == chained(model, asked, stride=4) == expected
    assert prefix or strode(model, asked) == expected
    assert [chained(model, asked, drafts=most) for most in (1, 3, 7)] == [expected] * 3


def test_a_batch_changes_nothing():
    """Sources of different ages, those that go on and those that repeat themselves in their source among them."""
    model = Singer((30, 31), (20, 21), errors=1.0)
    asked = [
        segment(),
        segment(stops_loops=False, max_length=99),
        segment([7] * 90),
        segment(min_length=150),
        segment((5, 6)),
    ]

    together = searched(model, *asked)

    assert [one.hypotheses for one in together] == [searched(model, one)[0].hypotheses for one in asked]
    assert [one.hypotheses[0].reason.name for one in together] == [
        "REPETITION",
        "LENGTH",
        "LENGTH",
        "REPETITION",
        "REPETITION",
    ]


def test_a_source_may_be_as_repetitive_as_it_is():
    """One word ninety times may become ninety rounds of two words, and not of a thousand."""
    model, asked = Singer((), (20, 21)), segment([7] * 90, max_length=2_000)

    [hypothesis] = searched(model, asked)[0].hypotheses

    assert 90 * 2 < len(hypothesis.ids) < 1_000
    assert hypothesis.reason is FinishReason.REPETITION


def test_what_is_asked_for_is_no_loop():
    """A least length, a prefix and a given target say more than once what they say."""
    model = Singer((), (20,))
    long = segment(min_length=150)
    begun = replace(segment(), prefix=(20,) * 100)
    given_target = segment(strategy=Forced((20,) * 200))

    [[least], [prefixed], [forced]] = (searched(model, one)[0].hypotheses for one in (long, begun, given_target))

    assert 150 <= len(least.ids) <= 150 + EVERY + 1
    assert 116 <= len(prefixed.ids) <= 100 + 2 * EVERY + 1
    assert (len(forced.ids), forced.reason) == (200, FinishReason.STOP)


@pytest.mark.parametrize("profile", ["marian", "fairseq", "hf", "ct2"])
@pytest.mark.parametrize("early_stopping", ["first", "heuristic", "exhaustive"])
def test_a_beam_ends_where_all_of_it_loops(profile, early_stopping):
    """Long before its limit, by the rules of each toolkit, whose own search does not see it."""
    model = Singer((30, 31), (20, 21), errors=1.0, end=-9)
    settings = {"profile": profile, "beam_size": 4, "num_hypotheses": 4, "early_stopping": early_stopping}
    settings["max_length"] = 130

    [stopped, on] = (searched(model, segment(stops_loops=stops, **settings))[0] for stops in (True, False))

    assert stopped.steps < 100 < on.steps
    assert stopped.hypotheses[0].reason is FinishReason.REPETITION
    assert [one.score for one in stopped.hypotheses] == sorted((one.score for one in stopped.hypotheses), reverse=True)


@pytest.mark.parametrize("profile", ["marian", "fairseq", "hf", "ct2"])
def test_a_translation_that_ended_is_better_than_a_loop(profile):
    """Even where the loop has the higher score, as loops have."""
    model = Singer((30, 31), (20, 21), errors=2.0, end=2.5)
    settings = {"profile": profile, "beam_size": 3, "num_hypotheses": 3, "early_stopping": "exhaustive"}

    [stopped, on] = (searched(model, segment(stops_loops=stops, **settings))[0] for stops in (True, False))

    reasons = [one.reason.name for one in stopped.hypotheses]
    assert (on.hypotheses[0].reason, reasons[0]) == (FinishReason.LENGTH, "STOP")
    assert reasons == sorted(reasons, key=["STOP", "REPETITION"].index)


def test_draws_end_each_by_itself():
    """Each draw is a beam: those that loop end, the others go on."""
    model = Singer((30, 31), (20, 21), errors=0.5, end=2.0)
    asked = segment(strategy=Sampling(seed=5), num_hypotheses=40)

    draws = searched(model, asked)[0].hypotheses

    assert {one.reason for one in draws} == {FinishReason.STOP, FinishReason.REPETITION}
    ended = [one for one in draws if one.has_end]
    unstopped = searched(model, replace(asked, stops_loops=False))[0].hypotheses
    assert {one.ids for one in ended} <= {one.ids for one in unstopped}


def test_each_group_of_a_diverse_beam_ends_by_itself():
    """Groups avoid each other's words, so that one of them may say more than the refrain."""
    model = Singer((30, 31), (20, 21), errors=1.0, end=-9)
    asked = segment(strategy=Diversity(groups=2, penalty=0.1), beam_size=4, num_hypotheses=4)

    [stopped, on] = (searched(model, replace(asked, stops_loops=stops))[0] for stops in (True, False))

    assert stopped.steps < 150 < on.steps


@pytest.mark.parametrize("beam", [1, 4])
@pytest.mark.parametrize("seed", range(20))
def test_what_is_no_loop_is_the_same_to_the_bit(seed, beam):
    """Verses of every length, with repeats that are no loops yet."""
    rng = np.random.default_rng(seed)
    verse = rng.permutation(np.arange(3, 36))[: 5 + seed].tolist()
    model = Singer(verse, (36, END), errors=1.0 + seed % 4)
    asked = segment(beam_size=beam, num_hypotheses=beam)

    assert searched(model, asked) == searched(model, replace(asked, stops_loops=False))
