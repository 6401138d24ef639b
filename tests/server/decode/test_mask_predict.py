"""Decoding on canvases: lengths, passes, what is taken back, and which text wins."""

from dataclasses import replace

import numpy as np
import pytest

from dragoman.bundle.manifest import Decoding, Nat, Tokenizer
from dragoman.server.core.segments import FinishReason, Segment
from dragoman.server.decode.mask_predict import CanvasSource, Length, least_certain, lengths
from dragoman.server.decode.strategies.nat import NonAutoregressive

END, UNKNOWN, PAD, START = 0, 1, 2, 99
SIZE = 20
MASK = SIZE
WORDS = Tokenizer("sentencepiece", "-", "-", END, UNKNOWN, START, (PAD,))
NAT = Nat("mask-predict", 1, 64, mask_id=MASK, last_id=END, length_classes=16, length_offset=False)
FRAMED = replace(NAT, first_id=3)
LONG = replace(NAT, length_classes=0, canvas_factor=2.0)
PLAIN = Decoding(max_length=64, max_length_factor=100.0)


def segment(strategy: NonAutoregressive, source: int = 6, prefix: tuple[int, ...] = (), **decoding) -> Segment:
    return Segment((*range(4, 3 + source), END), replace(PLAIN, **decoding), strategy=strategy, prefix=prefix)


def one(passes: int = 1, **changes) -> NonAutoregressive:
    return NonAutoregressive("mask-predict", passes, **changes)


def predicted(*order: int, classes: int = 16) -> np.ndarray:
    """Log-probabilities of lengths, the likeliest first."""
    logp = np.full(classes, -50.0, np.float32)
    logp[list(order)] = -np.arange(len(order), dtype=np.float32)
    return logp


class Model:
    """Words of a canvas, each a function of all that stands in it."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def logp(self, canvas: np.ndarray) -> np.ndarray:
        rng = np.random.default_rng([self.seed, *canvas.tolist()])
        logits = rng.normal(size=(len(canvas), SIZE)) * 3
        return (logits - np.log(np.exp(logits).sum(1, keepdims=True))).astype(np.float32)


def run(source: CanvasSource, model: Model) -> None:
    """All passes, as the graph would answer them."""
    while not source.is_done:
        for number, canvas in enumerate(source.canvases):
            if canvas.is_done:
                continue
            logp = model.logp(canvas.ids)[canvas.is_open]
            order = np.argsort(-logp, axis=1, kind="stable")[:, : source.num_best]
            source.tell(number, np.take_along_axis(logp, order, 1), order)
        source.advance()


FORBIDDEN = {END, UNKNOWN, PAD}


def obvious(model: Model, tokens: int, passes: int) -> tuple[list[int], list[float], int]:
    """Mask-predict with lists: a text of so many tokens between nothing and an end token that is given."""
    canvas, scores = [MASK] * tokens + [END], [0.0] * tokens
    masked, before, done = list(range(tokens)), None, 0
    for t in range(1, passes + 1):
        logp = model.logp(np.array(canvas))
        for place in masked:
            ranked = sorted((w for w in range(SIZE) if w not in FORBIDDEN), key=lambda w: (-logp[place][w], w))
            canvas[place], scores[place] = ranked[0], float(logp[place][ranked[0]])
        done = t
        again = int(tokens * (1 - t / passes))
        if canvas == before or again == 0:
            break
        before = list(canvas)
        masked = sorted(range(tokens), key=lambda place: (scores[place], place))[:again]
        for place in masked:
            canvas[place] = MASK
    return canvas[:tokens], scores, done


@pytest.mark.parametrize("passes", [1, 2, 3, 4, 10])
@pytest.mark.parametrize("seed", range(12))
def test_passes_equal_a_plain_version(passes, seed):
    """One pass is one-shot decoding; several refill what was least certain, end early, and never touch the end."""
    tokens = 1 + seed % 9
    source = CanvasSource(segment(one(passes)), NAT, WORDS, predicted(tokens + 1))

    run(source, Model(seed))

    words, scores, done = obvious(Model(seed), tokens, passes)
    (found,) = source.hypotheses()
    assert found.ids == tuple(words)
    assert found.token_logps == pytest.approx((*scores, 0.0))
    assert found.score == pytest.approx(sum(scores) / tokens)
    assert found.reason is FinishReason.STOP
    assert source.passes == done


def test_taking_back_is_a_stable_sort():
    """The lowest scores, of equals the first, never what was given: against sorting, ties abounding."""
    rng = np.random.default_rng(1)
    for _ in range(200):
        size = int(rng.integers(1, 12))
        scores, is_free = -rng.integers(0, 4, size).astype(float), rng.random(size) < 0.7
        count = int(rng.integers(0, is_free.sum() + 1))

        chosen = least_certain(scores, is_free, count)

        order = sorted(np.flatnonzero(is_free).tolist(), key=lambda place: scores[place])
        assert np.flatnonzero(chosen).tolist() == sorted(order[:count])


@pytest.mark.parametrize("seed", range(10))
def test_the_best_mean_wins_among_lengths(seed):
    """Each length's text is that of the length alone; the highest mean is first, and equal texts come once."""
    order, model = (7, 4, 9), Model(seed)
    source = CanvasSource(segment(one(3, length_candidates=3), num_hypotheses=3), NAT, WORDS, predicted(*order))

    run(source, model)

    alone = []
    for length in order:
        single = CanvasSource(segment(one(3)), NAT, WORDS, predicted(length))
        run(single, model)
        alone += single.hypotheses()
    assert source.hypotheses() == tuple(sorted(alone, key=lambda found: -found.score))


