"""Changes of single words' scores: from the best words and a few named ones, against a version with the whole row."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from dragoman.bundle.manifest import Decoding, Tokenizer
from dragoman.server.core.phrasing import Allowed
from dragoman.server.core.segments import Segment
from dragoman.server.decode.constraints import Weigher
from dragoman.server.decode.step import Reply
from dragoman.server.decode.strategies.forced import Forced
from dragoman.server.decode.toolkits import num_candidates

EOS, UNK, PAD = 2, 1, 0
VOCABULARY = Tokenizer("sentencepiece", "-", "-", EOS, UNK, 99, (PAD,))
SIZE = 30


def a_reply(words, logp, named_logp, normaliser: float) -> Reply:
    """What the graph says of a single place."""
    place = np.array(words)[None, None], np.array(logp)[None, None], np.array(named_logp)[None, None]
    return Reply(place[1], place[0], place[2], np.array([[normaliser]]))


def of_logits(logits: np.ndarray, named: list[int], best: int) -> Reply:
    """What the graph gives of these logits."""
    normaliser = np.log(np.exp(logits.astype(np.float64)).sum())
    logp = (logits - normaliser).astype(np.float64)
    words = np.lexsort((np.arange(SIZE), -logp))[:best]
    return a_reply(words, logp[words], logp[named], float(normaliser))


def weighed(segment: Segment, tokens: list[int], logits: np.ndarray, *, width: int, best: int = 5):
    """The `best` words that may follow with score and log-probability, as a search would have them."""
    weigher = Weigher(segment, VOCABULARY, width=width)
    assert weigher.is_needed
    assert weigher.acts_at(len(tokens))
    named = weigher.named(tokens)
    reply = of_logits(logits, named, best + weigher.num_lost(tokens))
    words, scores, logp = weigher.weigh(reply, (0, 0), tokens, named)
    order = sorted(np.flatnonzero(scores > -np.inf), key=lambda i: (-scores[i], words[i]))[:best]
    return [(int(words[i]), float(scores[i]), float(logp[i])) for i in order]


def by_the_whole_row(segment: Segment, tokens: list[int], logits: np.ndarray, *, width: int, best: int = 5):
    """The same, each change made where its toolkit makes it."""
    decoding, logits = segment.decoding, logits.astype(np.float64)
    logp = logits - np.log(np.exp(logits).sum())
    banned = {PAD, *segment.suppressed_ids}
    banned |= {UNK} if decoding.unknown_handling == "suppress" else set()
    banned |= {EOS} if len(tokens) < decoding.min_length else set()
    n = decoding.no_repeat_ngram_size
    grams = [tokens[i : i + n] for i in range(len(tokens) - n + 1)] if n else []
    banned |= {gram[-1] for gram in grams if gram[:-1] == tokens[len(tokens) - n + 1 :]}
    n, read = decoding.source_no_repeat_ngram_size, [VOCABULARY.start_id, *tokens]
    grams = [segment.ids[i : i + n] for i in range(len(segment.ids) - n + 1)] if n else []
    banned |= {gram[-1] for gram in grams if len(read) >= n - 1 and list(gram[:-1]) == read[len(read) - n + 1 :]}
    changed = logits.copy()
    for word in set(tokens):
        factor = decoding.repetition_penalty if logits[word] < 0 else 1 / decoding.repetition_penalty
        changed[word] *= factor
    scores = changed - np.log(np.exp(logits).sum())
    if decoding.profile == "hf" and width > 1:
        scores = logp.copy()
        scores[list(set(tokens))] *= decoding.repetition_penalty
    scores[list(banned)] = -np.inf
    if decoding.profile == "ct2":
        scores -= np.log(np.exp(scores).sum())
    order = sorted(np.flatnonzero(scores > -np.inf), key=lambda i: (-scores[i], i))[:best]
    return [(int(i), float(scores[i]), float(logp[i])) for i in order]


OPTIONS = [
    {"min_length": 9},
    {"repetition_penalty": 1.8},
    {"repetition_penalty": 0.6},
    {"no_repeat_ngram_size": 1},
    {"no_repeat_ngram_size": 2},
    {"no_repeat_ngram_size": 3},
    {"source_no_repeat_ngram_size": 1},
    {"source_no_repeat_ngram_size": 2},
    {"source_no_repeat_ngram_size": 3, "no_repeat_ngram_size": 2, "repetition_penalty": 1.8},
    {"min_length": 9, "repetition_penalty": 1.8, "no_repeat_ngram_size": 2, "unknown_handling": "allow"},
]


@pytest.mark.parametrize("profile", ["marian", "fairseq", "hf", "ct2"])
@pytest.mark.parametrize("width", [1, 4])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("suppressed", [(), (3, 4, EOS, 5)])
def test_the_best_words_are_those_of_the_whole_row(profile, width, options, suppressed):
    """Words, scores and log-probabilities of the best five, over many rows and histories full of repeats."""
    rng = np.random.default_rng(1)
    ids = (5, *rng.integers(3, 9, 20).tolist(), EOS)
    segment = Segment(ids, Decoding(profile=profile, max_length_factor=99.0, **options), suppressed_ids=suppressed)
    for _ in range(20):
        tokens = rng.integers(3, 9, int(rng.integers(0, 9))).tolist()
        logits = rng.normal(size=SIZE).astype(np.float32) * 4

        found = weighed(segment, tokens, logits, width=width)

        expected = by_the_whole_row(segment, tokens, logits, width=width)
        assert [w for w, *_ in found] == [w for w, *_ in expected]
        np.testing.assert_allclose([row[1:] for row in found], [row[1:] for row in expected], atol=1e-5)


@pytest.mark.parametrize("profile", ["marian", "fairseq", "hf", "ct2"])
@pytest.mark.parametrize("penalty", [1.0, 1.8])
def test_where_no_word_is_allowed_the_end_is(profile, penalty):
    """Once, with its own log-probability, though the translation is shorter than it was to be."""
    decoding = Decoding(profile=profile, max_length_factor=99.0, min_length=SIZE + 9, no_repeat_ngram_size=1)
    segment = Segment((5, EOS), replace(decoding, repetition_penalty=penalty))
    tokens = [word for word in range(SIZE) if word not in (PAD, UNK, EOS)]
    logits = np.random.default_rng(2).normal(0, 3, SIZE)
    logp = logits - np.log(np.exp(logits).sum())

    found = weighed(segment, tokens, logits, width=4)

    assert found == [(EOS, pytest.approx(logp[EOS]), pytest.approx(logp[EOS]))]
    assert EOS not in [word for word, *_ in weighed(segment, tokens[1:], logits, width=4)]


@pytest.mark.parametrize("profile", ["marian", "fairseq", "hf", "ct2"])
def test_a_prefix_is_the_only_word(profile):
    """Its cost is nothing in hf and ct2 and its log-probability in the others, even of a suppressed word."""
    segment = Segment((5, EOS), Decoding(profile=profile), prefix=(7, PAD), suppressed_ids=(7,))
    logits = np.linspace(0, 3, SIZE)
    logp = logits - np.log(np.exp(logits).sum())

    for tokens, word in (([], 7), ([7], PAD)):
        ((found, score, own),) = weighed(segment, tokens, logits, width=4)
        assert (found, own) == (word, pytest.approx(logp[word]))
        assert score == pytest.approx(0.0 if profile in ("hf", "ct2") else logp[word])


def test_a_target_to_score_is_its_own_log_probability():
    """In every profile, with its end token, and whatever the minimum length is."""
    for profile in ("marian", "fairseq", "hf", "ct2"):
        segment = Segment((5, EOS), Decoding(profile=profile, min_length=9), strategy=Forced((7,)))
        ((first, score, _),) = weighed(segment, [], np.linspace(0, 3, SIZE), width=1)
        ((last, *_),) = weighed(segment, [7], np.linspace(0, 3, SIZE), width=1)
        assert (first, last) == (7, EOS)
        assert score < -1
        assert not Weigher(segment, VOCABULARY, width=1).forces_end_at(1)


@pytest.mark.parametrize("profile", ["hf", "ct2", "marian", "fairseq"])
def test_what_every_target_begins_with_costs_a_score_what_it_costs_a_translation(profile):
    """A language's token is free where a prefix is; the target's own words never are."""
    logits = np.random.default_rng(4).normal(0, 3, SIZE)
    logp = logits - np.log(np.exp(logits).sum())
    segment = Segment((5,), Decoding(profile=profile), prefix=(9,), strategy=Forced((7,)))

    [(word, score, first)] = weighed(segment, [], logits, width=1)
    assert (word, first) == (9, pytest.approx(logp[9]))
    assert score == pytest.approx(0.0 if profile in ("hf", "ct2") else logp[9])
    assert weighed(segment, [9], logits, width=1) == [(7, pytest.approx(logp[7]), pytest.approx(logp[7]))]
    assert weighed(segment, [9, 7], logits, width=1) == [(EOS, pytest.approx(logp[EOS]), pytest.approx(logp[EOS]))]
    assert segment.max_target_tokens == 3


def test_fairseq_ends_at_the_limit():
    """Only the end token may come there, unless the prefix goes that far; nobody else forces it."""
    segment = Segment((5, EOS), Decoding(profile="fairseq", max_length=3, max_length_factor=9))
    weigher = Weigher(segment, VOCABULARY, width=4)

    assert [weigher.acts_at(n) for n in range(3)] == [False, False, True]
    assert weigher.forces_end_at(2)
    ((word, score, logp),) = weighed(segment, [7, 7], np.linspace(0, 3, SIZE), width=4)
    assert (word, score) == (EOS, logp)
    long = Weigher(Segment((5, EOS), segment.decoding, prefix=(7, 8, 9)), VOCABULARY, width=4)
    assert not long.forces_end_at(2)
    hf = Segment((5, EOS), Decoding(profile="hf", max_length=3))
    assert not Weigher(hf, VOCABULARY, width=4).is_needed


@pytest.mark.parametrize("last", [EOS, 11])
def test_transformers_has_the_last_word_within_the_limit_for_nothing(last):
    """Whatever it is, and whatever is suppressed or comes too early; not in other profiles, and not in a score."""
    decoding = Decoding(profile="hf", forced_last_id=last, max_length=4, max_length_factor=9.0, min_length=9)
    segment = Segment((5,), decoding, suppressed_ids=(11,))
    logits = np.random.default_rng(5).normal(0, 3, SIZE)
    logp = logits - np.log(np.exp(logits).sum())

    assert weighed(segment, [7, 8, 9], logits, width=4) == [(last, 0.0, pytest.approx(logp[last]))]
    assert Weigher(segment, VOCABULARY, width=4).forces_end_at(3) == (last == EOS)
    assert len(weighed(segment, [7, 8], logits, width=4)) == 5
    assert len(weighed(replace(segment, decoding=replace(decoding, profile="ct2")), [7, 8, 9], logits, width=4)) == 5
    scored = replace(segment, strategy=Forced((7, 8, 9)))
    assert weighed(scored, [7, 8, 9], logits, width=1) == [(EOS, pytest.approx(logp[EOS]), pytest.approx(logp[EOS]))]


def test_to_transformers_what_the_decoder_starts_from_is_a_repeat():
    """Where a model starts from its end token, hf penalises the end from the first word on, and no other profile."""
    vocabulary = Tokenizer("sentencepiece", "-", "-", EOS, UNK, EOS)
    named = {
        profile: Weigher(
            Segment((5, EOS), Decoding(profile=profile, repetition_penalty=1.5)), vocabulary, width=4
        ).named([7])
        for profile in ("marian", "hf")
    }

    assert named == {"marian": [7], "hf": [EOS, 7]}


@pytest.mark.parametrize("profile", ["marian", "hf"])
def test_a_start_that_is_a_word_takes_part_in_repeats(profile):
    """T5Gemma's beginning may be said: hf forbids what followed it, and penalises it; no other start."""
    start = 4
    hidden = Tokenizer("sentencepiece", "-", "-", EOS, UNK, start, hidden_ids=(EOS, start))
    decoding = Decoding(profile=profile, repetition_penalty=1.5, no_repeat_ngram_size=2, unknown_handling="allow")
    weigher = Weigher(Segment((5, EOS), decoding), hidden, width=4)

    assert weigher.named([7]) == ([start, 7] if profile == "hf" else [7])
    assert weigher._banned([7, 8, start]) == ({7} if profile == "hf" else set())
    assert Weigher(Segment((5, EOS), decoding), VOCABULARY, width=4).named([7]) == [7]


