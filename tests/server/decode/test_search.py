"""The search over token trees, against a plain version of each toolkit's with lists, one source at a time."""

import functools
import itertools
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from dragoman.bundle.manifest import Decoding, Tokenizer
from dragoman.server.core.phrasing import Allowed
from dragoman.server.core.segments import FinishReason, Hypothesis, Segment
from dragoman.server.decode.constraints import Weigher
from dragoman.server.decode.layout import Layout
from dragoman.server.decode.search import Search
from dragoman.server.decode.step import Advance, Query, Reply
from dragoman.server.decode.strategies.alternatives import Alternatives
from dragoman.server.decode.strategies.diversity import Diversity
from dragoman.server.decode.strategies.forced import Forced
from dragoman.server.decode.strategies.sampling import Sampling

EOS, UNK, PAD, START = 2, 1, 0, 99
VOCABULARY = Tokenizer("sentencepiece", "-", "-", EOS, UNK, START, (PAD,))
Words = tuple[int, ...]


@functools.cache
def a_model(seed: int, size: int = 12, **options: Any) -> "Model":
    """The same model for all tests that ask for it: making one takes longer than a search."""
    return Model(seed, size, **options)


class Model:
    """A language model: the logits of what follows depend on all words so far.

    With ties, log-probabilities are whole numbers and not normalised: equal scores abound, and sums are exact.
    """

    def __init__(
        self, seed: int, size: int = 12, *, ties: bool = False, end: float = 0.7, masked: tuple[int, ...] | range = ()
    ):
        rng = np.random.default_rng(seed)
        logits = rng.normal(size=(997, size)) * 2
        logits[:, EOS] += end
        if ties:
            logits = -np.round(np.abs(logits))
        logits[:, list(masked)] = -1e9
        is_normalised = not ties and len(masked) < size
        normaliser = np.log(np.exp(logits).sum(1)) if is_normalised else np.zeros(997)
        self.size = size
        self._normaliser = normaliser.astype(np.float32)
        self._logp = (logits - normaliser[:, None]).astype(np.float32)
        self._order = np.argsort(-self._logp, axis=1, kind="stable")
        self._attention = rng.dirichlet(np.full(6, 0.3), 997).astype(np.float32)

    def logp(self, history: Words) -> np.ndarray:
        return self._logp[hash(history) % 997]

    def order(self, history: Words) -> np.ndarray:
        return self._order[hash(history) % 997]

    def normaliser(self, history: Words) -> float:
        return float(self._normaliser[hash(history) % 997])

    def attention(self, history: Words, length: int) -> np.ndarray:
        """What is put out after these words attends to `length` source words."""
        return self._attention[hash(history) % 997, :length]


@dataclass
class Running:
    """A source in a search, as the decoder sees it: the words that each place stands for."""

    number: int
    model: Model
    segment: Segment
    histories: list[Words]


def answer(query: Query, running: Sequence[Running]) -> Reply:
    """What the decoder says: no more than was asked."""
    n, places = query.ids.shape
    size = min(query.best, min(one.model.size for one in running))
    logp, ids = np.zeros((n, places, size), np.float32), np.zeros((n, places, size), np.int64)
    named, normaliser = np.zeros(query.named.shape, np.float32), np.zeros((n, places), np.float32)
    attention = np.zeros((n, places, 9), np.float32) if query.attention else None
    for g, place in np.ndindex(n, places):
        history, model = running[g].histories[place], running[g].model
        assert query.depth[g, place] == len(history)
        assert query.ids[g, place] == (history[-1] if history else START)
        ids[g, place] = model.order(history)[:size]
        logp[g, place] = model.logp(history)[ids[g, place]]
        named[g, place] = model.logp(history)[query.named[g, place]]
        normaliser[g, place] = model.normaliser(history)
        if attention is not None:
            length = len(running[g].segment.ids)
            attention[g, place, :length] = model.attention(history, length)
    return Reply(logp, ids, named, normaliser, attention)


def follow(running: Sequence[Running], advance: Advance, ids: np.ndarray) -> None:
    """Each place goes on from its parent; what a dead one stands for must not matter."""
    for g, one in enumerate(running):
        one.histories = [
            (*one.histories[parent], int(word)) for parent, word in zip(advance.parents[g], ids[g], strict=True)
        ]


def check(hypothesis: Hypothesis, one: Running) -> None:
    """What a hypothesis says of itself is what the model said along its path."""
    ended = len(hypothesis.token_logps) > len(hypothesis.ids)
    words = (*hypothesis.ids, EOS) if ended else hypothesis.ids
    assert hypothesis.token_logps == tuple(float(one.model.logp(words[:t])[w]) for t, w in enumerate(words))
    assert hypothesis.logp == pytest.approx(sum(hypothesis.token_logps), abs=1e-9)
    assert EOS not in hypothesis.ids
    assert len(words) <= one.segment.max_target_tokens
    if not ended:
        assert (hypothesis.reason, len(words)) == (FinishReason.LENGTH, one.segment.max_target_tokens)
    if one.segment.attention:
        length = len(one.segment.ids)
        expected = [one.model.attention(words[:t], length) for t in range(len(words))]
        np.testing.assert_array_equal(hypothesis.attention, expected)
    else:
        assert hypothesis.attention is None or one.segment.decoding.coverage_penalty


def run(
    work: Sequence[tuple[Model, Segment]],
    *,
    capacity: int = 5,
    drop: frozenset[int] = frozenset(),
    vocabulary: Tokenizer = VOCABULARY,
) -> list[tuple[tuple[Hypothesis, ...], int]]:
    """Search for all of them, `capacity` at a time: they join and leave between steps. Hypotheses and steps of each.

    Those in `drop` are taken out after their third step, whatever came of them by then.
    """
    layouts = {Layout.of(segment) for _, segment in work}
    assert len(layouts) == 1, "they cannot be searched together"
    (layout,) = layouts
    search = Search(layout, capacity, vocabulary)
    waiting, running = list(enumerate(work)), list[Running]()
    found: dict[int, tuple[tuple[Hypothesis, ...], int]] = {}
    while waiting or running:
        while waiting and len(running) < capacity:
            number, (model, segment) = waiting.pop(0)
            search.admit(segment)
            assert len(search) == len(running) + 1
            running.append(Running(number, model, segment, [()] * layout.places))
        advance = search.advance(answer(search.ask(), running))
        follow(running, advance, search.ask().ids)
        assert search.num_live == advance.live.sum()
        early = [g for g, one in enumerate(running) if one.number in drop and search.length(g) == 3]
        for g in sorted({*advance.finished, *early}, reverse=True):
            one = running[g]
            for hypothesis in search.decoded(g).hypotheses:
                check(hypothesis, one)
            found[one.number] = search.decoded(g).hypotheses, search.length(g)
            search.remove(g)
            running[g] = running[-1]
            del running[-1]
    return [found[number] for number in range(len(work))]