@pytest.mark.parametrize(
    ("nat", "strategy", "found"),
    [
        (NAT, one(), [6]),  # the end token has a place
        (FRAMED, one(), [5]),
        (NAT, one(length_candidates=3), [6, 2, 11]),
        (replace(NAT, length_search="around"), one(length_candidates=4), [6, 5, 7, 4]),
        (NAT, one(length_scale=2.0), [13]),
        (replace(NAT, length_offset=True), one(), [4]),  # 6 source words, class 7 of 16
        (NAT, one(exact_length=9), [9]),
        (replace(NAT, last_id=None), one(), [7]),
    ],
)
def test_lengths_are_predicted_scaled_or_exact(nat, strategy, found):
    """In tokens of the text: a canvas has more where a beginning or an end is given."""
    assert [length.tokens for length in lengths(nat, segment(strategy), predicted(7, 3, 12))] == found


def test_lengths_stay_within_the_limits_and_say_so():
    """A longer text than is allowed is cut; a shorter one than is asked for grows; equal lengths are tried once."""
    tried = segment(one(length_candidates=3), max_length=5)
    assert lengths(NAT, tried, predicted(12, 9, 4)) == [Length(4, is_cut=True), Length(3)]
    assert lengths(NAT, segment(one(), min_length=8), predicted(3)) == [Length(8)]
    assert lengths(NAT, segment(one(), prefix=(4, 5, 6, 7)), predicted(2)) == [Length(4)]
    assert lengths(NAT, segment(one(exact_length=70)), predicted(2)) == [Length(63, is_cut=True)]


def test_a_long_canvas_is_cut_at_its_first_end():
    """Its score is the mean up to that end; without one the text is cut, and says so."""

    class Ends(Model):
        def logp(self, canvas: np.ndarray) -> np.ndarray:
            logp = super().logp(canvas)
            logp[[3, 5], END] = 0.0
            return logp

    source = CanvasSource(segment(one(), source=4), LONG, WORDS, None)
    run(source, Ends(1))
    (found,) = source.hypotheses()
    never = CanvasSource(segment(one(), source=4, min_length=60), LONG, WORDS, None)
    run(never, Ends(1))
    (cut,) = never.hypotheses()

    assert len(source.canvases[0].ids) == 9
    assert len(found.ids) == 3
    assert len(found.token_logps) == 4
    assert found.token_logps[-1] == 0.0
    assert found.score == pytest.approx(sum(found.token_logps) / 4)
    assert found.reason is FinishReason.STOP
    assert (len(cut.ids), len(cut.token_logps), cut.reason) == (60, 60, FinishReason.LENGTH)


@pytest.mark.parametrize("seed", range(5))
def test_what_is_given_stays_and_what_is_forbidden_never_comes(seed):
    """A prefix, the frame, suppressed words and unknown words; the frame's words come nowhere else."""
    strategy = one(4)
    asked = replace(segment(strategy, prefix=(7, 8)), suppressed_ids=(4, 5, 6))
    source = CanvasSource(asked, FRAMED, WORDS, predicted(12))

    run(source, Model(seed))

    (found,) = source.hypotheses()
    assert found.ids[:2] == (7, 8)
    assert len(found.ids) == 10
    assert not set(found.ids) & {END, UNKNOWN, PAD, 3, 4, 5, 6}
    assert found.token_logps[:2] == (0.0, 0.0)


def test_a_canvas_of_the_source_reads_its_words_at_an_even_pace():
    """Masks come only where a word was taken back."""
    nat = replace(FRAMED, canvas="source", mask_id=UNKNOWN)
    source = CanvasSource(segment(one(), source=4), nat, WORDS, predicted(7))

    assert source.canvases[0].ids.tolist() == [3, 4, 5, 6, 6, 6, END]


def test_a_mask_shows_the_same_position_again_when_its_place_is_taken_back():
    """Masks are told apart from words: they are behind the vocabulary."""
    shown = replace(NAT, canvas="shown", mask_id=SIZE)
    source = CanvasSource(segment(one(passes=2), source=4), shown, WORDS, predicted(5))
    assert source.canvases[0].ids.tolist() == [SIZE, SIZE + 1, SIZE + 2, SIZE + 2, END]

    logp = np.log(np.array([[0.2], [0.6], [0.3], [0.9]], np.float32))
    source.tell(0, logp, np.full((4, 1), 9))
    source.advance()

    assert source.canvases[0].ids.tolist() == [SIZE, 9, SIZE + 2, 9, END]
