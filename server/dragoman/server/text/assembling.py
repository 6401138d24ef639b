"""One text on its way out: the decoded pieces become text again, are joined, and say where each word came from."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from dragoman.server.core.requests import Output
from dragoman.server.core.segments import Decoded, FinishReason, Hypothesis, Work
from dragoman.server.core.translations import (
    Alignment,
    Span,
    SpanPair,
    TextHypothesis,
    Timings,
    TokenScore,
    Translation,
)
from dragoman.server.text.alignment import Word, links, word_weights, words
from dragoman.server.text.offsets import Offsets
from dragoman.server.text.preparing import Prepared
from dragoman.server.text.tokenizer import Tokenizer


class Assembler:
    """Makes the translations of one request's texts.

    With `copies_unknown`, an unknown-word token is replaced by the source word that it attends to most.
    """

    def __init__(self, tokenizer: Tokenizer, output: Output, *, copies_unknown: bool) -> None:
        self._tokenizer = tokenizer
        self._output = output
        self._copies_unknown = copies_unknown

    def translation(self, text: Prepared, decoded: Sequence[Decoded], tokenize_s: float) -> Translation:
        """The translation of a whole text from its decoded pieces, given in order."""
        started = time.perf_counter()
        joiner = _Joiner(text, self._tokenizer, self._output, copies_unknown=self._copies_unknown)
        if not decoded:
            hypothesis, spans = joiner.join([])
            timings = Timings(tokenize_s=tokenize_s)
            return Translation((hypothesis,), FinishReason.EMPTY_INPUT, None, 0, 0, 0, 0, timings, spans)
        ranks = range(max(len(piece.hypotheses) for piece in decoded))
        joined = [joiner.join(_of_rank(decoded, rank)) for rank in ranks]
        best = _of_rank(decoded, 0)
        last = Timings.last(
            Timings(queue_s=piece.queue_s, encode_s=piece.encode_s, decode_s=piece.decode_s) for piece in decoded
        )
        return Translation(
            hypotheses=tuple(hypothesis for hypothesis, _ in joined),
            finish_reason=joined[0][0].finish_reason,
            engine=decoded[0].engine if text.target is None else None,
            source_tokens=text.source_tokens,
            target_tokens=sum(map(_length, best)),
            segments=len(decoded),
            decode_steps=sum(piece.steps for piece in decoded),
            timings=Timings(
                tokenize_s=tokenize_s,
                queue_s=last.queue_s,
                encode_s=last.encode_s,
                decode_s=last.decode_s,
                detokenize_s=time.perf_counter() - started,
            ),
            sentence_spans=joined[0][1],
            work=_work(decoded),
            is_given=text.target is not None,
        )


def _work(decoded: Sequence[Decoded]) -> Work:
    """Of all pieces; their passes went side by side."""
    total = sum((piece.work for piece in decoded), Work())
    return replace(total, nat_passes=max(piece.work.nat_passes for piece in decoded))


def token_logps(hypothesis: Hypothesis, tokenizer: Tokenizer) -> tuple[TokenScore, ...]:
    """Each token that was put out, the end token included, and its log-probability."""
    end = () if _was_cut(hypothesis) else (tokenizer.eos_id,)
    pairs = zip((*hypothesis.ids, *end), hypothesis.token_logps, strict=True)
    return tuple(TokenScore(tokenizer.token(index), logp) for index, logp in pairs)


class _Joiner:
    """Joins hypotheses of the pieces of one text."""

    def __init__(self, text: Prepared, tokenizer: Tokenizer, output: Output, *, copies_unknown: bool) -> None:
        self._text, self._tokenizer, self._output = text, tokenizer, output
        self._copies_unknown = copies_unknown
        self._spans = text.layout.spans
        self._source_words: dict[int, list[Word]] = {}
        self._source_offsets = Offsets(text.text, output.offset_unit)

    def join(self, chosen: Sequence[Hypothesis]) -> tuple[TextHypothesis, tuple[SpanPair, ...]]:
        """One reading of the text, and where its pieces went.

        Its score is the pieces' mean by length, which is the score of a text of one piece.
        """
        pieces, surfaces = list(self._text.layout.pieces), dict[int, list[str]]()
        decoded = [index for index, ids in enumerate(self._text.ids) if ids]
        own = dict(zip(decoded, chosen, strict=True))
        for index, hypothesis in own.items():
            if self._text.target is not None:
                pieces[index] = self._text.target.text
            elif self._needs_surfaces(hypothesis):
                surfaces[index] = self._surfaces(index, hypothesis)
                pieces[index] = "".join(surfaces[index])
            else:
                pieces[index] = self._tokenizer.decode(hypothesis.ids)
        text = self._text.layout.join(pieces)
        new_spans = self._text.layout.spans_of(pieces)
        offsets = Offsets(text, self._output.offset_unit)
        spans, alignments, tokens = list[SpanPair](), list[Alignment](), list[TokenScore]()
        if self._output.sentence_spans:
            spans = [self._pair(*pair, offsets) for pair in zip(self._spans, new_spans, strict=True)]
        for index, hypothesis in own.items():
            if self._output.alignments:
                found = self._alignments(index, hypothesis, surfaces[index])
                alignments += (self._placed(link, index, new_spans[index].start, offsets) for link in found)
            if self._output.token_scores:
                tokens += token_logps(hypothesis, self._tokenizer)
        reason = _reason(chosen)
        logp = sum(one.logp for one in chosen)
        return TextHypothesis(text, logp, _score(chosen), reason, tuple(tokens), tuple(alignments)), tuple(spans)

    def _needs_surfaces(self, hypothesis: Hypothesis) -> bool:
        if self._output.alignments or any(map(self._tokenizer.is_copied, hypothesis.ids)):
            return True
        return self._copies_unknown and self._tokenizer.unk_id in hypothesis.ids

    def _surfaces(self, index: int, hypothesis: Hypothesis) -> list[str]:
        """What each token adds to the translation: words of the source where tokens are copies or unknown words."""
        surfaces = list(self._tokenizer.surfaces(hypothesis.ids))
        piece, before = self._text.layout.pieces[index], None
        is_apart = True  # whether nothing or white space stands before
        for place, target_id in enumerate(hypothesis.ids):
            found = self._found(index, hypothesis, place)
            if found is not None:
                # Several unknown tokens in a row that stand for one word are that word once.
                text, needs_space = (
                    piece[found.start : found.end],
                    not is_apart and self._begins(index, found, target_id),
                )
                surfaces[place] = "" if found is before else f" {text}" if needs_space else text
            before = found
            if surfaces[place]:
                is_apart = surfaces[place][-1].isspace()
        return surfaces

    def _found(self, index: int, hypothesis: Hypothesis, place: int) -> Span | None:
        """Where in the piece the text of a token stands that the vocabulary has no text for."""
        target_id = hypothesis.ids[place]
        if self._tokenizer.is_copied(target_id):
            return self._copied_span(index, self._tokenizer.source_position(target_id))
        source = self._words(index)
        if target_id != self._tokenizer.unk_id or not self._copies_unknown or not source:
            return None
        assert hypothesis.attention is not None, "copying asks the lanes for attention"
        return source[int(word_weights(source, hypothesis.attention[place]).argmax())].span

    def _copied_span(self, index: int, position: int) -> Span:
        """Of a source token, without the white space around it."""
        piece = self._text.layout.pieces[index]
        span = self._tokenizer.source_spans(piece, self._text.pair)[position]
        assert span is not None, "only tokens of the text are copied"
        text = piece[span.start : span.end]
        return Span(span.end - len(text.lstrip()), span.start + len(text.rstrip()))

    def _begins(self, index: int, span: Span, target_id: int) -> bool:
        """Whether what stands at a span is a word of its own: of copied tokens, those that are one in the source."""
        piece = self._text.layout.pieces[index]
        return not self._tokenizer.is_copied(target_id) or span.start == 0 or piece[span.start - 1].isspace()

    def _words(self, index: int) -> list[Word]:
        """The source words of a piece."""
        if index not in self._source_words:
            piece = self._text.layout.pieces[index]
            self._source_words[index] = words(piece, self._tokenizer.source_spans(piece, self._text.pair))
        return self._source_words[index]

    def _alignments(self, index: int, hypothesis: Hypothesis, surfaces: Sequence[str]) -> list[Alignment]:
        """The links of a piece, counted from its beginning and its translation's."""
        assert hypothesis.attention is not None, "alignments ask the lanes for attention"
        spans, position = list[Span | None](), 0
        for target_id, surface in zip(hypothesis.ids, surfaces, strict=True):
            is_nothing = not surface and self._tokenizer.is_hidden(target_id)
            spans.append(None if is_nothing else Span(position, position + len(surface)))
            position += len(surface)
        return list(links(self._words(index), words("".join(surfaces), spans), hypothesis.attention))

    def _placed(self, link: Alignment, index: int, start: int, offsets: Offsets) -> Alignment:
        """A link of a piece as one of the whole text."""
        pair = self._pair(_moved(link.source, self._spans[index].start), _moved(link.target, start), offsets)
        return Alignment(pair.source, pair.target, link.weight)

    def _pair(self, source: Span, target: Span, offsets: Offsets) -> SpanPair:
        return SpanPair(self._source_offsets.of(source), offsets.of(target))


def _moved(span: Span, by: int) -> Span:
    return Span(span.start + by, span.end + by)


def _of_rank(decoded: Sequence[Decoded], rank: int) -> list[Hypothesis]:
    """Every piece's hypothesis of this rank; the last one of a piece that has fewer."""
    return [piece.hypotheses[min(rank, len(piece.hypotheses) - 1)] for piece in decoded]


def _score(chosen: Sequence[Hypothesis]) -> float:
    if len(chosen) <= 1:
        return chosen[0].score if chosen else 0.0
    lengths = [max(1, _length(one)) for one in chosen]
    return sum(one.score * length for one, length in zip(chosen, lengths, strict=True)) / sum(lengths)


def _reason(chosen: Sequence[Hypothesis]) -> FinishReason:
    if not chosen:
        return FinishReason.EMPTY_INPUT
    return FinishReason.LENGTH if any(map(_was_cut, chosen)) else FinishReason.STOP


def _was_cut(hypothesis: Hypothesis) -> bool:
    return hypothesis.reason is FinishReason.LENGTH


def _length(hypothesis: Hypothesis) -> int:
    """Target tokens, the end token included where it was put out."""
    return len(hypothesis.ids) + (not _was_cut(hypothesis))