# The plain searches. Each takes what may follow some words, as (word, score, log-probability), and grows lists of
# words from `start`. What they return is (summed score, words with the end token) in the order of ending, and steps.

Row = Callable[[Words], list[tuple[int, float]]]
Ended = list[tuple[float, Words]]
ROOT = (0.0, ())


def row_of(model: Model, segment: Segment, width: int, vocabulary: Tokenizer = VOCABULARY) -> Row:
    """What may follow, with its score: the whole row is at hand, so that each change is made where it is defined."""
    decoding, prefix = segment.decoding, segment.prefix
    profile, penalty, n = decoding.profile, decoding.repetition_penalty, decoding.no_repeat_ngram_size

    def row(words: Words) -> list[tuple[int, float]]:
        t = len(words)
        logp = model.logp(words).astype(np.float64)
        if t < len(prefix):
            return [(prefix[t], 0.0 if profile in ("hf", "ct2") else logp[prefix[t]])]
        if profile == "fairseq" and t + 1 == segment.max_target_tokens:
            return [(EOS, logp[EOS])]
        banned = {*vocabulary.suppressed_ids, *segment.suppressed_ids}
        if decoding.unknown_handling == "suppress":
            banned.add(UNK)
        if t < decoding.min_length:
            banned.add(EOS)
        if n:
            grams = [words[i : i + n] for i in range(t - n + 1)]
            banned |= {gram[-1] for gram in grams if gram[:-1] == words[t - n + 1 :]}
        scores = logp.copy()
        for word in set(words):
            if profile == "hf" and width > 1:
                scores[word] *= penalty
            else:
                logit = logp[word] + model.normaliser(words)
                scores[word] = (logit / penalty if logit > 0 else logit * penalty) - model.normaliser(words)
        scores[logp < -1e8] = -np.inf
        scores[list(banned)] = -np.inf
        if profile == "ct2" and len(banned) > 0 and np.isfinite(scores).any():
            scores -= np.log(np.exp(scores).sum())
        return [(w, s) for w, s in enumerate(scores.tolist()) if s > -np.inf]

    return row


def offered(row: Row, beams: Ended, count: int) -> Ended:
    """The best continuations: of equals that of the lower place, then the lower word."""
    scored = [(-(score + own), place, w) for place, (score, words) in enumerate(beams) for w, own in row(words)]
    return [(-s, (*beams[place][1], w)) for s, place, w in sorted(scored)[:count]]


def marian(row: Row, segment: Segment, width: int, start: tuple[float, Words] = ROOT) -> tuple[Ended, int]:
    """The beam narrows with each that ends."""
    beams, ended, steps, limit = [start], [], 0, segment.max_target_tokens
    while beams:
        chosen = offered(row, beams, width - len(ended))
        steps += 1
        ended += [c for c in chosen if c[1][-1] == EOS or len(c[1]) == limit]
        beams = [c for c in chosen if c[1][-1] != EOS and len(c[1]) < limit]
    return ended, steps


def fairseq(row: Row, segment: Segment, width: int, start: tuple[float, Words] = ROOT) -> tuple[Ended, int]:
    """Twice the width on offer; the first `width` that end are kept."""
    beams, ended, steps = [start], [], 0
    while beams and len(ended) < width:
        chosen = offered(row, beams, 2 * width)
        steps += 1
        for rank, candidate in enumerate(chosen):
            if candidate[1][-1] == EOS and rank < width and len(ended) < width:
                ended.append(candidate)
        beams = [c for c in chosen if c[1][-1] != EOS][:width]
    return ended, steps


def hf(row: Row, segment: Segment, width: int, start: tuple[float, Words] = ROOT) -> tuple[Ended, int]:
    """The best `width` that ever ended are kept; three rules of stopping."""
    beams, ended, steps, limit = [start], [], 0, segment.max_target_tokens
    decoding = segment.decoding
    while True:
        chosen = offered(row, beams, 2 * width)
        steps += 1
        hits = [c for c in chosen if c[1][-1] == EOS or len(c[1]) == limit]
        ended += [c for c in chosen[:width] if c in hits]
        ended = sorted(ended, key=lambda e: -rank_of(e, decoding))[:width]
        beams = [c for c in chosen if c not in hits][:width]
        if not beams:
            return ended, steps
        if len(ended) == width:
            if decoding.early_stopping == "first":
                return ended, steps
            length = (
                limit if decoding.early_stopping == "exhaustive" and decoding.length_penalty > 0 else len(beams[0][1])
            )
            if beams[0][0] / length**decoding.length_penalty <= rank_of(ended[-1], decoding):
                return ended, steps


def ct2(row: Row, segment: Segment, width: int, start: tuple[float, Words] = ROOT) -> tuple[Ended, int]:
    """All that end among the best `width` are kept; patience, or the way out when the best has ended."""
    beams, ended, steps, limit = [start], [], 0, segment.max_target_tokens
    decoding, top_has_ended = segment.decoding, False
    while beams:
        chosen = offered(row, beams, 2 * width)
        steps += 1
        if segment.prefix and steps == len(segment.prefix) + 1:
            chosen = [(-1e10, (*w[:-1], 3)) if k and w[-1] == EOS else (s, w) for k, (s, w) in enumerate(chosen)]
        for rank, candidate in enumerate(chosen[:width]):
            if candidate[1][-1] == EOS or len(candidate[1]) == limit:
                top_has_ended |= rank == 0
                ended.append(candidate)
        beams = [c for c in chosen if c[1][-1] != EOS and len(c[1]) < limit][:width]
        if decoding.length_penalty == 0 and decoding.coverage_penalty == 0:
            if top_has_ended and len(ended) >= decoding.num_hypotheses:
                break
        elif len(ended) >= int(width * decoding.patience + 0.5):
            break
    return ended, steps


