"""Further attempts at the texts of a request whose translations do not hold their protected spans.

Whatever a text was decoded to is kept where the request wants that; what replaces a segment's answer takes over the
time and the work of the one that it replaces, so that a result says what it took in all.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field

from dragoman.server.core.changing import changed
from dragoman.server.core.segments import Decoded, Segment
from dragoman.server.pipeline.cache import BundleCache
from dragoman.server.text.assembling import Assembler
from dragoman.server.text.attempts import next_attempt
from dragoman.server.text.preparing import PreparedText
from dragoman.server.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Attempted:
    """A text as it is tried, and what is decoded of it."""

    text: PreparedText
    segments: Sequence[Segment | Decoded]
    spent: Mapping[int, Decoded] = field(default_factory=dict)
    """What was decoded in vain before, by the number of the segment that is tried in its place."""

    def settled(self, decoded: Sequence[Decoded]) -> list[Decoded]:
        """The answers of its segments, with what was spent before."""
        return [
            _after(self.spent[number], answer) if number in self.spent else answer
            for number, answer in enumerate(decoded)
        ]


@dataclass(frozen=True)
class Attempts:
    """How the texts of one request are tried again."""

    tokenizer: Tokenizer
    assembler: Assembler
    template: Segment
    """What all that is decoded again has in common."""
    max_tokens: int
    is_whole: bool
    """Whether texts must stay one segment."""
    recalls: BundleCache | None
    keeps: BundleCache | None

    def next(self, tried: Attempted, decoded: Sequence[Decoded]) -> Generator[None, None, Attempted | None]:
        """The next attempt at a text; None where all its spans are held. Yields wherever it may be put off."""
        if self.keeps is not None:
            for segment, answer in zip(tried.segments, decoded, strict=True):
                if isinstance(segment, Segment):
                    self.keeps.remember(segment, answer)
                yield
        missing = self.assembler.missing(tried.text, decoded)
        yield
        if not missing:
            return None
        is_whole = self.is_whole or bool(tried.text.target_prefix)
        text, befores = next_attempt(
            tried.text, missing, tokenizer=self.tokenizer, max_tokens=self.max_tokens, is_whole=is_whole
        )
        yield
        settled, segments, spent = tried.settled(decoded), list[Segment | Decoded](), dict[int, Decoded]()
        read = ((ids, copies) for ids, copies in zip(text.ids, text.copies, strict=True) if ids)
        last = -1
        for (ids, copies), before in zip(read, befores, strict=True):
            if before.is_same:
                segments.append(settled[before.number])
                continue
            if before.number != last:  # of the parts of a segment, the first one takes over what that has spent
                spent[len(segments)] = settled[before.number]
            last = before.number
            segment = changed(self.template, ids=ids, prefix=text.prefix, copies=copies)
            recalled = self.recalls.recall(segment) if self.recalls is not None else None
            segments.append(recalled or segment)
        return Attempted(text, segments, spent)


def _after(before: Decoded, answer: Decoded) -> Decoded:
    """An answer that took the place of another one, with the time and the work of both."""
    return changed(
        answer,
        steps=before.steps + answer.steps,
        queue_s=before.queue_s + answer.queue_s,
        encode_s=before.encode_s + answer.encode_s,
        decode_s=before.decode_s + answer.decode_s,
        work=before.work + answer.work,
        is_remembered=before.is_remembered and answer.is_remembered,
    )
