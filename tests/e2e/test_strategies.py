"""Every strategy and option on exported random models: side by side in one lane, scored again, and cancelled."""

import threading
from dataclasses import replace

import numpy as np
import pytest

from dragoman.bundle.manifest import Decoding
from dragoman.server.core.errors import Cancelled
from dragoman.server.core.segments import FinishReason, Segment
from dragoman.server.core.strategies import Engine
from dragoman.server.decode.strategies.alternatives import Alternatives
from dragoman.server.decode.strategies.diversity import Diversity
from dragoman.server.decode.strategies.forced import Forced
from dragoman.server.decode.strategies.sampling import Sampling
from dragoman.server.runtime import run_limits

VOCABULARY, EOS, UNK = 320, 0, 1
GREEDY = Decoding(max_length=25)
BEAM = Decoding(beam_size=4, num_hypotheses=4, max_length=25)

KINDS: dict[str, dict[str, object]] = {
    "greedy": {"decoding": GREEDY},
    "greedy, shortlist": {"decoding": replace(GREEDY, shortlist=True)},
    "marian": {"decoding": BEAM},
    "fairseq": {"decoding": replace(BEAM, profile="fairseq", min_length=1)},
    "hf": {"decoding": replace(BEAM, profile="hf", early_stopping="heuristic")},
    "ct2": {"decoding": replace(BEAM, profile="ct2", patience=1.5)},
    "exhaustive": {"decoding": replace(BEAM, profile="hf", early_stopping="exhaustive", length_penalty=0.5)},
    "sample": {"decoding": replace(GREEDY, num_hypotheses=4), "strategy": Sampling(5, temperature=1.3)},
    "sample, cut": {"decoding": replace(GREEDY, num_hypotheses=4), "strategy": Sampling(6, top_k=20, top_p=0.8)},
    "diverse": {"decoding": BEAM, "strategy": Diversity(2, 0.7)},
    "alternatives": {"decoding": BEAM, "strategy": Alternatives(3)},
    "alternatives, prefix": {"decoding": GREEDY, "strategy": Alternatives(4), "prefix": (9, 8)},
    "forced": {"decoding": BEAM, "strategy": Forced((7, 8, UNK, 7))},
    "prefix": {"decoding": replace(BEAM, profile="hf"), "prefix": (30, 31, 32)},
    "suppressed": {"decoding": replace(BEAM, profile="ct2"), "suppressed_ids": tuple(range(2, 40))},
    "attention": {"decoding": replace(BEAM, coverage_penalty=0.3), "attention": True},
    "repetition": {"decoding": replace(BEAM, repetition_penalty=1.6, no_repeat_ngram_size=2, min_length=10)},
    "minimum": {"decoding": replace(GREEDY, min_length=12)},
    "unknown words": {"decoding": replace(BEAM, unknown_handling="copy")},
}


def sources(count: int, seed: int = 0) -> list[tuple[int, ...]]:
    rng = np.random.default_rng(seed)
    return [(*map(int, rng.integers(2, VOCABULARY, n)), EOS) for n in rng.integers(0, 40, count)]


def test_all_strategies_in_one_lane(tiny, decoder):
    """Three sources of each kind, submitted at once, come out exactly as each does alone."""
    segments = [Segment(s, **KINDS[kind]) for n, kind in enumerate(KINDS) for s in sources(3, seed=n)]  # type: ignore
    lanes = decoder(tiny, max_batch=8, lanes=1)

    together = lanes.together(segments)

    for segment, answer, alone in zip(segments, together, lanes.one_by_one(segments), strict=True):
        assert answer.hypotheses == alone.hypotheses
        assert answer.steps == alone.steps
        for one, other in zip(answer.hypotheses, alone.hypotheses, strict=True):
            np.testing.assert_array_equal(one.attention, other.attention)
            assert len(one.ids) <= segment.max_target_tokens


