"""Texts that lack a protected span are tried again, and the result says what that took."""

from collections.abc import Callable, Sequence

import pytest

from dragoman.bundle.manifest import Decoding, LanguagePair
from dragoman.server.core.protection import ProtectedSpan, SpanKind
from dragoman.server.core.requests import Output, Splitting
from dragoman.server.core.segments import Decoded, FinishReason, Hypothesis, Segment, Work
from dragoman.server.core.spans import Span
from dragoman.server.core.strategies import Engine
from dragoman.server.pipeline.attempts import Attempted, Attempts
from dragoman.server.pipeline.cache import BundleCache, Cache
from dragoman.server.pipeline.workers import finished
from dragoman.server.text.assembling import Assembler
from dragoman.server.text.preparing import PreparedText, prepare
from dragoman.server.text.tokenizer import Tokenizer


@pytest.fixture
def attempts_of(tokenizer: Tokenizer) -> Callable[..., Attempts]:
    def make(cache: BundleCache | None = None) -> Attempts:
        assembler = Assembler(tokenizer, Output(), copies_unknown=False)
        template = Segment((), Decoding(max_length=64))
        return Attempts(tokenizer, assembler, template, 32, is_whole=False, recalls=cache, keeps=cache)

    return make


def attempted(tokenizer: Tokenizer, text: str) -> Attempted:
    """The first attempt at a text, whose `@` is protected."""
    protected = [ProtectedSpan(Span(n, n + 1), SpanKind.CODE) for n, char in enumerate(text) if char == "@"]
    prepared = finished(
        prepare(
            text,
            field="text",
            tokenizer=tokenizer,
            splitting=Splitting.SENTENCES,
            pair=LanguagePair("en", "pt"),
            max_tokens=32,
            split_long=True,
            find=lambda _: protected,
        )
    )
    assert isinstance(prepared, PreparedText)
    return Attempted(prepared, [Segment(ids, Decoding(max_length=64)) for ids in prepared.decoded_ids])


def answers(tried: Attempted, said: Sequence[int], number: int) -> list[Decoded]:
    """All that is to be decoded was decoded into the same, and took as long as the number of the attempt says."""
    hypothesis = Hypothesis(tuple(said), -1.0, -1.0, FinishReason.STOP)
    answer = Decoded((hypothesis,), Engine.GREEDY, number, number, number, number, Work(nat_passes=number))
    return [answer if isinstance(segment, Segment) else segment for segment in tried.segments]


def test_what_replaces_an_answer_takes_over_its_time_and_work(
    tokenizer: Tokenizer, attempts_of: Callable[..., Attempts]
) -> None:
    """Of the parts of a segment the first one does; what is not tried again keeps its own."""
    attempts = attempts_of()
    first = attempted(tokenizer, "The dog. The @ box is here.")
    said = tokenizer.encode_target("the dog")

    second = finished(attempts.next(first, answers(first, said, 1)))
    assert second is not None
    third = finished(attempts.next(second, answers(second, said, 10)))
    assert third is not None
    last = answers(third, said, 100)

    assert finished(attempts.next(third, last)) is None
    assert [isinstance(segment, Segment) for segment in third.segments] == [False, True, True]
    settled = third.settled(last)
    assert [(one.steps, one.queue_s, one.encode_s, one.decode_s, one.work.nat_passes) for one in settled] == [
        (1,) * 5,
        (111,) * 5,
        (100,) * 5,
    ]


def test_what_was_decoded_in_vain_is_remembered_too(tokenizer: Tokenizer, attempts_of: Callable[..., Attempts]) -> None:
    """So the same text goes the same way, and nothing of it is decoded."""
    cache = Cache(1 << 20).of("echo", "digest")
    attempts = attempts_of(cache)
    assert cache is not None
    tried: Attempted | None = attempted(tokenizer, "The @ box is here.")
    said = tokenizer.encode_target("the dog")
    while tried is not None:
        tried = finished(attempts.next(tried, answers(tried, said, 1)))

    tried = attempted(tokenizer, "The @ box is here.")
    [segment] = tried.segments
    assert isinstance(segment, Segment)
    recalled: Sequence[Segment | Decoded] = [answer] if (answer := cache.recall(segment)) else []
    rounds = 0
    while recalled:
        decoded = [one for one in recalled if isinstance(one, Decoded)]
        assert len(decoded) == len(recalled)
        following = finished(attempts.next(tried, decoded))
        if following is None:
            break
        tried, recalled, rounds = following, following.segments, rounds + 1

    assert rounds == 2
    assert all(one.is_remembered for one in tried.settled(decoded))
