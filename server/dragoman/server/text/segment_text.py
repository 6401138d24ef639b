"""A segment of a text on its way back: what the tokens of its hypotheses add to the translation, and which words of the
segment they come from.

Some tokens have no text of their own: a copy stands for a token of the source, and an unknown word for nothing that the
vocabulary has. A copy is shown as what it copies, and an unknown word, where that is asked for, as the source word that
it attends to most. Of a segment with protected spans, the model has read forms, which become the spans again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial

from dragoman.bundle.manifest import LanguagePair
from dragoman.server.core.segments import Hypothesis
from dragoman.server.core.spans import Span
from dragoman.server.core.translations import Alignment
from dragoman.server.text.alignment import Word, links, word_weights, words
from dragoman.server.text.forms import Attempt, ShownText
from dragoman.server.text.quotes import lost_quote_edits, quote_edits
from dragoman.server.text.restoring import Attended, Edit, Restored, lenient_edits, restored, strict_edits
from dragoman.server.text.tokenizer import Tokenizer


class SegmentText:
    """The text of one segment, beside which hypotheses of it are read."""

    def __init__(
        self,
        text: str,
        pair: LanguagePair,
        tokenizer: Tokenizer,
        *,
        copies_unknown: bool,
        shown: ShownText | None = None,
        reads: int | None = None,
    ) -> None:
        """`reads` is how many ids the model has read, of a segment of which it does not read the end."""
        self.text = text if shown is None else shown.text
        """What the model has read."""
        self._shown = shown
        self._pair, self._tokenizer = pair, tokenizer
        self._copies_unknown, self._reads = copies_unknown, reads

    @cached_property
    def words(self) -> list[Word]:
        """The words of the segment."""
        return words(self.text, self._token_spans)

    @cached_property
    def _token_spans(self) -> tuple[Span | None, ...]:
        return self._tokenizer.source_spans(self._tokenizer.plain(self.text), self._pair, self._reads)

    def has_borrowed(self, hypothesis: Hypothesis) -> bool:
        """Whether some of its tokens are shown as text of the segment."""
        if self._tokenizer.has_copied(hypothesis.ids):
            return True
        return self._copies_unknown and self._tokenizer.unk_id in hypothesis.ids

    def holding(self, hypotheses: Sequence[Hypothesis]) -> list[int]:
        """Those of the hypotheses that hold the segment's protected spans.

        At the first attempt none, where none has all forms: other forms are better than a lenient reading.
        """
        shown = self._shown
        if shown is None:
            return list(range(len(hypotheses)))
        is_first = shown.attempt is Attempt.FORMS
        if is_first and all(self._strict_edits(hypothesis) is None for hypothesis in hypotheses):
            return []
        return [number for number, hypothesis in enumerate(hypotheses) if self.edits(hypothesis) is not None]

    def edits(self, hypothesis: Hypothesis) -> list[Edit] | None:
        """What makes a hypothesis hold the segment's protected spans; None where nothing does."""
        if self._shown is None:
            return []
        edits, said = self._strict_edits(hypothesis), self.said(hypothesis)
        if edits is None and self._shown.attempt >= Attempt.FORMS:
            edits = lenient_edits(self._shown, said, partial(self._attended, hypothesis))
        if not edits:
            return edits
        curly, lost = quote_edits(self._shown, said, edits, self._pair), lost_quote_edits(self._shown, said, edits)
        return sorted((*edits, *curly, *lost), key=lambda edit: edit.said)

    def _strict_edits(self, hypothesis: Hypothesis) -> list[Edit] | None:
        assert self._shown is not None, "only a segment with protected spans has edits"
        return strict_edits(self._shown, self.said(hypothesis), partial(self._attended, hypothesis))

    def said(self, hypothesis: Hypothesis) -> str:
        """What the model said, with forms."""
        if self.has_borrowed(hypothesis):
            return "".join(self.surfaces(hypothesis))
        return self._tokenizer.decode(hypothesis.ids)

    def restored(self, hypothesis: Hypothesis, edits: Sequence[Edit], *, by_token: bool) -> Restored:
        """The translation: all of it as one surface, or what each token adds to it."""
        surfaces = self.surfaces(hypothesis) if by_token else [self.said(hypothesis)]
        return restored(surfaces, edits) if edits else Restored("".join(surfaces), surfaces)

    def surfaces(self, hypothesis: Hypothesis) -> list[str]:
        """What each token of a hypothesis adds to the translation; joined, they are its text."""
        surfaces = list(self._tokenizer.surfaces(hypothesis.ids))
        last: Span | None = None
        is_apart = True  # whether nothing or white space stands before
        for position, target_id in enumerate(hypothesis.ids):
            span = self._borrowed(hypothesis, position)
            if span is not None:
                text = self.text[span.start : span.end]
                needs_space = not is_apart and self._begins_word(span, target_id)
                # Several unknown tokens in a row that stand for one word are that word once.
                surfaces[position] = "" if span is last else f" {text}" if needs_space else text
            last = span
            if surfaces[position]:
                is_apart = surfaces[position][-1].isspace()
        return surfaces

    def links(self, hypothesis: Hypothesis, surfaces: Sequence[str]) -> Iterator[Alignment]:
        """Links between the segment's words and its translation's, both counted from their beginning."""
        assert hypothesis.attention is not None, "alignments ask the lanes for attention"
        spans, position = list[Span | None](), 0
        for target_id, surface in zip(hypothesis.ids, surfaces, strict=True):
            # The rest of a form, whose first token is all of its span, belongs to no word.
            is_nothing = not surface and (self._shown is not None or self._tokenizer.is_hidden(target_id))
            spans.append(None if is_nothing else Span(position, position + len(surface)))
            position += len(surface)
        for link in links(self.words, words("".join(surfaces), spans), hypothesis.attention):
            yield link if self._shown is None else replace(link, source=self._shown.source(link.source))

    def _attended(self, hypothesis: Hypothesis) -> Attended | None:
        """Which words attended to what, where the hypothesis carries its attention."""
        if hypothesis.attention is None:
            return None
        spans, position = list[Span | None](), 0
        surfaces = self.surfaces(hypothesis)
        for surface in surfaces:
            spans.append(Span(position, position + len(surface)))
            position += len(surface)
        return Attended(words("".join(surfaces), spans), self._token_spans, hypothesis.attention)

    def _borrowed(self, hypothesis: Hypothesis, position: int) -> Span | None:
        """Where in the segment the text of a token stands; None of a token that has text of its own."""
        target_id = hypothesis.ids[position]
        if self._tokenizer.is_copied(target_id):
            return self._copied(self._tokenizer.source_position(target_id))
        if target_id != self._tokenizer.unk_id or not self._copies_unknown or not self.words:
            return None
        assert hypothesis.attention is not None, "copying asks the lanes for attention"
        return self.words[int(word_weights(self.words, hypothesis.attention[position]).argmax())].span

    def _copied(self, position: int) -> Span:
        """Where the token at a position of the source stands, without the white space around it."""
        span = self._token_spans[position]
        assert span is not None, "only tokens of the text are copied"
        text = self.text[span.start : span.end]
        return Span(span.end - len(text.lstrip()), span.start + len(text.rstrip()))

    def _begins_word(self, span: Span, target_id: int) -> bool:
        """Whether what stands at a span is shown as a word of its own; a copy is where it begins one in the source."""
        return not self._tokenizer.is_copied(target_id) or span.start == 0 or self.text[span.start - 1].isspace()
