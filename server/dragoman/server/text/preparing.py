"""One text on its way in: cut into segments and numbered. One whose translation is given, to be scored, is not cut.

A segment that has nothing the model could read (an invisible mark, say) is not decoded: it is kept as it stands. In
place of a text that cannot be translated stands the `InvalidRequest` that says why.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

from dragoman.bundle.manifest import Decoding, LanguagePair, Limits
from dragoman.server.core.errors import InvalidRequest, Violation, quoted
from dragoman.server.core.requests import Splitting
from dragoman.server.core.segments import Segment
from dragoman.server.core.spans import Span
from dragoman.server.text.splitting import TextLayout, fit, split
from dragoman.server.text.tokenizer import Tokenizer

MAX_SUPPRESSED_TOKENS = 256


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

    @property
    def decoded_ids(self) -> tuple[tuple[int, ...], ...]:
        """The ids of the segments that are decoded."""
        return tuple(ids for ids in self.ids if ids)

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
) -> Generator[None, None, PreparedText | InvalidRequest]:
    """Cut a text into segments of at most `max_tokens` tokens and number them. Yields after each segment."""

    def fits(stretch: str) -> bool:
        return len(tokenizer.encode(stretch, pair)) <= max_tokens

    spans: list[Span] = []
    numbered: list[tuple[int, ...]] = []
    for span in split(text, splitting, pair.source):
        yield
        ids = tokenizer.encode(text[span.start : span.end], pair)
        if len(ids) <= max_tokens:
            spans.append(span)
            numbered.append(ids)
            continue
        if not split_long:
            way_out = "let it be split (on_too_long), or send shorter sentences"
            message = f"a segment of {len(ids)} tokens, the model reads at most {max_tokens}: {way_out}"
            return InvalidRequest(field, message)
        try:
            for part in fit(text, span, fits):
                spans.append(part)
                numbered.append(tokenizer.encode(text[part.start : part.end], pair))
                yield
        except ValueError as error:
            return InvalidRequest(field, str(error))
    segments = zip(spans, numbered, strict=True)
    copies = tuple(tokenizer.copies(text[span.start : span.end], ids, pair) for span, ids in segments)
    return PreparedText(text, TextLayout.of(text, spans), tuple(numbered), pair, tokenizer.forced(pair), copies)


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
    ids = (*text.prefix, *tokenizer.encode_target(prefix))
    if tokenizer.unk_id in ids:
        return InvalidRequest(field, f"the model's vocabulary has no token for a part of {quoted(prefix)}")
    [source] = text.decoded_ids
    most = Segment(source, decoding).max_target_tokens
    if len(ids) >= most:
        limits = "decoding.max_length, decoding.max_length_factor"
        message = f"{len(ids)} tokens, and the translation has room for {most} with its end ({limits})"
        return InvalidRequest(field, message)
    return replace(text, prefix=ids)


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
