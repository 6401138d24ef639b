"""The search over token trees, against brute force and against a plain beam search with lists."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from dragoman.server.domain import FinishReason, Hypothesis
from dragoman.server.search import Search, Terms

EOS, START = 0, 99
Model = Callable[[tuple[int, ...]], np.ndarray]
"""Words so far -> log-probabilities of the next one."""


def a_model(seed: int, vocabulary: int, *, ties: bool) -> Model:
    """A language model whose every history has its own distribution; rounded so that equal scores abound."""

    def logp(history: tuple[int, ...]) -> np.ndarray:
        rng = np.random.default_rng([seed, *history])
        values = rng.normal(size=vocabulary) * 2
        if ties:
            return -np.round(np.abs(values))  # not normalised, and full of equals
        return values - np.log(np.exp(values).sum())

    return logp


def run(search: Search, models: list[Model], k: int) -> list[tuple[Hypothesis, ...]]:
    """Step until every source is finished; the models see only what the search asks for."""
    running = dict(enumerate(models))
    histories: dict[int, list[tuple[int, ...]]] = {g: [()] * search.width for g in running}
    order = list(running)
    results: dict[int, tuple[Hypothesis, ...]] = {}
    while order:
        ids, depth = search.frontier()
        logp = np.zeros((len(order), search.width, k), np.float32)
        words = np.zeros((len(order), search.width, k), np.int64)
        for row, g in enumerate(order):
            for place in range(search.width):
                history = histories[g][place]
                assert len(history) == depth[row, place]
                if not history:
                    assert ids[row, place] == START
                full = running[g](history).astype(np.float32)
                best = np.lexsort((np.arange(len(full)), -full))[:k]
                logp[row, place], words[row, place] = full[best], best
        advance = search.advance(logp, words)
        ids, _ = search.frontier()
        for row, g in enumerate(order):
            histories[g] = [
                (*histories[g][advance.parents[row, p]], int(ids[row, p]))
                if advance.live[row, p]
                else ids_of_dead(histories, g)
                for p in range(search.width)
            ]
        for row in reversed(advance.finished):
            results[order[row]] = search.hypotheses(row)
            search.remove(row)
            order[row] = order[-1]
            del order[-1]
    return [results[g] for g in range(len(models))]


def ids_of_dead(histories: dict[int, list[tuple[int, ...]]], g: int) -> tuple[int, ...]:
    """A dead place needs some history of the right length; its numbers must not matter."""
    return (*histories[g][0], 1)


def decode(
    models: list[Model],
    *,
    width: int,
    k: int,
    limits: list[int],
    penalty: float,
    n_best: int = 1,
    suppressed: tuple[int, ...] = (),
) -> list[tuple[Hypothesis, ...]]:
    search = Search(width, len(models), start_id=START, eos_id=EOS, suppressed=suppressed)
    for limit in limits:
        search.admit(Terms(limit, penalty, n_best))
    return run(search, models, k)


def every_sequence(
    model: Model, vocabulary: int, limit: int, suppressed: tuple[int, ...]
) -> list[tuple[float, tuple[int, ...], bool]]:
    """All sequences up to the limit with their summed log-probabilities: ended ones, and open ones at the limit."""
    found = []
    for length in range(1, limit + 1):
        for words in itertools.product(range(vocabulary), repeat=length):
            if EOS in words[:-1] or set(words) & set(suppressed):
                continue
            if words[-1] == EOS or length == limit:
                total = sum(float(np.float32(model(words[:t])[w])) for t, w in enumerate(words))
                found.append((total, words, words[-1] == EOS))
    return found


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_a_beam_wide_enough_for_everything_finds_the_best_sequences(seed, ties, penalty):
    """With a beam larger than the number of sequences, the n best are those of a full enumeration, scores included."""
    vocabulary, limit, n_best = 4, 3, 5
    model = a_model(seed, vocabulary, ties=ties)
    everything = sorted(
        (t / len(w) ** penalty for t, w, _ in every_sequence(model, vocabulary, limit, ())), reverse=True
    )

    (found,) = decode([model], width=40, k=vocabulary, limits=[limit], penalty=penalty, n_best=n_best)

    assert [h.score for h in found] == pytest.approx(everything[:n_best], abs=1e-6)
    assert len({(*h.ids, h.reason) for h in found}) == n_best
    for h in found:
        words = (*h.ids, EOS) if h.reason is FinishReason.STOP else h.ids
        assert h.logp == pytest.approx(sum(model(words[:t])[w] for t, w in enumerate(words)), abs=1e-5)


def plain_beam(
    model: Model, vocabulary: int, width: int, limit: int, penalty: float, suppressed: tuple[int, ...]
) -> list[tuple[float, tuple[int, ...]]]:
    """Marian's beam search with lists, one source at a time: what `Search` must equal."""
    beams: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    room, ended = width, []
    while beams:
        candidates = []
        for place, (score, words) in enumerate(beams):
            for word, logp in enumerate(model(words).astype(np.float32)):
                if word not in suppressed:
                    candidates.append((-(score + float(logp)), place, word))
        chosen = [(-s, (*beams[p][1], w)) for s, p, w in sorted(candidates)[:room]]
        room -= sum(w[-1] == EOS for _, w in chosen)
        ended += [(s / len(w) ** penalty, w) for s, w in chosen if w[-1] == EOS or len(w) == limit]
        beams = [(s, w) for s, w in chosen if w[-1] != EOS and len(w) < limit]
    return sorted(ended, key=lambda e: -e[0])