def greedy(row: Row, segment: Segment, width: int, start: tuple[float, Words] = ROOT) -> tuple[Ended, int]:
    score, words = start
    while True:
        ((score, words),) = offered(row, [(score, words)], 1)
        if words[-1] == EOS or len(words) == segment.max_target_tokens:
            return [(score, words)], len(words) - len(start[1])


PLAIN = {"marian": marian, "fairseq": fairseq, "hf": hf, "ct2": ct2}


def rank_of(one: tuple[float, Words], decoding: Decoding) -> float:
    score, words = one
    base = len(words) if decoding.length_penalty_kind == "power" else (5 + len(words)) / 6
    return score / base**decoding.length_penalty + decoding.word_penalty * len(words)


def plain(model: Model, segment: Segment, vocabulary: Tokenizer = VOCABULARY) -> tuple[Ended, int]:
    """The wanted hypotheses as (ranking, words), and how many steps it took to find them."""
    decoding, width = segment.decoding, segment.decoding.beam_size
    search = PLAIN[decoding.profile] if width > 1 else greedy
    ended, steps = search(row_of(model, segment, width, vocabulary), segment, width)
    best = sorted(ended, key=lambda e: -rank_of(e, decoding))[: decoding.num_hypotheses]
    return [(rank_of(e, decoding), e[1]) for e in best], steps


def assert_equal(found: tuple[tuple[Hypothesis, ...], int], expected: tuple[Ended, int]) -> None:
    """Words, rankings, and the number of steps."""
    hypotheses, steps = found
    assert [h.ids for h in hypotheses] == [tuple(w for w in words if w != EOS) for _, words in expected[0]]
    assert [h.score for h in hypotheses] == pytest.approx([s for s, _ in expected[0]], abs=1e-5)
    assert steps == expected[1]


LIMITS = (1, 2, 3, 40, 5, 6, 12, 8, 3, 1, 9, 20)


def a_decoding(profile: str, width: int, **options) -> Decoding:
    options = {"max_length": 40, "max_length_factor": 100.0, "unknown_handling": "allow", **options}
    return Decoding(profile=profile, beam_size=width, **options)  # type: ignore[arg-type]


def a_batch(decoding: Decoding, *, seed: int = 0, ties: bool = False, **segment) -> list[tuple[Model, Segment]]:
    """Twelve sources of different lengths and limits."""
    return [
        (
            a_model(100 * seed + n, ties=ties),
            Segment((5,) * (1 + n % 5) + (EOS,), replace(decoding, max_length=limit), **segment),
        )
        for n, limit in enumerate(LIMITS)
    ]


STOPPING = [("marian", "first"), ("fairseq", "first"), ("hf", "heuristic"), ("hf", "first"), ("ct2", "first")]


