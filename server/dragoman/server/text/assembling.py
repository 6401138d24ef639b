"""One text on its way out: the decoded segments become text again, are joined, and say where each word came from."""

import time
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

from dragoman.server.core.protection import Keeping, KeptSpan, ProtectedSpan, SpanKind, TextWarning, WarningKind
from dragoman.server.core.requests import Output
from dragoman.server.core.segments import Decoded, FinishReason, Hypothesis, Work
from dragoman.server.core.spans import Span
from dragoman.server.core.strategies import Chooser
from dragoman.server.core.terms import KnownTerm, TermOccurrence, TermOutcome, TermUse
from dragoman.server.core.translations import (
    Alignment,
    KeepingCounts,
    MarkCounts,
    SpanPair,
    TextHypothesis,
    Timings,
    TokenScore,
    Translation,
)
from dragoman.server.text.breaks import Break, placed
from dragoman.server.text.forms import Attempt, ShownText, StandIn
from dragoman.server.text.marking import marked_by_attention, marked_by_position
from dragoman.server.text.markup.placing import Insertion
from dragoman.server.text.offsets import Offsets
from dragoman.server.text.places import MarkedPlaces, Places, PlainPlaces
from dragoman.server.text.preparing import PreparedText
from dragoman.server.text.restoring import Restored
from dragoman.server.text.reviewing import Reviewed
from dragoman.server.text.segment_text import SegmentText
from dragoman.server.text.spaces import has_wide
from dragoman.server.text.tokenizer import Tokenizer

UNTRANSLATED = TextWarning(WarningKind.UNTRANSLATED)
NOWHERE = Span(0, 0)


