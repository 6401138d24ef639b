"""A text's pieces put together again."""

from __future__ import annotations

from dragoman.server.domain import Decoded, Engine, FinishReason, Hypothesis, Splitting, Timings
from dragoman.server.pieces import Prepared, assemble, prepare
from dragoman.server.tokenizer import Tokenizer


def decoded(queue_s: float, encode_s: float, decode_s: float) -> Decoded:
    hypothesis = Hypothesis((5,), -1.0, -1.0, FinishReason.STOP)
    return Decoded((hypothesis,), Engine.GREEDY, 2, queue_s=queue_s, encode_s=encode_s, decode_s=decode_s)


def test_the_stages_of_a_text_are_those_of_its_last_segment(tokenizer: Tokenizer) -> None:
    """So they add up to no more than the text took; the longest of each stage would add up to 0.011 here, not 0.008."""
    text = prepare(
        "The dog. The fox. The box.",
        field="",
        tokenizer=tokenizer,
        splitting=Splitting.SENTENCES,
        language="en",
        max_tokens=32,
        split_long=True,
    )
    assert isinstance(text, Prepared)
    assert text.num_segments == 3
    pieces = [decoded(0.001, 0.002, 0.003), decoded(0.002, 0.001, 0.005), decoded(0.004, 0.001, 0.001)]

    timings = assemble(text, pieces, tokenizer, tokenize_s=0.5).timings

    assert (timings.tokenize_s, timings.queue_s, timings.encode_s, timings.decode_s) == (0.5, 0.002, 0.001, 0.005)


def test_of_texts_that_began_together_the_last_is_the_one_that_took_longest() -> None:
    """Nothing at all took no time."""
    texts = [Timings(queue_s=3), Timings(queue_s=1, decode_s=4), Timings(encode_s=2)]

    assert Timings.last(texts) == texts[1]
    assert Timings.last([]) == Timings()