@pytest.mark.parametrize(("profile", "stopping"), STOPPING)
@pytest.mark.parametrize("width", [1, 2, 4, 5, 7])
@pytest.mark.parametrize("penalty", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("ties", [False, True])
def test_each_profile_is_its_toolkits_search(profile, stopping, width, penalty, ties):
    """Sources that share a batch, joining and leaving at any step, come out as the plain search of each alone.

    Words, rankings and the number of steps are the same, for one hypothesis and for four, with exact ties and without.
    """
    # Without normalisation there is nothing to share out, which CTranslate2 does with what is suppressed.
    vocabulary = replace(VOCABULARY, suppressed_ids=()) if ties and profile == "ct2" else VOCABULARY
    for n_best in {1, min(4, width)}:
        decoding = a_decoding(profile, width, length_penalty=penalty, early_stopping=stopping, num_hypotheses=n_best)
        batch = a_batch(decoding, seed=width, ties=ties)

        found = run(batch, vocabulary=vocabulary)

        for (model, segment), one in zip(batch, found, strict=True):
            assert_equal(one, plain(model, segment, vocabulary))


@pytest.mark.parametrize("width", [2, 5])
@pytest.mark.parametrize("patience", [0.5, 1.5, 3.0])
def test_ct2_waits_for_patience_times_the_width(width, patience):
    """With patience, as many hypotheses are waited for as CTranslate2 waits for."""
    decoding = a_decoding("ct2", width, patience=patience, num_hypotheses=1)
    batch = a_batch(decoding, seed=3)

    found = run(batch)

    for (model, segment), one in zip(batch, found, strict=True):
        assert_equal(one, plain(model, segment))


@pytest.mark.parametrize("profile", ["fairseq", "hf", "ct2"])
@pytest.mark.parametrize(("penalty", "word_penalty"), [(0.0, 0.0), (0.0, 0.05), (0.6, -0.2), (1.0, 0.0)])
@pytest.mark.parametrize("kind", ["power", "gnmt"])
@pytest.mark.parametrize("n_best", [1, 4])
def test_exhaustive_stopping_loses_nothing(profile, penalty, word_penalty, kind, n_best):
    """The wanted hypotheses are those of a search that never stops before its limit; some come in fewer steps."""
    decoding = a_decoding(
        profile,
        4,
        length_penalty=penalty,
        length_penalty_kind=kind,
        early_stopping="exhaustive",
        num_hypotheses=n_best,
        word_penalty=word_penalty,
    )
    batch = [
        (a_model(n, end=2.5), Segment((5, EOS), replace(decoding, max_length=limit))) for n, limit in enumerate(LIMITS)
    ]

    found = run(batch)

    fewer = 0
    for (model, segment), (hypotheses, steps) in zip(batch, found, strict=True):
        row, limit = row_of(model, segment, 4), segment.max_target_tokens
        beams, ended = [ROOT], []
        for length in range(1, limit + 1):
            chosen = offered(row, beams, 8)
            ended += [c for c in chosen[:4] if c[1][-1] == EOS or length == limit]
            beams = [c for c in chosen if c[1][-1] != EOS][:4]
        best = sorted((rank_of(e, decoding) for e in ended), reverse=True)[:n_best]
        assert [h.score for h in hypotheses] == pytest.approx(best, abs=1e-5)
        fewer += steps < limit
    assert fewer > 0 or penalty == 1.0, "the data does not hurt: every search went to its limit"


def test_exhaustive_equals_never_of_transformers():
    """The best hypothesis under exhaustive stopping is that of early_stopping="never"."""
    decoding = a_decoding("hf", 5, early_stopping="exhaustive", length_penalty=1.0)
    batch = a_batch(decoding, seed=5)

    found = run(batch)

    for (model, segment), (hypotheses, _) in zip(batch, found, strict=True):
        expected, _ = plain(model, segment)
        assert [h.ids for h in hypotheses] == [tuple(w for w in words if w != EOS) for _, words in expected]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_a_beam_wide_enough_for_everything_finds_the_best_sequences(seed, penalty):
    """With a beam larger than the number of sequences, the n best are those of a full enumeration."""
    model, limit, size = a_model(seed, 5), 3, 5
    decoding = a_decoding("marian", 60, length_penalty=penalty, num_hypotheses=5, max_length=limit)
    segment = Segment((5, EOS), decoding)
    everything = [
        words
        for length in range(1, limit + 1)
        for words in itertools.product(range(1, size), repeat=length)
        if EOS not in words[:-1] and (words[-1] == EOS or length == limit)
    ]
    total = {words: sum(float(model.logp(words[:t])[w]) for t, w in enumerate(words)) for words in everything}

    ((found, _),) = run([(model, segment)])

    best = sorted((s / len(w) ** penalty for w, s in total.items()), reverse=True)[:5]
    assert [h.score for h in found] == pytest.approx(best, abs=1e-6)


@pytest.mark.parametrize("profile", PLAIN)
@pytest.mark.parametrize("width", [1, 4, 7])
@pytest.mark.parametrize("size", [3, 4, 5])
def test_vocabularies_smaller_than_the_beam(profile, width, size):
    """With fewer words than the beam has places, nothing impossible is put out and the plain search is equalled."""
    decoding = a_decoding(profile, width, num_hypotheses=min(2, width), early_stopping="first", max_length=6)
    batch = [(a_model(n, size), Segment((5, EOS), decoding)) for n in range(4)]

    found = run(batch)

    for (model, segment), one in zip(batch, found, strict=True):
        assert_equal(one, plain(model, segment))
        assert all(PAD not in h.ids for h in one[0])


@pytest.mark.parametrize("profile", PLAIN)
@pytest.mark.parametrize("width", [1, 4])
def test_masked_words_are_never_chosen(profile, width):
    """What the graph masks is no candidate, even where only the end token is left."""
    decoding = a_decoding(profile, width, num_hypotheses=width, max_length=5)
    only_the_end = tuple(word for word in range(12) if word != EOS)
    batch = [
        (a_model(n, masked=only_the_end if n % 2 else (3, 4, 5, 6)), Segment((5, EOS), decoding)) for n in range(6)
    ]

    found = run(batch)

    for n, (hypotheses, _) in enumerate(found):
        if n % 2:
            assert [h.ids for h in hypotheses] == [()]
        else:
            assert hypotheses
            assert not {3, 4, 5, 6} & {word for h in hypotheses for word in h.ids}


@pytest.mark.parametrize("profile", PLAIN)
def test_a_source_with_nothing_to_say_leaves_with_nothing(profile):
    """Where all words are masked, the source is finished at once without a hypothesis, and its mates do not notice."""
    decoding = a_decoding(profile, 3)
    good = a_batch(decoding)
    bad = (a_model(1, masked=range(12)), Segment((5, EOS), decoding))

    found = run([good[3], bad, *good[4:]])

    assert found[1] == ((), 1)
    assert [found[0], *found[2:]] == run(good[3:])


@pytest.mark.parametrize("profile", PLAIN)
@pytest.mark.parametrize("width", [1, 4])
@pytest.mark.parametrize("unknown", ["allow", "suppress"])
def test_suppressed_words(profile, width, unknown):
    """Words of the request's and the bundle's list never come; only CTranslate2 shares out their probability."""
    decoding = a_decoding(profile, width, num_hypotheses=width, unknown_handling=unknown)
    batch = a_batch(decoding, seed=6, suppressed_ids=(4, 7))

    found = run(batch)

    for (model, segment), one in zip(batch, found, strict=True):
        assert_equal(one, plain(model, segment))
        assert not {PAD, 4, 7} & {word for h in one[0] for word in h.ids}
    has_unknown = any(UNK in h.ids for hypotheses, _ in found for h in hypotheses)
    assert has_unknown == (unknown == "allow")


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("unknown", ["allow", "suppress"])
def test_greedy_has_a_short_way_that_leads_to_the_same(ties, unknown):
    """Sources come out, after as many steps, as beside one that asks for more, with which all go the long way."""
    batch = a_batch(a_decoding("marian", 1, unknown_handling=unknown), seed=9, ties=ties)
    model, segment = batch[3]
    special = model, replace(segment, attention=True)

    found = run(batch, capacity=len(batch))

    assert found == run([*batch, special], capacity=len(batch) + 1)[:-1]
    for (model, segment), one in zip(batch, found, strict=True):
        assert_equal(one, plain(model, segment))


def strode(
    work: Sequence[tuple[Model, Segment]], *, capacity: int, most: int, broken: frozenset[tuple[int, int]] = frozenset()
) -> tuple[list[tuple[Hypothesis, ...]], set[tuple[bool, int]]]:
    """Hypotheses of each by a search that strides while it has no more than `most` sources; and whether each step was a
    stride, and of how many words. The numbers of source n are not finite from word m on, of the (n, m) that are broken.
    """
    search, waiting, said = (
        Search(Layout.of(work[0][1]), capacity, VOCABULARY, stride=4, most_striding=most),
        [*work],
        {},
    )
    owners: list[int] = []
    found: dict[int, tuple[Hypothesis, ...]] = {}
    steps = set()
    while waiting or owners:
        while waiting and len(owners) < capacity:
            owners.append(len(work) - len(waiting))
            said[owners[-1]] = ()
            search.admit(waiting.pop(0)[1])
        query = search.ask()
        count = query.seen.shape[1]
        steps.add((query.is_stride, count))
        assert query.is_stride is (len(owners) <= most)
        histories = [said[owner] for owner in owners]
        logp, ids, silent = [], [], {}
        for place in range(count):
            order = [work[owner][0].order(words)[: query.best] for owner, words in zip(owners, histories, strict=True)]
            rows = [
                work[owner][0].logp(words)[best] for owner, words, best in zip(owners, histories, order, strict=True)
            ]
            for g, (owner, words) in enumerate(zip(owners, histories, strict=True)):
                if any(owner == n and len(words) >= m for n, m in broken):
                    rows[g] = np.zeros_like(rows[g])
                    silent.setdefault(g, place)
            ids.append(order)
            logp.append(rows)
            histories = [(*words, int(best[0])) for words, best in zip(histories, order, strict=True)]
        reply = np.array(logp).swapaxes(0, 1), np.array(ids).swapaxes(0, 1)
        unasked = np.zeros(reply[0].shape[:2], np.float32)
        advance = search.advance(Reply(*reply, unasked[..., :0, None], unasked, broken=silent))
        for g in range(len(owners)):
            words = said[owners[g]]
            if g not in advance.finished:
                newest = search.ask().ids[g, 0]
                read = [*words, *reply[1][g, : int(advance.kept[g]) - 1, 0].tolist(), int(newest)]
                said[owners[g]] = tuple(read)
                assert search.length(g) == len(read) == len(words) + advance.kept[g]
        for g in reversed(advance.finished):
            found[owners[g]] = search.decoded(g).hypotheses
            search.remove(g)
            owners[g] = owners[-1]
            del owners[-1]
    return [found[number] for number in range(len(work))], steps


@pytest.mark.parametrize("unknown", ["allow", "suppress"])
@pytest.mark.parametrize(("capacity", "most"), [(5, 5), (5, 2), (1, 5)])
def test_what_a_decoder_reads_of_itself_decides_nothing(unknown, capacity, most):
    """Sources come out as by single steps, whoever strides beside them: with the best word forbidden at some places,
    limits within strides, and a model that leaves no word to choose.
    """
    batch = a_batch(a_decoding("marian", 1, unknown_handling=unknown), seed=9)
    batch += [
        (model, replace(segment, decoding=replace(segment.decoding, max_length=n)))
        for n, (model, segment) in enumerate(batch[:5], 1)
    ]
    batch.insert(2, (a_model(1, masked=range(12)), batch[0][1]))

    found, steps = strode(batch, capacity=capacity, most=most)

    assert found == [hypotheses for hypotheses, _ in run(batch)]
    assert found[2] == ()
    assert steps == ({(True, 4), (False, 1)} if most < capacity else {(True, 4)})


def test_a_stride_whose_numbers_break_off_keeps_what_lies_before():
    """A source is lost with the word at which single steps would lose it; its mates do not notice."""
    batch = a_batch(a_decoding("marian", 1), seed=9)
    whole, _ = strode(batch, capacity=3, most=3)
    lengths = [len(hypotheses[0].token_logps) for hypotheses in whole]
    broken = frozenset({(0, 0), (1, lengths[1] - 1), (2, lengths[2])})

    found, _ = strode(batch, capacity=3, most=3, broken=broken)

    assert found[:2] == [(), ()]
    assert found[2:] == whole[2:]


CHANGES = [
    {"min_length": 4},
    {"repetition_penalty": 1.7},
    {"repetition_penalty": 0.8},
    {"no_repeat_ngram_size": 1},
    {"no_repeat_ngram_size": 2},
    {"no_repeat_ngram_size": 3, "repetition_penalty": 1.3, "min_length": 2},
]


@pytest.mark.parametrize("profile", PLAIN)
@pytest.mark.parametrize("width", [1, 4])
@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_changed_scores(profile, width, change):
    """Penalties and bans, which see the best words and a few named ones, equal a version that has the whole row."""
    decoding = a_decoding(profile, width, num_hypotheses=width, max_length=14, **change)
    batch = [(a_model(n, 9, end=0), Segment((5, EOS), decoding)) for n in range(8)]

    found = run(batch)

    for (model, segment), one in zip(batch, found, strict=True):
        assert_equal(one, plain(model, segment))


@pytest.mark.parametrize("profile", PLAIN)
@pytest.mark.parametrize("width", [1, 4])
@pytest.mark.parametrize(("size", "suppressed"), [(9, ()), (9, (5,)), (4, ()), (4, (3,)), (4, (EOS, 3))], ids=str)
@pytest.mark.parametrize("unknown", ["suppress", "allow"])
def test_a_least_length_has_a_short_way_that_leads_to_the_same(profile, width, size, suppressed, unknown, monkeypatch):
    """Sources that ask for nothing else are changed at once, with the same numbers to the last bit; also where every
    other word is forbidden, beside sources that ask for more, and after a prefix.
    """
    vocabulary = replace(VOCABULARY, suppressed_ids=(PAD, *suppressed))
    plainly = a_decoding(profile, width, num_hypotheses=width, max_length=9, min_length=5, unknown_handling=unknown)
    several = replace(plainly, no_repeat_ngram_size=2, min_length=3)
    batch = [(Model(n, size, end=0), Segment((5, EOS), several if n % 3 == 2 else plainly)) for n in range(5)]
    batch.append((Model(9, size, end=0), Segment((5, EOS), plainly, prefix=(3,))))

    at_once = run(batch, vocabulary=vocabulary)
    monkeypatch.setattr(Weigher, "only_delays_end", lambda *_: False)

    assert at_once == run(batch, vocabulary=vocabulary)


@pytest.mark.parametrize("profile", PLAIN)
@pytest.mark.parametrize("width", [1, 4])
def test_a_forced_prefix(profile, width):
    """Every hypothesis begins with it. Its words cost nothing in hf and ct2, and their probability in the others."""
    decoding = a_decoding(profile, width, num_hypotheses=1, min_length=4)
    batch = [
        (a_model(n), Segment((5, EOS), replace(decoding, max_length=limit), prefix=(4, 1, 0, 4)[: n % 5]))
        for n, limit in enumerate((9, 9, 9, 30, 30, 12, 12, 7, 8, 6))
    ]

    found = run(batch)

    for (model, segment), one in zip(batch, found, strict=True):
        assert_equal(one, plain(model, segment))
        assert all(h.ids[: len(segment.prefix)] == segment.prefix for h in one[0])


@pytest.mark.parametrize("profile", PLAIN)
@pytest.mark.parametrize("width", [1, 3])
def test_a_prefix_as_long_as_the_limit(profile, width):
    """A prefix that fills the limit is all there is, and the reason is LENGTH."""
    decoding = a_decoding(profile, width, max_length=3)

    (((best,), steps),) = run([(a_model(1), Segment((5, EOS), decoding, prefix=(4, 5, 6)))])

    assert (best.ids, best.reason, steps) == ((4, 5, 6), FinishReason.LENGTH, 3)


@pytest.mark.parametrize("width", [1, 4])
def test_fairseq_ends_what_is_open_at_the_limit(width):
    """Its end token costs what the model says, and the reason is LENGTH all the same."""
    decoding = a_decoding("fairseq", width, max_length=3)

    (((best,), steps),) = run([(a_model(1, end=-9), Segment((5, EOS), decoding))])

    assert (len(best.ids), len(best.token_logps), best.reason, steps) == (2, 3, FinishReason.LENGTH, 3)
    assert best.token_logps[-1] < -5


@pytest.mark.parametrize("profile", PLAIN)
@pytest.mark.parametrize("beam", [1, 4])
def test_scoring_a_target(profile, beam):
    """Forced: the one hypothesis is the target with the model's own log-probabilities, whatever else is asked for."""
    decoding = a_decoding(
        profile,
        beam,
        num_hypotheses=beam,
        min_length=9,
        no_repeat_ngram_size=1,
        repetition_penalty=2.0,
        unknown_handling="suppress",
        max_length=2,
        length_penalty=0.5,
    )
    targets = [(), (4,), (4, 4, 4), (UNK, PAD, 5), (3, 4, 5, 6, 7, 8, 9, 10, 11, 3, 3)]
    batch = [
        (a_model(n), Segment((5, EOS), decoding, strategy=Forced(target), suppressed_ids=(4,), attention=True))
        for n, target in enumerate(targets)
    ]

    found = run(batch, capacity=3)

    for (hypotheses, steps), target in zip(found, targets, strict=True):
        (one,) = hypotheses
        assert (one.ids, one.reason, steps) == (target, FinishReason.STOP, len(target) + 1)
        assert one.score == pytest.approx(one.logp / (len(target) + 1) ** 0.5)


@pytest.mark.parametrize("profile", PLAIN)
@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("prefix", [(), (4, 5)])
def test_alternatives(profile, width, prefix):
    """Each of the best words after the prefix is continued by a search for one hypothesis, in their order."""
    decoding = a_decoding(
        profile, width, num_hypotheses=min(2, width), early_stopping="first", length_penalty=0.0, max_length=30
    )
    strategy = Alternatives(3, 0.05)
    batch = [(a_model(n, end=2.0), Segment((5, EOS), decoding, strategy=strategy, prefix=prefix)) for n in range(7)]

    found = run(batch, capacity=3)

    for (model, segment), (hypotheses, steps) in zip(batch, found, strict=True):
        row = row_of(model, segment, width)
        at_prefix = ROOT
        for _ in prefix:
            (at_prefix,) = offered(row, [at_prefix], 1)
        firsts = offered(row, [at_prefix], 3)
        likely = [f for n, f in enumerate(firsts) if n == 0 or math.exp(model.logp(f[1][:-1])[f[1][-1]]) >= 0.05]
        alone = replace(segment, prefix=(), decoding=replace(decoding, num_hypotheses=1))
        expected, lengths = [], []
        for first in likely:
            ended, more = [first], 0
            if first[1][-1] != EOS:
                ended, more = (PLAIN[profile] if width > 1 else greedy)(row, alone, width, first)
            expected.append(max(ended, key=lambda e: rank_of(e, decoding))[1])
            lengths.append(len(first[1]) + more)
        assert [h.ids for h in hypotheses] == [tuple(w for w in words if w != EOS) for words in expected]
        assert steps == max(lengths)
    counts = {len(hypotheses) for hypotheses, _ in found}
    assert len(counts) > 1, "the data does not hurt: nothing was too improbable"


def test_the_best_alternative_needs_no_probability():
    """An alternative less probable than the least is left out, but for the best."""
    segment = Segment((5, EOS), a_decoding("marian", 2), strategy=Alternatives(3, 1.0))

    ((found, _),) = run([(a_model(1), segment)])

    assert len(found) == 1


def costlier(row: Row, penalty: float, taken: Counter[int]) -> Row:
    return lambda words: [(w, s - penalty * taken[w]) for w, s in row(words)]


@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.parametrize("penalty", [0.0, 0.5, 5.0])
def test_diverse_beams(width, penalty):
    """Groups choose in turn: what earlier ones chose at a step costs later ones, in their scores, too."""
    groups = 3
    decoding = a_decoding("marian", groups * width, num_hypotheses=groups * width, max_length=7)
    batch = [(a_model(n), Segment((5, EOS), decoding, strategy=Diversity(groups, penalty))) for n in range(7)]

    found = run(batch, capacity=4)

    for (model, segment), (hypotheses, steps) in zip(batch, found, strict=True):
        row = row_of(model, segment, width)
        beams, ended, length = [[ROOT] for _ in range(groups)], [[] for _ in range(groups)], 0
        while any(beams):
            length += 1
            taken = Counter()
            for group in range(groups):
                chosen = offered(costlier(row, penalty, taken), beams[group], width - len(ended[group]))
                taken.update(words[-1] for _, words in chosen)
                ended[group] += [c for c in chosen if c[1][-1] == EOS or length == 7]
                beams[group] = [c for c in chosen if c[1][-1] != EOS and length < 7]
        every = [e for group in ended for e in sorted(group, key=lambda e: -rank_of(e, decoding))]
        best = sorted(every, key=lambda e: -rank_of(e, decoding))
        assert [h.ids for h in hypotheses] == [tuple(w for w in words if w != EOS) for _, words in best]
        assert [h.score for h in hypotheses] == pytest.approx([rank_of(e, decoding) for e in best])
        assert steps == length


@pytest.mark.parametrize("profile", PLAIN)
def test_diverse_beams_without_a_penalty_are_the_same_beam(profile):
    """With a penalty of 0 all groups find what a beam of their width finds."""
    single = a_decoding(profile, 2, num_hypotheses=2, early_stopping="first", max_length=9)
    grouped = replace(single, beam_size=6, num_hypotheses=6)
    models = [a_model(n) for n in range(5)]

    found = run([(m, Segment((5, EOS), grouped, strategy=Diversity(3, 0.0))) for m in models])

    for model, (hypotheses, _) in zip(models, found, strict=True):
        expected, _ = plain(model, Segment((5, EOS), replace(single, num_hypotheses=2)))
        assert {h.ids for h in hypotheses} >= {tuple(w for w in words if w != EOS) for _, words in expected}


def sampled(seed: int, count: int = 1, **options) -> tuple[Model, Segment]:
    decoding = a_decoding("marian", 1, num_hypotheses=count, max_length=12)
    strategy = Sampling(seed, **options)
    return a_model(7, end=-1), Segment((5, EOS), decoding, strategy=strategy)


def test_samples_depend_on_their_seed_alone():
    """The same seed gives the same draws beside any mates, at any place, from any step; other seeds give others."""
    alone = [run([sampled(seed, 4, temperature=1.5)])[0] for seed in range(6)]
    others = [sampled(100 + seed, 4, top_k=3) for seed in range(9)]

    mixed = run([*others[:3], *(sampled(seed, 4, temperature=1.5) for seed in range(6)), *others[3:]], capacity=4)

    assert mixed[3:9] == alone
    drawn = [h.ids for hypotheses, _ in alone for h in hypotheses]
    assert len(set(drawn)) == len(drawn)


def test_samples_follow_the_model():
    """Of 4,000 draws, first words come as often as the model says: chi-square below the 99.9th percentile."""
    model, segment = sampled(0, 4000)
    segment = replace(segment, decoding=replace(segment.decoding, max_length=1))

    ((found, _),) = run([(model, segment)])

    counts = Counter(h.ids[0] if h.ids else EOS for h in found)
    p = np.exp(model.logp(()).astype(np.float64))
    p[PAD] = 0
    expected = p / p.sum() * 4000
    assert counts[PAD] == 0
    assert sum((counts[w] - e) ** 2 / e for w, e in enumerate(expected) if e) < 29.6  # 10 degrees of freedom


def test_a_temperature_near_zero_is_greedy():
    """As is the best word alone."""
    model, segment = sampled(3)
    (((best,), _),) = run([(model, Segment((5, EOS), segment.decoding))])

    for options in ({"temperature": 1e-6}, {"top_k": 1}, {"top_p": 1e-9}):
        (((found,), _),) = run([sampled(3, **options)])
        assert found == best


@pytest.mark.parametrize("profile", PLAIN)
def test_samples_obey_what_words_may_come(profile):
    """Suppressed words, the minimum length and n-grams hold for draws, too, with CTranslate2's renormalisation."""
    decoding = a_decoding(profile, 1, num_hypotheses=20, min_length=3, no_repeat_ngram_size=1, max_length=12)
    segment = Segment((5, EOS), decoding, strategy=Sampling(1, temperature=3.0), suppressed_ids=(4,), prefix=(7,))

    ((found, _),) = run([(a_model(3), segment)])

    assert len({h.ids for h in found}) > 15
    for h in found:
        assert h.ids[0] == 7
        assert len(h.ids) >= 3
        assert len(set(h.ids)) == len(h.ids)
        assert not {4, PAD} & set(h.ids)


@pytest.mark.parametrize("kind", ["power", "gnmt"])
@pytest.mark.parametrize("word_penalty", [0.0, -0.3])
@pytest.mark.parametrize("coverage", [0.0, 0.4])
def test_penalties_of_whole_hypotheses(kind, word_penalty, coverage):
    """Rankings are by the length penalty's kind, a penalty for each word and one for source words left unattended."""
    decoding = a_decoding(
        "marian",
        4,
        num_hypotheses=4,
        length_penalty=0.8,
        length_penalty_kind=kind,
        word_penalty=word_penalty,
        coverage_penalty=coverage,
    )
    batch = a_batch(decoding, seed=8, attention=True)

    found = run(batch)

    for (model, segment), (hypotheses, _) in zip(batch, found, strict=True):
        ended, _ = marian(row_of(model, segment, 4), segment, 4)
        length = len(segment.ids)

        def penalty(words, model=model, length=length):
            total = sum(model.attention(words[:t], length).astype(np.float64) for t in range(len(words)))
            return coverage * sum(math.log(min(t, 1.0)) for t in total if t > 0)

        expected = sorted(((rank_of(e, decoding) + penalty(e[1]), e[1]) for e in ended), reverse=True)
        assert [h.score for h in hypotheses] == pytest.approx([s for s, _ in expected], abs=1e-6)
        assert [h.ids for h in hypotheses] == [tuple(w for w in words if w != EOS) for _, words in expected]


def test_only_who_asked_gets_attention():
    """A source that asks for attention has it for itself alone, padding cut off; copying unknown words asks for it."""
    decoding = a_decoding("hf", 3, num_hypotheses=3)
    batch = [(model, replace(segment, attention=bool(n % 3))) for n, (model, segment) in enumerate(a_batch(decoding))]
    copying = replace(decoding, unknown_handling="copy")

    found = run(batch)
    ((copied, _),) = run([(a_model(0), Segment((5, 6, EOS), copying, attention=True))])

    for n, (hypotheses, _) in enumerate(found):
        for h in hypotheses:
            assert (h.attention is not None) == bool(n % 3)
    assert copied[0].attention is not None


def test_sources_of_all_kinds_in_one_batch():
    """Every option beside every other, some of the sources taken out in the middle: each comes out as it does alone."""
    base = a_decoding("hf", 3, num_hypotheses=2)
    kinds = [
        {},
        {"prefix": (4, 5)},
        {"suppressed_ids": (4,)},
        {"attention": True},
        {"strategy": Alternatives(1)},
        {"decoding": replace(base, repetition_penalty=1.4)},
        {"decoding": replace(base, early_stopping="exhaustive", length_penalty=0.3)},
        {"decoding": replace(base, min_length=5, coverage_penalty=0.2)},
        {"decoding": replace(base, no_repeat_ngram_size=1, max_length=5)},
    ]
    work = [(a_model(n), replace(Segment((5,) * (n % 4) + (EOS,), base), **kinds[n % len(kinds)])) for n in range(45)]
    dropped = frozenset(range(0, 45, 4))

    found = run(work, capacity=7, drop=dropped)

    for n, one in enumerate(work):
        if n not in dropped:
            assert found[n] == run([one])[0]


@pytest.mark.parametrize(("penalty", "width"), [(0.0, 2), (0.0, 4), (0.3, 3)])
def test_a_source_that_moves_stops_in_time(penalty, width):
    """Sources whose live hypotheses decide over their end need the same steps alone and among those that leave."""
    decoding = a_decoding("hf", width, early_stopping="exhaustive", length_penalty=penalty, max_length=30)
    work = [(a_model(n, 30, end=1.5), Segment((5, EOS), decoding)) for n in range(60)]

    assert run(work, capacity=9) == run(work, capacity=1)


def test_an_open_hypothesis_at_the_limit_says_so():
    """At the limit, what has not ended counts as it is and its reason is LENGTH."""
    search = Search(Layout(1, 1, "marian"), 1, VOCABULARY)
    search.admit(Segment((5, EOS), a_decoding("marian", 1, max_length=1)))

    search.ask()
    search.advance(
        Reply(
            np.array([[[-0.25]]], np.float32),
            np.array([[[7]]]),
            np.zeros((1, 1, 0), np.float32),
            np.zeros((1, 1), np.float32),
        )
    )

    assert search.decoded(0).hypotheses == (Hypothesis((7,), -0.25, -0.25, FinishReason.LENGTH, (-0.25,)),)


@pytest.mark.parametrize(
    ("strategy", "beam", "expected"),
    [
        (None, 1, Layout(1, 1, "marian")),
        (None, 4, Layout(1, 4, "ct2")),
        (Forced((3,)), 4, Layout(1, 1, "marian")),
        (Sampling(1), 4, Layout(2, 1, "marian", is_drawn=True)),
        (Diversity(2, 0.5), 4, Layout(2, 2, "ct2")),
        (Diversity(4, 0.5), 4, Layout(4, 1, "marian")),
        (Alternatives(5), 4, Layout(5, 4, "ct2")),
    ],
)
def test_layouts(strategy, beam, expected):
    """What strategies need of a level; at width 1 the profile makes no difference to who can share a batch."""
    segment = Segment((5, EOS), a_decoding("ct2", beam, num_hypotheses=2))

    assert Layout.of(segment if strategy is None else replace(segment, strategy=strategy)) == expected


def test_what_is_asked_is_little():
    """Plain sources name no words, want no attention, and as many best words as the rules may pass over."""
    search = Search(Layout(1, 4, "hf"), 2, VOCABULARY)
    for _ in range(2):
        search.admit(Segment((5, EOS), a_decoding("hf", 4)))

    query = search.ask()

    assert (query.named.shape, query.best, query.attention) == ((2, 4, 0), 10, False)
    assert repr(search) == (
        "<Search Layout(beams=1, width=4, profile='hf', is_drawn=False), 2 sources, lengths [0, 0]>"
    )


OPEN, CLOSE = 4, 5


class Balanced:
    """Brackets and other words: what may follow leaves tokens to close what is open."""

    def __init__(self, limit: int, missing: tuple[int, ...] = ()) -> None:
        self.limit, self.missing = limit, missing

    def following(self, said: Words) -> list[int]:
        depth, left = said.count(OPEN) - said.count(CLOSE), self.limit - len(said)
        leads_to = dict.fromkeys(range(6, 12), depth) | {OPEN: depth + 1, CLOSE: depth - 1}
        fits = [word for word, after in leads_to.items() if 0 <= after <= left - 2 and word not in self.missing]
        return sorted([*fits, *([EOS] if depth == 0 and said else [])])

    def walk(self) -> "Balanced":
        return self

    def expect(self, beginnings: Sequence[Sequence[int]], left: int) -> None:
        assert all(len(beginning) + left == self.limit for beginning in beginnings)

    def allowed(self, said: Sequence[int]) -> Allowed:
        words = self.following(tuple(said))
        return Allowed(np.array(words, np.int64), 12 - len(words))

    def fitting(self, said: Sequence[int], words: Sequence[int]) -> set[int]:
        return set(words)


@pytest.mark.parametrize("profile", ["marian", "fairseq", "hf", "ct2"])
@pytest.mark.parametrize("width", [1, 2, 5])
def test_a_phrasing_is_searched_as_if_there_were_nothing_else(profile, width):
    """The plain search over what is allowed finds the same, and all that is found is balanced."""
    decoding = a_decoding(profile, width, num_hypotheses=width)
    for number, limit in enumerate((3, 5, 8, 14)):
        model = a_model(number)
        segment = Segment((5, EOS), replace(decoding, max_length=limit), phrasing=Balanced(limit))
        unlimited = replace(segment, decoding=replace(segment.decoding, max_length=limit + 1))

        def row(words: Words, model: Model = model, limit: int = limit) -> list[tuple[int, float]]:
            return [(word, float(model.logp(words)[word])) for word in Balanced(limit).following(words)]

        [(hypotheses, _)] = run([(model, segment)])

        ended, _ = (PLAIN[profile] if width > 1 else greedy)(row, unlimited, width)
        best = sorted(ended, key=lambda e: -rank_of(e, decoding))[:width]
        assert [h.ids for h in hypotheses] == [words[:-1] for _, words in best]
        assert all(h.ids.count(OPEN) == h.ids.count(CLOSE) and h.reason is FinishReason.STOP for h in hypotheses)


@pytest.mark.parametrize("width", [1, 4])
@pytest.mark.parametrize("attention", [False, True])
def test_where_nothing_can_follow_the_search_ends_and_says_so(width, attention):
    """With the best of what is open; and what is open at the limit ranks behind what is whole."""
    decoding = a_decoding("marian", width, num_hypotheses=width)
    nothing = Balanced(9, missing=(CLOSE, *range(6, 12)))
    segment = Segment((5, EOS), replace(decoding, max_length=9), phrasing=nothing, attention=attention)
    search = Search(Layout.of(segment), 1, VOCABULARY)
    search.admit(segment)
    running = [Running(0, a_model(1), segment, [()] * width)]
    advance = search.advance(answer(search.ask(), running))
    while not advance.finished:
        follow(running, advance, search.ask().ids)
        advance = search.advance(answer(search.ask(), running))

    [hypothesis] = search.decoded(0).hypotheses

    assert hypothesis.reason is FinishReason.GRAMMAR
    assert set(hypothesis.ids) == {OPEN}
    assert len(hypothesis.token_logps) == len(hypothesis.ids)
    assert hypothesis.attention is None or hypothesis.attention.shape == (len(hypothesis.ids), 2)
    whole = replace(hypothesis, is_open=False, score=hypothesis.score - 9)
    assert whole.rank < hypothesis.rank