class Assembler:
    """Makes the translations of one request's texts.

    With `copies_unknown`, an unknown-word token is replaced by the source word that it attends to most; with
    `mends_numbers`, a number that slipped by the number of the source. What `is_alone` has neither white space nor line
    ends of the source around it or in it.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        output: Output,
        *,
        copies_unknown: bool,
        mends_numbers: bool = False,
        is_reviewed: bool = True,
        is_alone: bool = False,
        chooser: Chooser | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self._output = output
        self._copies_unknown = copies_unknown
        self._mends_numbers, self._is_reviewed, self._is_alone = mends_numbers, is_reviewed, is_alone
        self._chooser = chooser

    def choosing(self, chooser: Chooser | None, *, copies_unknown: bool) -> "Assembler":
        """The same with another chooser."""
        made = copy(self)
        made._chooser, made._copies_unknown = chooser, copies_unknown
        return made

    def translation(self, text: PreparedText, decoded: Sequence[Decoded], tokenize_s: float) -> Translation:
        """The translation of a whole text from its decoded segments, given in order."""
        started = time.perf_counter()
        joiner = self._joiner(text)
        if not decoded:
            joined = joiner.join([])
            return Translation(
                (joined.hypothesis,),
                FinishReason.EMPTY_INPUT,
                None,
                0,
                0,
                0,
                0,
                Timings(tokenize_s=tokenize_s),
                joined.sentence_spans,
                **self._account(joined),
            )
        decoded = joiner.holding(decoded)
        if self._chooser is not None:
            decoded = joiner.chosen(decoded, self._chooser)
        ranks = range(max(len(segment.hypotheses) for segment in decoded))
        joined_ranks = [joiner.join(_of_rank(decoded, rank), is_best=rank == 0) for rank in ranks]
        best = joined_ranks[0]
        last = max(decoded, key=lambda segment: segment.queue_s + segment.encode_s + segment.decode_s)
        is_given = text.target is not None
        return Translation(
            hypotheses=tuple(joined.hypothesis for joined in joined_ranks),
            finish_reason=best.hypothesis.finish_reason,
            engine=None if is_given else decoded[0].engine,
            source_tokens=text.source_tokens,
            target_tokens=sum(map(_length, _of_rank(decoded, 0))),
            segments=len(decoded),
            decode_steps=sum(segment.steps for segment in decoded),
            timings=Timings(tokenize_s, last.queue_s, last.encode_s, last.decode_s, time.perf_counter() - started),
            sentence_spans=best.sentence_spans,
            work=_work(decoded),
            is_given=is_given,
            source_truncated=bool(text.truncated),
            cache_hit=all(segment.is_remembered for segment in decoded),
            **self._account(best),
        )

    def missing(self, text: PreparedText, decoded: Sequence[Decoded]) -> set[int]:
        """The segments of which no hypothesis holds the protected spans, to be tried in another way."""
        if not text.shown:
            return set()
        return self._joiner(text).missing(decoded)

    def _joiner(self, text: PreparedText) -> "_Joiner":
        return _Joiner(
            text,
            self._tokenizer,
            self._output,
            copies_unknown=self._copies_unknown,
            mends_numbers=self._mends_numbers,
            is_reviewed=self._is_reviewed,
            is_alone=self._is_alone,
        )

    def _account(self, joined: "_Joined") -> dict[str, Any]:
        """What a translation says of its protected spans, and what else is to be looked at."""
        return {
            "keeping": KeepingCounts.of(joined.kept) if joined.kept else None,
            "kept": joined.kept if self._output.kept_spans else (),
            "warnings": joined.warnings,
            "terms": TermOutcome.of(joined.terms, with_places=self._output.term_spans),
            "marks": joined.marks,
        }


def _work(decoded: Sequence[Decoded]) -> Work:
    """What all segments took together; their passes went side by side."""
    if len(decoded) == 1:
        return decoded[0].work
    total = sum((segment.work for segment in decoded), Work())
    return replace(total, nat_passes=max(segment.work.nat_passes for segment in decoded))


def token_logps(hypothesis: Hypothesis, tokenizer: Tokenizer) -> tuple[TokenScore, ...]:
    """Each token that was emitted, the end token included, and its log-probability."""
    end = (tokenizer.eos_id,) if hypothesis.has_end else ()
    pairs = zip((*hypothesis.ids, *end), hypothesis.token_logps, strict=True)
    return tuple(TokenScore(tokenizer.token(index), logp) for index, logp in pairs)


@dataclass(frozen=True)
class _Joined:
    """A hypothesis of a whole text, and what is said of it. Offsets are in the unit that was asked for."""

    hypothesis: TextHypothesis
    sentence_spans: tuple[SpanPair, ...]
    kept: tuple[KeptSpan, ...]
    warnings: tuple[TextWarning, ...]
    terms: Sequence[tuple[KnownTerm, TermOccurrence]]
    marks: MarkCounts | None


class _Joiner:
    """Joins hypotheses of the segments of one text."""

    def __init__(
        self,
        text: PreparedText,
        tokenizer: Tokenizer,
        output: Output,
        *,
        copies_unknown: bool,
        mends_numbers: bool,
        is_reviewed: bool,
        is_alone: bool,
    ) -> None:
        self._text, self._tokenizer, self._output = text, tokenizer, output
        self._mends_numbers, self._is_reviewed, self._is_alone = mends_numbers, is_reviewed, is_alone
        reader = tokenizer.behind(text.context)
        self._decoded = {
            index: SegmentText(
                text.layout.segments[index],
                text.pair,
                reader,
                copies_unknown=copies_unknown,
                shown=text.shown.get(index),
                reads=len(ids) if index in text.truncated else None,
            )
            for index, ids in enumerate(text.ids)
            if ids
        }
        broken = () if is_alone else self._decoded
        self._breaks = {index: breaks for index in broken if (breaks := text.breaks(index))}
        source = text.text if text.marked is None else text.marked.document.source
        self._source_offsets = Offsets(source, output.offset_unit)

    def missing(self, decoded: Sequence[Decoded]) -> set[int]:
        """The segments of which no hypothesis holds the protected spans."""
        return {
            index
            for index, segment in zip(self._decoded, decoded, strict=True)
            if index in self._text.shown and not self._decoded[index].holding(segment.hypotheses)
        }

    def holding(self, decoded: Sequence[Decoded]) -> list[Decoded]:
        """The segments with those of their hypotheses alone that hold the protected spans."""
        if not self._text.shown:
            return list(decoded)
        holding = []
        for index, segment in zip(self._decoded, decoded, strict=True):
            hypotheses = tuple(segment.hypotheses[n] for n in self._decoded[index].holding(segment.hypotheses))
            assert hypotheses, "a text is joined when its last attempt holds all spans"
            holding.append(
                segment if len(hypotheses) == len(segment.hypotheses) else replace(segment, hypotheses=hypotheses)
            )
        return holding

    def join(self, chosen: Sequence[Hypothesis], *, is_best: bool = True) -> _Joined:
        """A hypothesis of the text from one of each decoded segment, and where the segments went.

        Its score is the segments' mean by length, which is the score of a text of one segment. Only of the best one it
        is said what a reader should look at.
        """
        segments, warned, reviews = list(self._text.layout.segments), list[int](), dict[int, list[TextWarning]]()
        restored, hypotheses = dict[int, Restored](), dict(zip(self._decoded, chosen, strict=True))
        for index, shown in self._text.shown.items():
            if shown.keeping is not None:
                segments[index], _ = shown.as_it_was
                warned += [index] if _is_unread(shown) else []
        for index, hypothesis in hypotheses.items():
            if self._text.target is not None:
                segments[index] = self._text.target.text
                continue
            review = self._reviewed(index, hypothesis)
            if index in self._breaks:
                review = replace(review, target=self._broken(index, hypothesis, review.target))
            restored[index] = review.target
            if self._is_reviewed and not review.target.text.strip():
                warned.append(index)
                continue
            segments[index] = review.target.text
            if is_best and self._is_reviewed:
                reviews[index] = review.warnings(hypothesis.reason)
        places = self._places(segments, hypotheses, restored)
        warned += places.unwritten
        offsets = Offsets(places.text, self._output.offset_unit)
        spans, alignments, tokens = list[SpanPair](), list[Alignment](), list[TokenScore]()
        if self._output.sentence_spans:
            spans = [self._pair(pair, offsets) for pair in places.segments]
        for index, hypothesis in hypotheses.items():
            if self._output.alignments and index not in warned:
                for link in self._decoded[index].links(hypothesis, restored[index].surfaces):
                    pair = self._pair(places.pair(index, link.source, link.target), offsets)
                    alignments.append(Alignment(pair.source, pair.target, link.weight))
            if self._output.token_scores:
                tokens += token_logps(hypothesis, self._tokenizer)
        logp = sum(hypothesis.logp for hypothesis in chosen)
        joined = TextHypothesis(places.text, logp, _score(chosen), _reason(chosen), tuple(tokens), tuple(alignments))
        warnings = [
            self._warned(index, warning, places, offsets)
            for index in sorted({*reviews, *warned})
            for warning in ((UNTRANSLATED,) if index in warned else reviews[index])
        ]
        kept, terms = self._kept(restored, places, offsets)
        return _Joined(joined, tuple(spans), kept, tuple(warnings), terms, self._marks(hypotheses))

    def _places(
        self, segments: Sequence[str], hypotheses: Mapping[int, Hypothesis], restored: Mapping[int, Restored]
    ) -> Places:
        """The text with these segments in place of its own."""
        if self._text.marked is None:
            return PlainPlaces(self._text, segments, is_alone=self._is_alone)
        insertions = {
            index: self._insertions(index, hypothesis, restored[index])
            for index, hypothesis in hypotheses.items()
            if self._text.has_marks(index)
        }
        kept = {index: self._unchanged(index, restored) for index in self._text.shown}
        layouts = {index: self._layout(index, hypothesis, restored[index]) for index, hypothesis in hypotheses.items()}
        return MarkedPlaces(self._text, segments, insertions, kept, layouts)

    def _broken(self, index: int, hypothesis: Hypothesis, restored: Restored) -> Restored:
        """A translation with the line ends of its segment."""
        source = self._text.layout.segments[index]
        return restored.with_runs(self._runs(index, hypothesis, restored, self._breaks[index], source))

    def _layout(self, index: int, hypothesis: Hypothesis, restored: Restored) -> list[tuple[Span, str]]:
        """Where in a translation the mark-up had white space that is more than a space, and that."""
        assert self._text.marked is not None, "a text with mark-up"
        passage = self._text.passages[index]
        breaks = passage.breaks(self._text.marked.document.source)
        if not breaks:
            return []
        runs = self._runs(index, hypothesis, restored, breaks, passage.text)
        return [(span, written) for span, written in runs if span.start < span.end]

    def _runs(
        self, index: int, hypothesis: Hypothesis, restored: Restored, breaks: Sequence[Break], source: str
    ) -> list[tuple[Span, str]]:
        """Where white space of a segment stands in its translation."""
        links: Sequence[Alignment] = ()
        if hypothesis.attention is not None and self._by_token(index):
            links = list(self._decoded[index].links(hypothesis, restored.surfaces))
        return placed(breaks, source, restored.text, links, sorted(place for _, place, _ in restored.places))

    def _by_token(self, index: int) -> bool:
        """Whether it matters what each token adds to a translation."""
        return self._output.alignments or self._text.has_marks(index) or index in self._breaks

    def _insertions(self, index: int, hypothesis: Hypothesis, restored: Restored) -> list[Insertion]:
        """Where the marks of a segment are in its translation."""
        passage = self._text.passages[index]
        if hypothesis.attention is None:
            return marked_by_position(passage, restored.text)
        return marked_by_attention(
            passage, restored.text, list(self._decoded[index].links(hypothesis, restored.surfaces))
        )

    def _marks(self, hypotheses: Mapping[int, Hypothesis]) -> MarkCounts | None:
        """How the marks of the text were placed."""
        if self._text.marked is None:
            return None
        marked = [index for index in hypotheses if self._text.has_marks(index)]
        counts = {index: len(self._text.passages[index].marks) for index in marked}
        by_position = sum(count for index, count in counts.items() if hypotheses[index].attention is None)
        return MarkCounts(sum(counts.values()) - by_position, by_position) if counts else None

    def chosen(self, decoded: Sequence[Decoded], chooser: Chooser) -> list[Decoded]:
        """The segments with those of their hypotheses that a chooser keeps, and the scores that it gives them."""
        chosen = []
        for index, segment in zip(self._decoded, decoded, strict=True):
            kept = chooser([self._restored(index, hypothesis).text for hypothesis in segment.hypotheses])
            hypotheses = tuple(replace(segment.hypotheses[n], score=score) for n, score in kept)
            chosen.append(replace(segment, hypotheses=hypotheses))
        return chosen

    def _restored(self, index: int, hypothesis: Hypothesis) -> Restored:
        """The translation of a segment by a hypothesis that holds its spans."""
        segment = self._decoded[index]
        edits = segment.edits(hypothesis)
        assert edits is not None, "hypotheses that do not hold their spans have been left out"
        restored = segment.restored(hypothesis, edits, by_token=self._by_token(index))
        source = self._text.layout.segments[index]
        return restored.with_wide_spaces(source) if has_wide(source) else restored

    def _reviewed(self, index: int, hypothesis: Hypothesis) -> Reviewed:
        """The translation of a segment, with the right number where one slipped."""
        segment, shown = self._decoded[index], self._text.shown.get(index)
        source = self._text.layout.segments[index]
        review = Reviewed(source, shown, self._restored(index, hypothesis), self._text.pair)

        def links() -> Sequence[Alignment]:
            if hypothesis.attention is None:
                return ()
            by_token = segment.restored(hypothesis, segment.edits(hypothesis) or (), by_token=True)
            return list(segment.links(hypothesis, by_token.surfaces))

        return review.mended(links) if self._mends_numbers else review

    def _warned(self, index: int, warning: TextWarning, places: Places, offsets: Offsets) -> TextWarning:
        """A warning about a segment as one about its text."""
        if warning is UNTRANSLATED:
            pair = self._pair(places.segments[index], offsets)
            return replace(warning, source=pair.source, target=pair.target)
        pair = self._pair(places.pair(index, warning.source or NOWHERE, warning.target or NOWHERE), offsets)
        return replace(warning, source=warning.source and pair.source, target=warning.target and pair.target)

    def _kept(
        self, restored: Mapping[int, Restored], places: Places, offsets: Offsets
    ) -> tuple[tuple[KeptSpan, ...], list[tuple[KnownTerm, TermOccurrence]]]:
        """Every protected span of the text, and every term, in source order."""
        if not (self._text.shown or self._text.outside or self._text.missed):
            return (), []
        kept, terms = list[KeptSpan](), list[tuple[KnownTerm, TermOccurrence]]()

        def keep(span: ProtectedSpan, places: SpanPair, keeping: Keeping, use: TermUse) -> None:
            pair = self._pair(places, offsets)
            if span.term is None:
                kept.append(KeptSpan(pair.source, pair.target, span.kind, keeping))
            else:
                terms.append((span.term, TermOccurrence(pair.source, pair.target, use)))

        for index in self._text.shown:
            for each, part, keeping, use in self._parts(index, restored):
                keep(each, places.pair(index, each.span, part), keeping, use)
        for each in self._text.outside:
            keep(each, places.outside(each.span), Keeping.AS_IT_WAS, TermUse.APPLIED)
        for each in self._text.missed:
            assert each.term is not None, "what is missed is a term"
            source = self._source_offsets.of(places.source(each.span))
            terms.append((each.term, TermOccurrence(source, None, TermUse.PROTECTED)))
        terms.sort(key=lambda found: found[1].source)
        return tuple(sorted(kept, key=lambda each: each.source)), terms

    def _unchanged(self, index: int, restored: Mapping[int, Restored]) -> list[tuple[Span, Span]]:
        """What of a segment stands in its translation as it was, and where."""
        return [(each.span, part) for each, part, *_ in self._parts(index, restored) if each.put is None]

    def _parts(
        self, index: int, restored: Mapping[int, Restored]
    ) -> Iterator[tuple[ProtectedSpan, Span, Keeping, TermUse]]:
        """The protected spans of a segment, and where they are in its translation."""
        shown = self._text.shown[index]
        if shown.keeping is None:
            places = restored[index].places
        else:
            places = [(stand_in, span, shown.keeping) for stand_in, span in shown.as_it_was[1]]
        for stand_in, place, keeping in places:
            use = _use(stand_in, keeping, shown)
            for each, part in stand_in.parts(place.start):
                yield each, part, keeping, use

    def _pair(self, pair: SpanPair, offsets: Offsets) -> SpanPair:
        """Two stretches, in the unit that was asked for."""
        return SpanPair(self._source_offsets.of(pair.source), offsets.of(pair.target))


def _use(stand_in: StandIn, keeping: Keeping, shown: ShownText) -> TermUse:
    """How a term came into the translation of a segment."""
    if keeping is Keeping.APPENDED:
        return TermUse.APPENDED
    is_said = stand_in.is_said and shown.attempt is Attempt.AS_WRITTEN and shown.keeping is None
    return TermUse.ALREADY_THERE if is_said else TermUse.APPLIED


def _is_unread(shown: ShownText) -> bool:
    """Whether a segment that is not decoded has words, which the model cannot read."""
    spans = [each.span for stand_in in shown.stand_ins for each in stand_in.spans if each.kind is SpanKind.UNREADABLE]
    return any(char.isalpha() for span in spans for char in shown.segment[span.start : span.end])


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
    worst = (FinishReason.REPETITION, FinishReason.GRAMMAR, FinishReason.LENGTH)
    return next((reason for reason in worst if reason in reasons), FinishReason.STOP)


def _length(hypothesis: Hypothesis) -> int:
    """Target tokens, the end token included where there is one."""
    return len(hypothesis.ids) + hypothesis.has_end
