"""One text on its way in and out: cut into pieces and numbered, and joined again from what was decoded.

A piece that has nothing the model could read (an invisible mark, say) is not decoded: it is kept as it stands.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dragoman.bundle.manifest import LanguagePair
from dragoman.server.domain import (
    Decoded,
    FinishReason,
    Hypothesis,
    Splitting,
    TextHypothesis,
    Timings,
    Translation,
)
from dragoman.server.errors import InvalidRequest
from dragoman.server.text import Layout, Span, fit, split
from dragoman.server.tokenizer import Tokenizer

Refused = InvalidRequest
"""What stands in for a text that cannot be translated."""


@dataclass(frozen=True)
class Prepared:
    """A text that is ready to be decoded."""

    text: str
    layout: Layout
    ids: tuple[tuple[int, ...], ...]
    """Of each piece, all that the model reads; empty for a piece that is kept as it stands."""

    @property
    def segments(self) -> tuple[tuple[int, ...], ...]:
        """The pieces that are decoded."""
        return tuple(ids for ids in self.ids if ids)

    @property
    def num_segments(self) -> int:
        """Pieces that are decoded."""
        return len(self.segments)

    @property
    def source_tokens(self) -> int:
        """Tokens that the model reads, end tokens included."""
        return sum(map(len, self.ids))


def check_text(text: str, field: str, max_bytes: int) -> str | Refused:
    """The text, or why it cannot be taken in."""
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError as error:
        return Refused(field, f"character {error.start} is half of a surrogate pair, which is not text")
    if size > max_bytes:
        return Refused(field, f"{size} bytes, the limit is {max_bytes} (--max-text-bytes): send it in parts")
    return text


def prepare(
    text: str,
    *,
    field: str,
    tokenizer: Tokenizer,
    splitting: Splitting,
    pair: LanguagePair,
    max_tokens: int,
    split_long: bool,
) -> Prepared | Refused:
    """Cut a text into pieces of at most `max_tokens` tokens and number them."""

    def fits(piece: str) -> bool:
        return len(tokenizer.encode(piece, pair)) <= max_tokens

    spans: list[Span] = []
    numbered: list[tuple[int, ...]] = []
    for span in split(text, splitting, pair.source):
        ids = tokenizer.encode(text[span.start : span.end], pair)
        if len(ids) <= max_tokens:
            spans.append(span)
            numbered.append(ids)
            continue
        if not split_long:
            way_out = "let it be split (on_too_long), or send shorter pieces"
            return Refused(field, f"a piece of {len(ids)} tokens, the model reads at most {max_tokens}: {way_out}")
        try:
            parts = list(fit(text, span, fits))
        except ValueError as error:
            return Refused(field, str(error))
        spans.extend(parts)
        numbered.extend(tokenizer.encode(text[part.start : part.end], pair) for part in parts)
    return Prepared(text, Layout.of(text, spans), tuple(numbered))


def assemble(text: Prepared, decoded: Sequence[Decoded], tokenizer: Tokenizer, tokenize_s: float) -> Translation:
    """The translation of a whole text from its decoded pieces, given in order."""
    started = time.perf_counter()
    if not decoded:
        nothing = (TextHypothesis(text.text, 0.0, 0.0),)
        timings = Timings(tokenize_s=tokenize_s)
        return Translation(nothing, FinishReason.EMPTY_INPUT, None, 0, 0, 0, 0, timings)
    ranks = range(max(len(piece.hypotheses) for piece in decoded))
    hypotheses = tuple(_join(text, _of_rank(decoded, rank), tokenizer) for rank in ranks)
    best = _of_rank(decoded, 0)
    stages = Timings.longest(
        Timings(queue_s=piece.queue_s, encode_s=piece.encode_s, decode_s=piece.decode_s) for piece in decoded
    )
    return Translation(
        hypotheses=hypotheses,
        finish_reason=FinishReason.LENGTH if any(_was_cut(one) for one in best) else FinishReason.STOP,
        engine=decoded[0].engine,
        source_tokens=text.source_tokens,
        target_tokens=sum(map(_length, best)),
        segments=len(decoded),
        steps=sum(piece.steps for piece in decoded),
        timings=Timings(
            tokenize_s=tokenize_s,
            queue_s=stages.queue_s,
            encode_s=stages.encode_s,
            decode_s=stages.decode_s,
            detokenize_s=time.perf_counter() - started,
        ),
    )


def _of_rank(decoded: Sequence[Decoded], rank: int) -> list[Hypothesis]:
    """Every piece's hypothesis of this rank; the last one of a piece that has fewer."""
    return [piece.hypotheses[min(rank, len(piece.hypotheses) - 1)] for piece in decoded]


def _join(text: Prepared, chosen: Sequence[Hypothesis], tokenizer: Tokenizer) -> TextHypothesis:
    """One reading of the text. Its score is the pieces' mean by length, which is the score of a text of one piece."""
    decoded: Iterator[str] = (tokenizer.decode(one.ids) for one in chosen)
    pieces = [next(decoded) if ids else piece for ids, piece in zip(text.ids, text.layout.pieces, strict=True)]
    lengths = [max(1, _length(one)) for one in chosen]
    weighted = sum(one.score * length for one, length in zip(chosen, lengths, strict=True))
    score = chosen[0].score if len(chosen) == 1 else weighted / sum(lengths)
    return TextHypothesis(text.layout.join(pieces), sum(one.logp for one in chosen), score)


def _was_cut(hypothesis: Hypothesis) -> bool:
    return hypothesis.reason is FinishReason.LENGTH


def _length(hypothesis: Hypothesis) -> int:
    """Target tokens, the end token included where it was put out."""
    return len(hypothesis.ids) + (not _was_cut(hypothesis))