@pytest.mark.parametrize("width", [1, 2, 4, 7])
@pytest.mark.parametrize("penalty", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("ties", [False, True])
def test_sources_searched_together_equal_a_plain_search_of_each(width, penalty, ties):
    """Twelve sources of different limits, ending at different steps, each come out as a list-based search has them."""
    vocabulary, suppressed = 9, (1,)
    models = [a_model(100 + seed, vocabulary, ties=ties) for seed in range(12)]
    limits = [1, 2, 3, 4, 5, 6, 7, 8, 3, 1, 40, 12]

    found = decode(
        models,
        width=width,
        k=min(width + 1, vocabulary),
        limits=limits,
        penalty=penalty,
        n_best=width,
        suppressed=suppressed,
    )

    for model, limit, hypotheses in zip(models, limits, found, strict=True):
        expected = plain_beam(model, vocabulary, width, limit, penalty, suppressed)[:width]
        assert [h.score for h in hypotheses] == pytest.approx([s for s, _ in expected], abs=1e-6)
        if not ties:
            assert [h.ids for h in hypotheses] == [tuple(w for w in words if w != EOS) for _, words in expected]


def test_a_masked_word_is_never_chosen():
    """Words whose log-probability says `masked` are not candidates, even when nothing else is left but the end."""
    search = Search(2, 1, start_id=START, eos_id=EOS, suppressed=())
    search.admit(Terms(5, 1.0, 2))

    advance = search.advance(np.array([[[-0.5, -1e9], [-0.1, -0.1]]], np.float32), np.array([[[EOS, 3], [4, 5]]]))

    assert advance.finished == [0]
    assert [h.ids for h in search.hypotheses(0)] == [()]


def test_an_open_hypothesis_at_the_limit_says_so():
    """At the limit, what has not ended counts as it is and its reason is LENGTH."""
    search = Search(1, 1, start_id=START, eos_id=EOS, suppressed=())
    search.admit(Terms(1, 1.0, 1))

    search.advance(np.array([[[-0.25]]], np.float32), np.array([[[7]]]))

    assert search.hypotheses(0) == (Hypothesis((7,), -0.25, -0.25, FinishReason.LENGTH),)


def test_long_trees_outgrow_their_first_arrays():
    """A hypothesis of 100 words is read back in full."""
    search = Search(1, 1, start_id=START, eos_id=EOS, suppressed=())
    search.admit(Terms(100, 0.0, 1))

    for word in range(1, 101):
        search.advance(np.array([[[-1.0]]], np.float32), np.array([[[word]]]))

    assert search.hypotheses(0)[0].ids == tuple(range(1, 101))
