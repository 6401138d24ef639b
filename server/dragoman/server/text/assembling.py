"""One text on its way out: the decoded segments become text again, are joined, and say where each word came from."""

import time
from collections.abc import Sequence
from dataclasses import replace

from dragoman.server.core.requests import Output
from dragoman.server.core.segments import Decoded, FinishReason, Hypothesis, Work
from dragoman.server.core.spans import Span
from dragoman.server.core.strategies import Chooser
from dragoman.server.core.translations import Alignment, SpanPair, TextHypothesis, Timings, TokenScore, Translation
from dragoman.server.text.offsets import Offsets
from dragoman.server.text.preparing import PreparedText
from dragoman.server.text.segment_text import SegmentText
from dragoman.server.text.tokenizer import Tokenizer


class Assembler:
    """Makes the translations of one request's texts.

    With `copies_unknown`, an unknown-word token is replaced by the source word that it attends to most.
    """

    def __init__(
        self, tokenizer: Tokenizer, output: Output, *, copies_unknown: bool, chooser: Chooser | None = None
    ) -> None:
        self._tokenizer = tokenizer
        self._output = output
        self._copies_unknown = copies_unknown
        self._chooser = chooser

    def translation(self, text: PreparedText, decoded: Sequence[Decoded], tokenize_s: float) -> Translation:
        """The translation of a whole text from its decoded segments, given in order."""
        started = time.perf_counter()
        joiner = _Joiner(text, self._tokenizer, self._output, copies_unknown=self._copies_unknown)
        if not decoded:
            hypothesis, spans = joiner.join([])
            timings = Timings(tokenize_s=tokenize_s)
            return Translation((hypothesis,), FinishReason.EMPTY_INPUT, None, 0, 0, 0, 0, timings, spans)
        if self._chooser is not None:
            decoded = joiner.chosen(decoded, self._chooser)
        ranks = range(max(len(segment.hypotheses) for segment in decoded))
        joined = [joiner.join(_of_rank(decoded, rank)) for rank in ranks]
        last = Timings.last(
            Timings(queue_s=segment.queue_s, encode_s=segment.encode_s, decode_s=segment.decode_s)
            for segment in decoded
        )
        is_given = text.target is not None
        return Translation(
            hypotheses=tuple(hypothesis for hypothesis, _ in joined),
            finish_reason=joined[0][0].finish_reason,
            engine=None if is_given else decoded[0].engine,
            source_tokens=text.source_tokens,
            target_tokens=sum(map(_length, _of_rank(decoded, 0))),
            segments=len(decoded),
            decode_steps=sum(segment.steps for segment in decoded),
            timings=replace(last, tokenize_s=tokenize_s, detokenize_s=time.perf_counter() - started),
            sentence_spans=joined[0][1],
            work=_work(decoded),
            is_given=is_given,
            cache_hit=all(segment.is_remembered for segment in decoded),
        )


def _work(decoded: Sequence[Decoded]) -> Work:
    """What all segments took together; their passes went side by side."""
    total = sum((segment.work for segment in decoded), Work())
    return replace(total, nat_passes=max(segment.work.nat_passes for segment in decoded))


def token_logps(hypothesis: Hypothesis, tokenizer: Tokenizer) -> tuple[TokenScore, ...]:
    """Each token that was emitted, the end token included, and its log-probability."""
    end = (tokenizer.eos_id,) if hypothesis.has_end else ()
    pairs = zip((*hypothesis.ids, *end), hypothesis.token_logps, strict=True)
    return tuple(TokenScore(tokenizer.token(index), logp) for index, logp in pairs)


