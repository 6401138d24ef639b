"""One text on its way in: cut into segments and numbered. One whose translation is given, to be scored, is not cut.

What the model reads of a segment with protected spans is a `ShownText`, in which forms stand for them. A segment that
has nothing the model could read (an invisible mark, say), or nothing but protected spans, is not decoded: it is kept as
it stands; and so are symbols at the ends of a segment. In place of a text that cannot be translated stands the
`InvalidRequest` that says why.
"""

import dataclasses
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from dragoman.bundle.manifest import Decoding, LanguagePair, Limits
from dragoman.server.core.errors import InvalidRequest, Violation, quoted
from dragoman.server.core.protection import Keeping, ProtectedSpan, SpanKind
from dragoman.server.core.requests import InputFormat, Splitting
from dragoman.server.core.segments import Segment
from dragoman.server.core.spans import Span
from dragoman.server.text.breaks import Break, line_breaks
from dragoman.server.text.forms import Attempt, ShownText, moved, show
from dragoman.server.text.markup.marked import MarkedText
from dragoman.server.text.markup.passages import Passage
from dragoman.server.text.splitting import TextLayout, fit, joined, split
from dragoman.server.text.term_spans import FindTerms, no_terms, with_terms
from dragoman.server.text.tokenizer import Tokenizer

MAX_SUPPRESSED_TOKENS = 256

Find = Callable[[str], Sequence[ProtectedSpan]]
"""Finds what is protected in a text, in order and apart."""


def unprotected(text: str) -> Sequence[ProtectedSpan]:  # noqa: ARG001 - whatever it is
    """Nothing is."""
    return ()


@dataclass(frozen=True)
class Target:
    """A given translation."""

    text: str
    ids: tuple[int, ...]
    """What follows the prefix, without the end token."""


@dataclass(frozen=True)
class PreparedText:
    """A text that is ready to be decoded."""

    text: str
    layout: TextLayout
    ids: tuple[tuple[int, ...], ...]
    """For each segment, all that the model reads; empty for a segment that is kept as it stands."""
    pair: LanguagePair
    prefix: tuple[int, ...] = ()
    """What the translation of each segment begins with."""
    copies: tuple[tuple[int, ...], ...] = ()
    """For each segment, as in `Segment`; empty of a model that copies nothing."""
    target: Target | None = None
    """The translation where it is given, of a text of one segment."""

    shown: Mapping[int, ShownText] = dataclasses.field(default_factory=dict)
    """What the model reads of those segments that have protected spans, and how the spans of others are kept."""
    outside: tuple[ProtectedSpan, ...] = ()
    """Protected spans in no segment."""
    target_prefix: str = ""
    """The prefix as it was sent."""
    missed: tuple[ProtectedSpan, ...] = ()
    """Terms that lie in something that is kept as it is."""
    marked: MarkedText | None = None
    """What `text` is the plain text of, if it came with mark-up."""
    truncated: frozenset[int] = frozenset()
    """The segments of which the model does not read the end."""
    context: tuple[int, ...] = ()
    """What the model reads before each segment; the segments' ids have it."""
    passages: tuple[Passage, ...] = ()
    """Of a text with mark-up, each segment with the marks that are its own."""

    @property
    def decoded_ids(self) -> tuple[tuple[int, ...], ...]:
        """The ids of the segments that are decoded."""
        return tuple(ids for ids in self.ids if ids)

    def has_marks(self, index: int) -> bool:
        """Whether a segment has marks that are placed among the words of its translation."""
        return bool(self.passages) and bool(self.passages[index].marks)

    def breaks(self, index: int) -> list[Break]:
        """The white space within a segment that is more than a space. Of mark-up a reader sees none."""
        if self.marked is not None:
            return []
        shown = self.shown.get(index)
        return line_breaks(self.layout.segments[index], [each.span for each in shown.stand_ins] if shown else ())

    def is_placed(self, index: int) -> bool:
        """Whether something is placed among the words of a segment's translation."""
        return self.has_marks(index) or bool(self.breaks(index))

    @property
    def source_tokens(self) -> int:
        """Tokens that the model reads, end tokens included."""
        return sum(map(len, self.ids))