@pytest.mark.parametrize("mass", [1.0 - 1e-7, 1.0 - 1e-9, 1.0, 1.0 + 1e-6])
def test_renormalising_survives_rounding(mass):
    """Where float32 says that banned words have all the probability, or more, scores stay log-probabilities."""
    segment = Segment((5, EOS), Decoding(profile="ct2", min_length=1, unknown_handling="allow"))
    weigher = Weigher(segment, Tokenizer("sentencepiece", "-", "-", EOS, UNK, 99), width=4)
    reply = a_reply([EOS, 7, 8], [math.log(mass), -18.0, -19.0], np.log([mass]), 3.0)

    _, scores, _ = weigher.weigh(reply, (0, 0), [], [EOS])

    assert scores[[0, 3]].tolist() == [-np.inf, -np.inf]
    assert scores.max() <= 0.0
    assert scores[1] - scores[2] == pytest.approx(1.0)


@pytest.mark.parametrize("width", [1, 4])
def test_renormalising_does_not_depend_on_how_many_words_a_reply_has(width):
    """Where rounding gives the best words more than all, others beside the segment, for which the reply has more of
    them, change no bit.
    """
    weigher = Weigher(Segment((5, EOS), Decoding(profile="ct2", beam_size=width)), VOCABULARY, width=width)
    words = [5, PAD, *range(6, SIZE)]
    logp = np.log(np.array([1 - 1e-6, 1e-9, *[1e-7] * 24])) + 3e-6
    named = weigher.named([7])
    named_logp = [logp[words.index(word)] if word in words else -20.0 for word in named]

    def scores(best):
        return weigher.weigh(a_reply(words[:best], logp[:best], named_logp, 0.0), (0, 0), [7], named)[1].tolist()

    fewest = num_candidates("ct2", width) + weigher.num_lost([7])
    assert all(scores(best)[:fewest] == scores(fewest)[:fewest] for best in range(fewest, len(words)))


