"""What requests cost, before and after their texts are numbered."""

from typing import Any

import pytest

from dragoman.bundle.manifest import Decoding, LanguagePair
from dragoman.glossary.terms import Term
from dragoman.server.core.errors import InvalidRequest
from dragoman.server.core.protection import ProtectedSpan
from dragoman.server.core.requests import Request, Splitting
from dragoman.server.core.segments import LIGHT_COST, Segment
from dragoman.server.core.strategies import Beam
from dragoman.server.decode.strategies.forced import Forced
from dragoman.server.decode.strategies.sampling import Sampling
from dragoman.server.pipeline.costs import estimate, segmented
from dragoman.server.pipeline.workers import finished
from dragoman.server.text.preparing import PreparedText, Target, prepare
from dragoman.server.text.term_spans import term_spans
from dragoman.server.text.terms import Glossary, TermFinder
from dragoman.server.text.tokenizer import Tokenizer

PAIR = LanguagePair("en", "pt")
PLAIN = Segment((), Decoding(max_length=64))
BAD = InvalidRequest("texts[0].text", "too large")


def estimated(*texts: str | InvalidRequest, template: Segment = PLAIN, width: int = 1, **fields: Any) -> int:
    request = Request(tuple("" if isinstance(text, InvalidRequest) else text for text in texts), **fields)
    return estimate(request, texts, template, default_width=width, most_tokens=32)


def prepared(tokenizer: Tokenizer, text: str) -> PreparedText:
    work = prepare(
        text, field="", tokenizer=tokenizer, splitting=Splitting.LINES, pair=PAIR, max_tokens=32, split_long=True
    )
    made = finished(work)
    assert isinstance(made, PreparedText)
    return made


def test_the_estimate_counts_bytes() -> None:
    """Text of other scripts has more tokens a character, and an empty text its end token; what is refused has none."""
    assert estimated("", BAD, "abcdefgh", "日本語日") == 1 + 0 + 3 + 4


def test_the_estimate_counts_the_longer_side() -> None:
    """A prefix of megabytes is work as a text of megabytes is, and so is a given translation."""
    assert estimated("abcd", "", prefixes=("x" * 400, "")) == 101 + 1
    assert estimated("abcd", BAD, targets=("x" * 400, "x" * 400)) == 101


@pytest.mark.parametrize(
    ("strategy", "decoding", "width", "cost"),
    [
        (Beam(), Decoding(max_length=64), 1, 25),
        (Beam(), Decoding(max_length=64, beam_size=6), 6, 25),
        (Beam(), Decoding(max_length=64, beam_size=12), 6, 50),
        (Beam(), Decoding(max_length=64, max_length_factor=100.0, min_length=40), 1, 40),
        (Sampling(), Decoding(max_length=64, num_hypotheses=8), 1, 200),
    ],
)
def test_the_estimate_counts_what_is_asked_for(strategy: Any, decoding: Decoding, width: int, cost: int) -> None:
    """The model's own beam is what a token's cost is measured by; what is wider, or must be longer, costs more."""
    assert estimated("x" * 96, template=Segment((), decoding, strategy=strategy), width=width) == cost


def test_a_long_text_costs_as_much_as_its_parts() -> None:
    """No segment is longer than the model can read, so a limit of its translation's length bounds no whole text."""
    template = Segment((), Decoding(max_length=16, beam_size=2))

    assert estimated("x" * 1276, template=template) == 10 * estimated("x" * 124, template=template) == 320


def test_segments_carry_what_their_text_has(tokenizer: Tokenizer) -> None:
    """Lines that the model cannot read are not decoded; a given translation is the strategy of its segment."""
    two, given = prepared(tokenizer, "The dog.\n\u200b\nA fox."), prepared(tokenizer, "The box.")
    given = PreparedText(given.text, given.layout, given.ids, PAIR, (7,), ((),), Target("x", (8, 9)))

    texts, costs = finished(segmented([two, BAD, given], PLAIN, default_width=1))

    assert [[segment.ids for segment in segments] for segments in texts] == [list(two.decoded_ids), [], [*given.ids]]
    assert (texts[2][0].strategy, texts[2][0].prefix) == (Forced((8, 9)), (7,))
    assert costs == [two.source_tokens, 0, max(given.source_tokens, 4)]


@pytest.mark.parametrize(("lines", "beam", "bulk"), [(1, 1, False), (2, 12, False), (100, 1, True), (10, 12, True)])
def test_a_request_is_light_or_bulk_as_a_whole(tokenizer: Tokenizer, lines: int, beam: int, bulk: bool) -> None:
    """By what its segments cost together, of which the tokens are only the least."""
    text = prepared(tokenizer, "The dog.\n" * lines)

    texts, costs = finished(segmented([text], Segment((), Decoding(max_length=64, beam_size=beam)), default_width=1))

    assert costs == [text.source_tokens * beam]
    assert (sum(costs) > LIGHT_COST) == bulk
    assert {segment.bulk for segment in texts[0]} == {bulk}


def test_segments_with_terms_count_twice_and_carry_attention(tokenizer: Tokenizer) -> None:
    """Most of them are decoded again; others are what they were. Where the model has no attention, none has."""

    def find(text: str) -> list[ProtectedSpan]:
        return list(term_spans(text, [Glossary("", TermFinder([Term("box", "fox")]))]))

    work = prepare(
        "The dog.\nThe box.",
        field="",
        tokenizer=tokenizer,
        splitting=Splitting.LINES,
        pair=PAIR,
        max_tokens=32,
        split_long=True,
        find_terms=find,
    )
    text = finished(work)
    plain, with_term = map(len, text.ids)

    [segments], [cost] = finished(segmented([text], PLAIN, default_width=1, attention=True))
    [others], _ = finished(segmented([text], PLAIN, default_width=1))

    assert cost == plain + 2 * with_term
    assert [segment.attention for segment in segments] == [False, True]
    assert [segment.attention for segment in others] == [False, False]


def test_a_segment_with_line_ends_carries_attention(tokenizer: Tokenizer) -> None:
    """They are placed among the words of its translation."""
    work = prepare(
        "The dog.\nThe cat.",
        field="",
        tokenizer=tokenizer,
        splitting=Splitting.NONE,
        pair=PAIR,
        max_tokens=32,
        split_long=True,
    )
    text = finished(work)
    assert isinstance(text, PreparedText)

    [[segment]], _ = finished(segmented([text], PLAIN, default_width=1, attention=True))

    assert isinstance(segment, Segment)
    assert segment.attention
