"""Quotation marks around protected spans: where the text has curly ones and the model wrote plain ones, the text's.

Vocabularies often lack curly quotes, which are then read and written as plain ones. What is quoted and stays as it was
keeps its quotes, too; but only in languages that write them so: elsewhere they would be foreign. Where the model has
written one of two plain ones around a span, the other one is put there.
"""

import re
from collections.abc import Sequence

from dragoman.bundle.manifest import LanguagePair
from dragoman.server.core.spans import Span
from dragoman.server.text.forms import ShownText
from dragoman.server.text.restoring import Edit

_LANGUAGES = frozenset(("ca", "en", "es", "hi", "id", "it", "ko", "ms", "nl", "pt", "th", "tr", "vi", "zh"))
_MARKS = (("\u201c", "\u201d", '"'), ("\u2018", "\u2019", "'"))
"""Before and after what is quoted, and the plain one for both."""
_PLAIN = {quote: re.compile(rf"(?<!\w){quote}|{quote}(?!\w)") for quote in "\"'"}


def quote_edits(shown: ShownText, said: str, edits: Sequence[Edit], pair: LanguagePair) -> list[Edit]:
    """What makes curly quotes of the plain ones around forms in what the model said, if those are pairs."""
    if said.count('"') % 2 or pair.target.partition("-")[0].lower() not in _LANGUAGES:
        return []
    made: list[Edit] = []
    taken = {position for edit in edits for position in range(*edit.said)}
    for edit in edits:
        for opening, closing, plain in _MARKS:
            if not _is_quoted(shown.segment, edit, opening, closing):
                continue
            before, after = edit.said.start - 1, _closing(said, edit.said.end, plain)
            if before >= 0 and said[before] == plain and after >= 0 and taken.isdisjoint((before, after)):
                made += Edit(Span(before, before + 1), opening), Edit(Span(after, after + 1), closing)
                taken |= {before, after}
    return made


def lost_quote_edits(shown: ShownText, said: str, edits: Sequence[Edit]) -> list[Edit]:
    """What puts the second quote around a form around which the text has two and the model wrote one."""
    made: list[Edit] = []
    for edit in edits:
        if edit.stand_in is None or edit.stand_in.is_said:
            continue
        start, end = edit.stand_in.span
        quote = shown.segment[end : end + 1]
        if quote not in _PLAIN or shown.segment[start - 1 : start] != quote:
            continue
        before, after = edit.said.start, edit.said.end
        is_begun, is_ended = said[max(0, before - 1) : before] == quote, said[after : after + 1] == quote
        if is_begun != is_ended and _quotes(said, quote) + len(made) < _quotes(shown.segment, quote):
            at = after if is_begun else before
            made.append(Edit(Span(at, at), quote))
    return made


def _quotes(text: str, quote: str) -> int:
    """How often a quote is no apostrophe within a word."""
    return len(_PLAIN[quote].findall(text))


def _is_quoted(segment: str, edit: Edit, opening: str, closing: str) -> bool:
    """Whether a quotation begins with what a form stands for."""
    if edit.stand_in is None or edit.stand_in.is_said:
        return False
    start, end = edit.stand_in.span
    return segment[max(0, start - 1) : start] == opening and _closing(segment, end, closing) >= 0


def _closing(text: str, start: int, mark: str) -> int:
    """Where what is quoted ends; -1: nowhere. A single mark further on may be an apostrophe."""
    if mark in "'\u2019":
        return start if text[start : start + 1] == mark else -1
    return text.find(mark, start)