def test_a_row_without_a_word_left_ends():
    """Everything banned or masked: the end has its log-probability, all other scores are -inf, none is nan."""
    segment = Segment((5, EOS), Decoding(profile="ct2", min_length=1, repetition_penalty=1.5))
    weigher = Weigher(segment, VOCABULARY, width=4)
    named = weigher.named([])
    reply = a_reply([EOS, 7], [-0.1, -1e9], np.full(len(named), -0.5), 0.0)

    _, scores, _ = weigher.weigh(reply, (0, 0), [], named)

    assert scores.tolist() == [-0.1, *[-np.inf] * (len(scores) - 1)]


def test_plain_segments_need_no_weigher():
    """Suppressed and unknown words alone are passed over without one, but for CTranslate2's renormalisation."""
    for profile, unknown in itertools.product(("marian", "hf"), ("allow", "suppress")):
        decoding = Decoding(profile=profile, unknown_handling=unknown)
        assert not Weigher(Segment((5, EOS), decoding), VOCABULARY, width=4).is_needed
    assert Weigher(Segment((5, EOS), Decoding(profile="ct2")), VOCABULARY, width=4).is_needed
    allowed = Segment((5, EOS), Decoding(profile="ct2", unknown_handling="allow"))
    assert not Weigher(allowed, Tokenizer("sentencepiece", "-", "-", EOS, UNK, 99), width=4).is_needed