class _Joiner:
    """Joins hypotheses of the segments of one text."""

    def __init__(self, text: PreparedText, tokenizer: Tokenizer, output: Output, *, copies_unknown: bool) -> None:
        self._text, self._tokenizer, self._output = text, tokenizer, output
        self._decoded = {
            index: SegmentText(text.layout.segments[index], text.pair, tokenizer, copies_unknown=copies_unknown)
            for index, ids in enumerate(text.ids)
            if ids
        }
        self._spans = text.layout.spans
        self._source_offsets = Offsets(text.text, output.offset_unit)

    def join(self, chosen: Sequence[Hypothesis]) -> tuple[TextHypothesis, tuple[SpanPair, ...]]:
        """A hypothesis of the text from one of each decoded segment, and where the segments went.

        Its score is the segments' mean by length, which is the score of a text of one segment.
        """
        segments, surfaces = list(self._text.layout.segments), dict[int, list[str]]()
        hypotheses = dict(zip(self._decoded, chosen, strict=True))
        for index, hypothesis in hypotheses.items():
            if self._text.target is not None:
                segments[index] = self._text.target.text
            elif self._output.alignments:
                surfaces[index] = self._decoded[index].surfaces(hypothesis)
                segments[index] = "".join(surfaces[index])
            else:
                segments[index] = self._said(index, hypothesis)
        text, target_spans = self._text.layout.join(segments), self._text.layout.spans_of(segments)
        offsets = Offsets(text, self._output.offset_unit)
        spans, alignments, tokens = list[SpanPair](), list[Alignment](), list[TokenScore]()
        if self._output.sentence_spans:
            spans = [self._pair(*pair, offsets) for pair in zip(self._spans, target_spans, strict=True)]
        for index, hypothesis in hypotheses.items():
            if self._output.alignments:
                links = self._decoded[index].links(hypothesis, surfaces[index])
                alignments += (self._placed(link, index, target_spans[index].start, offsets) for link in links)
            if self._output.token_scores:
                tokens += token_logps(hypothesis, self._tokenizer)
        logp = sum(hypothesis.logp for hypothesis in chosen)
        joined = TextHypothesis(text, logp, _score(chosen), _reason(chosen), tuple(tokens), tuple(alignments))
        return joined, tuple(spans)

    def chosen(self, decoded: Sequence[Decoded], chooser: Chooser) -> list[Decoded]:
        """The segments with those of their hypotheses that a chooser keeps, and the scores that it gives them."""
        chosen = []
        for index, segment in zip(self._decoded, decoded, strict=True):
            kept = chooser([self._said(index, hypothesis) for hypothesis in segment.hypotheses])
            hypotheses = tuple(replace(segment.hypotheses[n], score=score) for n, score in kept)
            chosen.append(replace(segment, hypotheses=hypotheses))
        return chosen

    def _said(self, index: int, hypothesis: Hypothesis) -> str:
        """The text of a hypothesis of one segment."""
        if self._decoded[index].has_borrowed(hypothesis):
            return "".join(self._decoded[index].surfaces(hypothesis))
        return self._tokenizer.decode(hypothesis.ids)

    def _placed(self, link: Alignment, index: int, start: int, offsets: Offsets) -> Alignment:
        """A link of a segment as a link of the whole text."""
        pair = self._pair(_moved(link.source, self._spans[index].start), _moved(link.target, start), offsets)
        return Alignment(pair.source, pair.target, link.weight)

    def _pair(self, source: Span, target: Span, offsets: Offsets) -> SpanPair:
        return SpanPair(self._source_offsets.of(source), offsets.of(target))


def _moved(span: Span, by: int) -> Span:
    return Span(span.start + by, span.end + by)


def _of_rank(decoded: Sequence[Decoded], rank: int) -> list[Hypothesis]:
    """Every segment's hypothesis of this rank; the last one of a segment that has fewer."""
    return [segment.hypotheses[min(rank, len(segment.hypotheses) - 1)] for segment in decoded]


def _score(chosen: Sequence[Hypothesis]) -> float:
    if len(chosen) <= 1:
        return chosen[0].score if chosen else 0.0
    lengths = [max(1, _length(hypothesis)) for hypothesis in chosen]
    return sum(hyp.score * length for hyp, length in zip(chosen, lengths, strict=True)) / sum(lengths)


def _reason(chosen: Sequence[Hypothesis]) -> FinishReason:
    if not chosen:
        return FinishReason.EMPTY_INPUT
    reasons = {hypothesis.reason for hypothesis in chosen}
    worst = (FinishReason.REPETITION, FinishReason.LENGTH)
    return next((reason for reason in worst if reason in reasons), FinishReason.STOP)


def _length(hypothesis: Hypothesis) -> int:
    """Target tokens, the end token included where there is one."""
    return len(hypothesis.ids) + hypothesis.has_end
