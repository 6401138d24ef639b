"""The next attempt at a text whose translation does not hold its protected spans.

Only the segments that do not hold theirs are tried again: with the translations of terms in their place, with forms for
terms, too, with forms of the second kind, then cut around the spans.
Where a text must stay one segment (its translation begins with a given prefix, or alternatives are asked for), or what
is read before each of its parts would be read too often, the spans that no attention places stand at the end instead.
So the last attempt always holds them.
"""

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import NamedTuple

from dragoman.server.text.forms import Attempt, ShownText
from dragoman.server.text.preparing import Numbering, PreparedSegment, PreparedText, prefix_ids, with_marks
from dragoman.server.text.tokenizer import Tokenizer

MOST_REPEATED = 4
"""Of a segment's tokens, so many times as many may be read of the context before all of its parts."""


class Before(NamedTuple):
    """What a decoded segment was in the attempt before."""

    number: int
    """Among the decoded segments of the text."""
    is_same: bool
    """Whether it is decoded already; else it is that segment in another way, or a part of it."""


def next_attempt(
    text: PreparedText, missing: Collection[int], *, tokenizer: Tokenizer, max_tokens: int, is_whole: bool
) -> tuple[PreparedText, list[Before]]:
    """The text, in which the `missing` ones of its segments are tried in another way; beside it, what each of its
    decoded segments was before.
    """
    numbering = Numbering(
        tokenizer, text.pair, max_tokens, split_long=True, beside=text.target_prefix, context=text.context
    )
    pieces, befores, number = list[PreparedSegment](), list[Before](), 0
    for index, (span, ids) in enumerate(zip(text.layout.spans, text.ids, strict=True)):
        piece = PreparedSegment(span, ids, text.shown.get(index), index in text.truncated)
        tried = [piece]
        if index in missing:
            assert piece.shown is not None, "only a segment with protected spans may lack one"
            repeated = len(text.context) * (len(piece.shown.stand_ins) + 1)
            stays = is_whole or repeated > MOST_REPEATED * len(ids)
            tried = _tried(numbering, text.text, piece, piece.shown, is_whole=stays)
        pieces += tried
        befores += (Before(number, is_same=each.ids is ids) for each in tried if each.ids)
        number += bool(ids)
    prepared = replace(numbering.prepared(text.text, pieces, ()), outside=text.outside, missed=text.missed)
    prepared = with_marks(prepared, text.marked)
    if text.target_prefix:
        prefix = prefix_ids(prepared, text.target_prefix, tokenizer)
        prepared = replace(prepared, prefix=prefix, target_prefix=text.target_prefix)
    return prepared, befores


def _tried(
    numbering: Numbering, text: str, piece: PreparedSegment, shown: ShownText, *, is_whole: bool
) -> list[PreparedSegment]:
    """A segment as it is tried next; one with the same ids keeps its answer."""
    for attempt in _following(shown):
        if (again := numbering.again(shown, attempt)) is not None:
            ids, other = again
            return [replace(piece, ids=ids, shown=other)]
    if is_whole:
        return [replace(piece, shown=replace(shown, attempt=Attempt.ANYWHERE))]
    return list(numbering.cut(text, piece.span, shown))


def _following(shown: ShownText) -> Iterator[Attempt]:
    """The attempts that come after a segment's own, in the order in which they are tried."""
    own = shown.attempt
    is_kept = all(stand_in.put == stand_in.form for stand_in in shown.said)
    # Terms that are kept as they are were in place already.
    yield from (
        attempt
        for attempt in (Attempt.IN_PLACE, Attempt.FORMS, Attempt.OTHER_FORMS)
        if attempt > own and not (attempt is Attempt.IN_PLACE and is_kept)
    )