class Phrases:
    """A phrasing that allows the same words everywhere, and of these the ones that fit."""

    def __init__(self, words, fits=None):
        self.words, self.fits, self.expected = np.array(sorted(words), np.int64), fits, []
        self.others = SIZE - len(words) if len(words) % 2 else 1 << 30  # few, or many: of both ways

    def walk(self):
        return self

    def expect(self, beginnings, left):
        self.expected.append((beginnings, left))

    def allowed(self, said):
        return Allowed(self.words, self.others, self.fits is not None)

    def fitting(self, said, words):
        return set(words) if self.fits is None else self.fits


@pytest.mark.parametrize("profile", ["marian", "fairseq", "hf", "ct2"])
@pytest.mark.parametrize("count", [0, 1, 3, 14, 16, 26, 30])
@pytest.mark.parametrize("suppressed", [(), (3, 4, 5)])
def test_a_phrasing_leaves_the_best_of_what_it_allows(profile, count, suppressed):
    """Few words or most, with the model's own log-probabilities, whatever penalties a bundle has by default."""
    rng = np.random.default_rng(count)
    decoding = Decoding(profile=profile, max_length_factor=99.0, repetition_penalty=1.8, no_repeat_ngram_size=1)
    for _ in range(20):
        phrases = Phrases(rng.choice(SIZE, count, replace=False).tolist())
        segment = Segment((5, EOS), decoding, phrasing=phrases, suppressed_ids=suppressed)
        logits = rng.normal(size=SIZE).astype(np.float32) * 4
        logp = logits - np.log(np.exp(logits.astype(np.float64)).sum())

        found = weighed(segment, [3, 4, 3], logits, width=4)

        allowed = [word for word in phrases.words.tolist() if word not in {PAD, UNK, *suppressed}]
        best = sorted(allowed, key=lambda word: -logp[word])[:5]
        assert [(word, own) for word, _, own in found] == [(word, pytest.approx(logp[word])) for word in best]
        assert all(score == own for _, score, own in found)