@pytest.mark.parametrize(("limit", "most"), [("MAX_LOGITS", 6 * VOCABULARY), ("MAX_SCORES", 16)])
def test_a_step_that_is_too_much_for_one_run_says_the_same(tiny, decoder, monkeypatch, limit, most):
    """It takes several runs of some sources each, also where each wants more than that; all is the same to the bit."""
    segments = [Segment(s, **KINDS[kind]) for n, kind in enumerate(KINDS) for s in sources(3, seed=n)]  # type: ignore
    whole = decoder(tiny, max_batch=8, lanes=1)
    together = whole.together(segments)
    monkeypatch.setattr(run_limits, limit, most)
    parts, counts = decoder(tiny, max_batch=8, lanes=1), []
    split = parts.lanes.runtime._parts
    parts.lanes.runtime._parts = lambda *run: counts.append(len(found := split(*run))) or found

    for answer, other in zip(parts.together(segments), together, strict=True):
        assert answer.hypotheses == other.hypotheses
        for one, same in zip(answer.hypotheses, other.hypotheses, strict=True):
            np.testing.assert_array_equal(one.attention, same.attention)
    assert max(counts) >= 3


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_keeps_its_word(tiny_fp32, decoder, kind):
    """As many hypotheses as were asked for, best first, with the prefix, and without what was suppressed."""
    segments = [Segment(s, **KINDS[kind]) for s in sources(6, seed=3)]  # type: ignore[arg-type]

    answers = decoder(tiny_fp32).together(segments)

    for segment, answer in zip(segments, answers, strict=True):
        found, strategy = answer.hypotheses, segment.strategy
        wanted = {Forced: 1, Alternatives: getattr(strategy, "count", 0)}
        assert len(found) == wanted.get(type(strategy), segment.decoding.num_hypotheses)
        if not isinstance(strategy, Alternatives):
            assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)
        sampled = isinstance(strategy, Sampling)
        assert (answer.engine is Engine.SAMPLING) == sampled
        for h in found:
            assert h.ids[: len(segment.prefix)] == segment.prefix
            assert not set(segment.suppressed_ids) & set(h.ids)
            assert h.logp == pytest.approx(sum(h.token_logps), abs=1e-5)
            if segment.attention:
                assert h.attention is not None
                assert h.attention.shape == (len(h.token_logps), len(segment.ids))
                assert h.attention.sum(1) == pytest.approx(1.0, abs=1e-5)
        if isinstance(strategy, Alternatives):
            firsts = [h.ids[len(segment.prefix) :][:1] for h in found]
            assert len(set(firsts)) == len(firsts)


@pytest.mark.parametrize("kind", ["greedy", "marian", "fairseq", "hf", "ct2", "sample", "repetition"])
def test_a_score_is_what_decoding_reported(tiny, decoder, kind):
    """Scoring an output gives the log-probability of each of its tokens that decoding gave, within 1e-3 in all."""
    lanes = decoder(tiny)
    segments = [Segment(s, **KINDS[kind]) for s in sources(8, seed=5)]  # type: ignore[arg-type]
    decoded = [(s, h) for s, answer in zip(segments, lanes.together(segments), strict=True) for h in answer.hypotheses]

    scored = lanes.together([Segment(s.ids, s.decoding, strategy=Forced(h.ids)) for s, h in decoded])

    for (_, h), answer in zip(decoded, scored, strict=True):
        (again,) = answer.hypotheses
        assert (again.ids, again.reason) == (h.ids, FinishReason.STOP)
        # A beam's rows are multiplied together, and draws share a pool, where their ancestors lie in other slots: sums
        # are added up in another order, and where int8 rounds what that changes to the next integer, the step is seen.
        # Recurrent states carry it to all later steps.
        is_carried = kind != "greedy" or tiny.manifest.architecture.recurrent is not None
        is_rough = is_carried and tiny.manifest.precision == "int8"
        near = 0.05 if is_rough else 1e-4
        assert again.token_logps[: len(h.token_logps)] == pytest.approx(h.token_logps, abs=near)
        if len(again.token_logps) == len(h.token_logps) and not is_rough:
            assert again.logp == pytest.approx(h.logp, abs=1e-3)
    assert any(len(answer.hypotheses[0].ids) > 8 for answer in scored)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_can_be_cancelled(tiny_fp32, decoder, kind):
    """Cancelled at its third step, a segment of any kind costs at most one step more, and its mate is not disturbed."""
    options = dict(KINDS[kind])
    options["decoding"] = replace(options["decoding"], max_length=400, max_length_factor=400.0, min_length=390)  # type: ignore
    if kind == "forced":
        options["strategy"] = Forced((7, 8) * 150)
    lanes = decoder(tiny_fp32, lanes=1)
    mate = Segment((5, 6, 7, EOS), GREEDY)
    (expected,) = lanes.together([mate])
    lanes.observer.steps.clear()
    tickets, answers, answered = [], [], threading.Semaphore(0)
    is_submitted = threading.Event()
    encode = lanes.lanes.runtime.encode
    lanes.lanes.runtime.encode = lambda *inputs, **wanted: (is_submitted.wait(30), encode(*inputs, **wanted))[1]

    def count(*step: object) -> None:
        lanes.observer.steps.append(step)
        if len(lanes.observer.steps) == 3:
            lanes.lanes.cancel(tickets[0])

    def done(answer: object) -> None:
        answers.append((answer, len(lanes.observer.steps)))
        answered.release()

    lanes.observer.on_step = count
    tickets.append(lanes.lanes.submit(Segment((5, 6, 7, 8, EOS), **options), done))  # type: ignore[arg-type]
    is_submitted.set()

    assert answered.acquire(timeout=60)
    ((answer, steps),) = answers
    assert isinstance(answer, Cancelled)
    assert steps <= 4
    assert lanes.together([mate])[0].hypotheses == expected.hypotheses