def check_text(text: str, field: str, max_bytes: int) -> str | InvalidRequest:
    """The text, or why it cannot be taken in."""
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError as error:
        return InvalidRequest(field, f"character {error.start} is half of a surrogate pair, which is not text")
    if size > max_bytes:
        return InvalidRequest(field, f"{size} bytes, the limit is {max_bytes} (--max-text-bytes): send it in parts")
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
    truncates: bool = False,
    is_for_memory: bool = False,
    find: Find = unprotected,
    find_terms: FindTerms = no_terms,
    beside: str = "",
    form: InputFormat = InputFormat.PLAIN,
    attributes: bool = False,
    context: str = "",
    most_context: int = 0,
) -> Generator[None, None, PreparedText | InvalidRequest]:
    """Cut a text into segments of at most `max_tokens` tokens and number them. Yields after each segment.

    `find` says what is protected, `find_terms` where terms are; forms that are in what stands `beside` the text are not
    used. A segment that is too long is split with `split_long`, read in part if it `truncates`, or else an error. What
    is cut of a text with mark-up is its plain text, with the texts of `attributes` if they are asked for. What a model
    reads before each segment is of the `context`, and is `most_context` tokens at most of all segments together.
    The model may read more than `max_tokens` where that `is_for_memory`.
    """
    before = tokenizer.encode_context(context, max_tokens // 2) if context else ()
    numbering = Numbering(
        tokenizer, pair, max_tokens, split_long=split_long, truncates=truncates, beside=beside, context=before
    )
    numbering.is_for_memory = is_for_memory
    pieces: list[PreparedSegment] = []
    try:
        marked = None if form is InputFormat.PLAIN else MarkedText.of(text, form, attributes=attributes)
        yield
        text = text if marked is None else marked.plain
        found = with_terms(find(text), find_terms(text)) if marked is None else marked.protected(find, find_terms)
        protected, missed = found
        yield
        spans = split(text, splitting, pair.source) if marked is None else marked.split(splitting, pair.source)
        for span, inner in joined(spans, protected):
            for piece in numbering.pieces(text, span, inner):
                pieces.append(piece)
                if before and len(before) * len(pieces) > most_context:
                    way_out = "send fewer of them, or a shorter context"
                    raise ValueError(f"before each of its segments the context is too many tokens in all: {way_out}")
                yield
    except ValueError as error:
        return InvalidRequest(field, str(error))
    prepared = numbering.prepared(text, pieces, protected)
    return with_marks(replace(prepared, missed=missed) if missed else prepared, marked)


def with_marks(text: PreparedText, marked: MarkedText | None) -> PreparedText:
    """A text that is the plain text of one with mark-up."""
    if marked is None:
        return text
    return replace(text, marked=marked, passages=tuple(marked.passages(text.layout.spans)))


@dataclass(frozen=True)
class PreparedSegment:
    """A segment of a text in the making."""

    span: Span
    ids: tuple[int, ...]
    """Empty of one that is not decoded."""
    shown: ShownText | None = None
    is_truncated: bool = False


class Numbering:
    """Numbers segments of texts for a model."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        pair: LanguagePair,
        max_tokens: int,
        *,
        split_long: bool,
        truncates: bool = False,
        beside: str = "",
        context: tuple[int, ...] = (),
    ) -> None:
        self._tokenizer, self._pair, self._max_tokens = tokenizer.behind(context), pair, max_tokens
        self._context = context
        self._split_long, self._truncates, self._beside = split_long, truncates, beside
        self.is_for_memory = False
        """Whether the model itself reads more."""

    def pieces(self, text: str, span: Span, protected: Sequence[ProtectedSpan] = ()) -> Iterator[PreparedSegment]:
        """A segment with these spans in it, in pieces where it is too long. Raises ValueError if it may have none."""
        if protected:
            attempt = Attempt.AS_WRITTEN if any(each.term is not None for each in protected) else Attempt.FORMS
            shown = self._show(text, span, protected, attempt)
            if attempt < Attempt.FORMS and not self._encode(shown.text):  # there are forms that the model can read
                attempt = Attempt.FORMS
                shown = self._show(text, span, protected, attempt)
            if not shown.has_words:
                yield PreparedSegment(span, (), replace(shown, keeping=Keeping.AS_IT_WAS))
                return
            span, inner = without_edges(text, span, protected)
            if inner:
                if len(inner) < len(protected):
                    shown = self._show(text, span, inner, attempt)
                if not self._truncates or self._is_short(shown.text):  # what is not read to its end keeps nothing
                    yield from self._shown_pieces(span, shown)
                    return
        yield from self._plain_pieces(text, span)

    def again(self, shown: ShownText, attempt: Attempt) -> tuple[tuple[int, ...], ShownText] | None:
        """A segment in another attempt, and its ids; None where it would be too long so."""
        shown = self._with_forms(shown.segment, shown.spans, attempt)
        ids = self._encode(shown.text)
        return (ids, shown) if ids and len(ids) <= self._max_tokens else None

    def cut(self, text: str, span: Span, shown: ShownText) -> Iterator[PreparedSegment]:
        """A segment cut around its spans."""
        reached = 0
        for stand_in in shown.stand_ins:
            yield from self._between(text, span, reached, stand_in.span.start)
            start, end = stand_in.span
            spans = [moved(each, -start) for each in stand_in.spans]
            kept = show(shown.segment[start:end], spans, self._tokenizer.forms.first, keeping=Keeping.CUT)
            yield PreparedSegment(Span(span.start + start, span.start + end), (), kept)
            reached = end
        yield from self._between(text, span, reached, len(shown.segment))

    def prepared(
        self, text: str, pieces: Sequence[PreparedSegment], protected: Sequence[ProtectedSpan]
    ) -> PreparedText:
        """A text of these pieces."""
        spans = [piece.span for piece in pieces]
        shown = {index: piece.shown for index, piece in enumerate(pieces) if piece.shown is not None}
        copies = tuple(
            self._tokenizer.copies(
                self._tokenizer.plain(piece.shown.text if piece.shown else text[slice(*piece.span)]),
                piece.ids,
                self._pair,
            )
            for piece in pieces
        )
        return PreparedText(
            text,
            TextLayout.of(text, spans),
            tuple(piece.ids for piece in pieces),
            self._pair,
            self._tokenizer.forced(self._pair),
            copies,
            shown=shown,
            outside=tuple(_outside(protected, spans)) if protected else (),
            context=self._context,
            truncated=frozenset(index for index, piece in enumerate(pieces) if piece.is_truncated),
        )

    def _plain_pieces(self, text: str, span: Span) -> Iterator[PreparedSegment]:
        ids = self._encode(text[span.start : span.end])
        if self._fits(ids):
            yield PreparedSegment(span, ids)
            return
        if self._truncates:
            plain = self._tokenizer.plain(text[span.start : span.end])
            ids = self._tokenizer.encode_beginning(plain, self._pair, self._max_tokens)
            if not ids:
                raise ValueError(f"nothing of it would be read: {self._reads()}")
            yield PreparedSegment(span, ids, is_truncated=True)
            return
        for part in fit(text, span, self._is_short):
            yield PreparedSegment(part, self._encode(text[part.start : part.end]))

    def _shown_pieces(self, span: Span, shown: ShownText) -> Iterator[PreparedSegment]:
        ids = self._encode(shown.text)
        if self._fits(ids):
            yield PreparedSegment(span, ids, shown)
            return
        whole = [stand_in.shown for stand_in in shown.stand_ins]
        for stretch in fit(shown.text, Span(0, len(shown.text)), self._is_short, whole):
            part, inner = shown.part(stretch), shown.source(stretch)
            place = Span(span.start + inner.start, span.start + inner.end)
            ids = self._encode(part.text) if part.has_words else ()
            if ids or not part.stand_ins:
                yield PreparedSegment(place, ids, part if part.stand_ins else None)
            else:
                yield PreparedSegment(place, (), replace(part, keeping=Keeping.AS_IT_WAS))

    def _between(self, text: str, span: Span, start: int, end: int) -> Iterator[PreparedSegment]:
        """What stands between two spans of a segment; marks alone stay as they are."""
        stretch = text[span.start + start : span.start + end]
        place = Span(span.start + end - len(stretch.lstrip()), span.start + start + len(stretch.rstrip()))
        if any(map(str.isalnum, stretch)):
            yield from self._plain_pieces(text, place)
        elif place.start < place.end:
            yield PreparedSegment(place, ())

    def _show(self, text: str, span: Span, protected: Sequence[ProtectedSpan], attempt: Attempt) -> ShownText:
        spans = [moved(each, -span.start) for each in protected]
        return self._with_forms(text[span.start : span.end], spans, attempt)

    def _with_forms(self, segment: str, spans: Sequence[ProtectedSpan], attempt: Attempt) -> ShownText:
        first, second, number = self._tokenizer.forms
        if attempt is Attempt.OTHER_FORMS:
            first = number = second
        return show(segment, spans, first, number=number, attempt=attempt, beside=self._beside)

    def _encode(self, text: str) -> tuple[int, ...]:
        return self._tokenizer.encode(self._tokenizer.plain(text), self._pair)

    def _fits(self, ids: Sequence[int]) -> bool:
        """Whether the model can read it. Raises ValueError where it cannot and may get no parts of it."""
        if len(ids) <= self._max_tokens:
            return True
        if self._split_long or self._truncates:
            return False
        way_out = "let it be split (on_too_long), or send shorter sentences"
        raise ValueError(f"a segment of {len(ids)} tokens, {self._reads()}: {way_out}")

    def _reads(self) -> str:
        """How much is read, and why no more."""
        if self.is_for_memory:
            return f"memory has room for {self._max_tokens}, decoded as this is asked for (--lane-memory)"
        return f"the model reads at most {self._max_tokens}"

    def _is_short(self, stretch: str) -> bool:
        return len(self._encode(stretch)) <= self._max_tokens


def without_edges(text: str, span: Span, protected: Sequence[ProtectedSpan]) -> tuple[Span, Sequence[ProtectedSpan]]:
    """A segment without the symbols at its ends and the white space beside them, and what is protected in it then."""
    (start, end), first, last = span, 0, len(protected)
    while first < last and _is_edge(protected[first]) and protected[first].span.start == start:
        start = protected[first].span.end
        start = end - len(text[start:end].lstrip())
        first += 1
    while first < last and _is_edge(protected[last - 1]) and protected[last - 1].span.end == end:
        end = protected[last - 1].span.start
        end = start + len(text[start:end].rstrip())
        last -= 1
    return Span(start, end), protected[first:last]


def _is_edge(protected: ProtectedSpan) -> bool:
    return protected.kind is SpanKind.SYMBOL and protected.put is None


def _outside(protected: Sequence[ProtectedSpan], spans: Sequence[Span]) -> Iterator[ProtectedSpan]:
    """What of the protected spans is in none of these."""
    number = 0
    for each in protected:
        while number < len(spans) and spans[number].end <= each.span.start:
            number += 1
        if number == len(spans) or each.span.end <= spans[number].start:
            yield each


def whole(text: PreparedText, *, field: str, what: str) -> PreparedText | InvalidRequest:
    """A text that is one segment, as `what` is only possible for one."""
    if len(text.ids) == len(text.decoded_ids) == 1:
        return text
    if not text.decoded_ids:
        return InvalidRequest(field, f"the text has nothing to translate, and so no place for {what}")
    way_out = "set splitting to none, or send its parts as texts of their own"
    message = f"the text is cut into {len(text.ids)} segments, and {what} is for a text of one: {way_out}"
    return InvalidRequest(field, message)


def with_prefix(
    text: PreparedText, prefix: str, *, field: str, tokenizer: Tokenizer, decoding: Decoding
) -> PreparedText | InvalidRequest:
    """A text whose translation begins with `prefix`."""
    if not prefix:
        return text
    checked = whole(text, field=field, what="a prefix")
    if isinstance(checked, InvalidRequest):
        return checked
    ids = prefix_ids(text, prefix, tokenizer)
    if tokenizer.unk_id in ids:
        return InvalidRequest(field, f"the model's vocabulary has no token for a part of {quoted(prefix)}")
    [source] = text.decoded_ids
    most = Segment(source, decoding).max_target_tokens
    if len(ids) >= most:
        limits = "decoding.max_length, decoding.max_length_factor"
        message = f"{len(ids)} tokens, and the translation has room for {most} with its end ({limits})"
        return InvalidRequest(field, message)
    return replace(text, prefix=ids, target_prefix=prefix)


def prefix_ids(text: PreparedText, prefix: str, tokenizer: Tokenizer) -> tuple[int, ...]:
    """What the translation of a text of one segment begins with: a symbol before the segment is not part of it, and
    forms stand for the spans in it.
    """
    gap = text.layout.gaps[0]
    if gap.strip() and prefix.startswith(gap.rstrip()):
        prefix = prefix.removeprefix(gap.rstrip()).lstrip()
    if 0 in text.shown:
        prefix = text.shown[0].prefix(prefix)
    return (*tokenizer.forced(text.pair), *tokenizer.encode_target(prefix))


def prepare_given(
    text: str, target: str, *, fields: tuple[str, str], tokenizer: Tokenizer, pair: LanguagePair, limits: Limits
) -> PreparedText | InvalidRequest:
    """Number a text and its given translation, neither of which is cut. `fields` are where they stand."""
    ids, target_ids = tokenizer.encode(text, pair), tokenizer.encode_target_of(target, text, pair)
    prefix = tokenizer.forced(pair)
    if not ids:
        return InvalidRequest(fields[0], "nothing in it that the model could read")
    lengths = len(ids), len(prefix) + len(target_ids) + 1
    for field, length, most in zip(fields, lengths, (limits.max_source_tokens, limits.max_target_tokens), strict=True):
        if length > most:
            message = f"{length} tokens with the end token, the model takes at most {most}: score it in parts"
            return InvalidRequest(field, message)
    layout, copies = TextLayout.of(text, [Span(0, len(text))]), tokenizer.copies(text, ids, pair)
    return PreparedText(text, layout, (ids,), pair, prefix, (copies,), Target(target, target_ids))


def suppressed_ids(tokens: Sequence[str], tokenizer: Tokenizer) -> tuple[int, ...]:
    """Ids of the tokens that a request does not want to see."""
    field = "decoding.suppressed_tokens"
    if len(tokens) > MAX_SUPPRESSED_TOKENS:
        raise InvalidRequest(field, f"{len(tokens)} tokens, the limit is {MAX_SUPPRESSED_TOKENS}")
    ids = [tokenizer.token_id(token) for token in tokens]
    violations = [
        Violation(f"{field}[{index}]", f"{quoted(token)} is no token of the model's target vocabulary")
        for index, (token, target_id) in enumerate(zip(tokens, ids, strict=True))
        if target_id is None
    ]
    violations += [
        Violation(f"{field}[{index}]", f"{quoted(token)} is the end token, and no translation would end")
        for index, (token, target_id) in enumerate(zip(tokens, ids, strict=True))
        if target_id == tokenizer.eos_id
    ]
    if violations:
        raise InvalidRequest.of(violations)
    return tuple(dict.fromkeys(target_id for target_id in ids if target_id is not None))