def test_near_its_end_a_phrasing_leaves_what_fits():
    """Of its words; and what it is asked for next is known before, behind the prefix, with what is left."""
    phrases = Phrases([3, 4, 5, 6, 7], fits={4, 6})
    segment = Segment((5, EOS), Decoding(max_length=9, max_length_factor=99.0), phrasing=phrases, prefix=(8,))
    logits = np.linspace(0, 3, SIZE)

    assert [word for word, *_ in weighed(segment, [8, 3], logits, width=1)] == [6, 4]
    weigher = Weigher(segment, VOCABULARY, width=1)
    weigher.expect([[]])
    weigher.expect([[8, 3], [8, 4]])
    assert phrases.expected == [([[3], [4]], 7)]


def test_a_phrasing_is_not_ended_by_force():
    """At the limit it stays open, where a toolkit would have the end."""
    for profile, last in (("fairseq", None), ("hf", EOS)):
        decoding = Decoding(profile=profile, max_length=3, max_length_factor=99.0, forced_last_id=last)
        segment = Segment((5, EOS), decoding, phrasing=Phrases([4, 5]))
        found = weighed(segment, [4, 4], np.linspace(0, 3, SIZE), width=2)
        assert [word for word, *_ in found] == [5, 4]
        assert not Weigher(segment, VOCABULARY, width=2).forces_end_at(2)
