"""Subtitles (SubRip and WebVTT): sentences are translated whole, also across cues, and parted among their cues again.

A cue's times, number, settings and tags stay. Its lines are read as one text, but for lines of a dialogue, which begin
with dashes and are texts of their own. Where a text ends within a sentence and the next cue goes on soon and in small
letters, both are one unit. A translation is parted between words, where the share of each cue in the source ends, and
rather after a comma than elsewhere. Each cue gets as many lines as it had, or as many as it needs.
"""

import html
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from dragoman.client.documents.document import Document, DocumentOptions, Markup, Unit
from dragoman.client.documents.errors import DocumentError
from dragoman.client.documents.files import text_file
from dragoman.client.documents.text_document import TextDocument

_LINE = re.compile(r"([^\r\n]*)(\r\n|\r|\n|\Z)")
_LINE_END = re.compile(r"\r\n|\r|\n")
_TIME = r"(?:\d+:)?\d{1,2}:\d{2}[.,]\d{1,3}"
_TIMES = re.compile(rf"[ \t]*({_TIME})[ \t]*-->[ \t]*({_TIME})(?:[ \t].*)?")
_TAG = re.compile(r"<[^<>\r\n]*>|\{\\[^{}\r\n]*\}")
_BEFORE = re.compile(rf"(?:{_TAG.pattern}|[ \t])*")
_OPENING = re.compile(r"<(?![/v])[^<>]*>|<v\w[^<>]*>")
"""A tag that has to be closed; a voice of WebVTT has not."""
_CLOSING = re.compile(r"</[^<>]*>\Z")
_DASH = re.compile(r"[-\u2010-\u2015][ \t]*(?=\S)")
_ENDS = re.compile(r"[.!?\u2026\u3002\uff01\uff1f:\u266a\u266b)\]\"\u201d\u00bb]\s*\Z")
_GOES_ON = re.compile(r"[,;\u2013\u2014-]\s*\Z")
_LONGEST_PAUSE_S = 2.0
"""Between two cues of one sentence."""
_MOST_CUES = 6
_MOST_TAGS = 8
"""That are taken off the end of a line."""
_LINE_LENGTH = 42
"""Characters of a line that a viewer reads well, unless the file has longer ones."""
_PUNCTUATION_GAIN = 8
"""How many characters off a cut may be in order to stand behind punctuation."""


@dataclass(frozen=True)
class _Speech:
    """What one voice says in a cue."""

    span: tuple[int, int]
    """Where its lines stand, with all that is around them."""
    cue: int
    before: str
    """A dash and tags, which stay."""
    text: str
    after: str
    is_each: bool
    """Whether the tags stand around each line."""
    lines: int
    markup: Markup
    is_dialogue: bool
    is_first: bool = True
    is_last: bool = True
    """Whether nothing else is said in its cue, before it and after it."""


@dataclass(frozen=True)
class _Cue:
    """A cue's lines, by where they stand, and its times."""

    line: int
    starts_s: float
    ends_s: float
    lines: tuple[tuple[int, int], ...]


def read(data: bytes, options: DocumentOptions) -> Document:
    """A file of subtitles; whether it is WebVTT its first line says."""
    document = TextDocument(text_file(data, options.encoding))
    text = document.file.text
    is_vtt = bool(re.match(r"WEBVTT(?:[ \t\r\n]|\Z)", text))
    cues = list(_cues(text, is_vtt=is_vtt))
    if text.strip() and not cues and not is_vtt:
        raise DocumentError("no subtitles: there is no line of times, such as 00:00:01,000 --> 00:00:02,500")
    speeches = [speech for index, cue in enumerate(cues) for speech in _speeches(text, cue, index, is_vtt=is_vtt)]
    longest = max((end - start for cue in cues for start, end in cue.lines), default=0)
    width = max(_LINE_LENGTH, min(longest, 2 * _LINE_LENGTH))
    write = partial(_written, width=width, line_end="\r\n" if "\r\n" in text else "\n", is_vtt=is_vtt)
    for chain in _chains(speeches, cues):
        source = " ".join(speech.text.strip() for speech in chain)
        units = document.add_units([Unit(source, f"line {cues[chain[0].cue].line}", chain[0].markup)])
        shares = [len(speech.text) for speech in chain]
        for index, speech in enumerate(chain):
            document.add_edit(*speech.span, units, partial(write, speech=speech, shares=shares, index=index))
    return document


def _cues(text: str, *, is_vtt: bool) -> Iterator[_Cue]:
    """Cues in the order of the file. WebVTT's end at a blank line, SubRip's where the next one begins."""
    lines = [match.span(1) for match in _LINE.finditer(text)]
    contents = [text[start:end] for start, end in lines]
    heads = [(index, match) for index, line in enumerate(contents) if (match := _TIMES.fullmatch(line))]
    for position, (index, match) in enumerate(heads):
        end = heads[position + 1][0] if position + 1 < len(heads) else len(lines)
        if is_vtt:
            end = next((number for number in range(index + 1, end) if not contents[number].strip()), end)
        elif position + 1 < len(heads) and end - 1 > index and re.fullmatch(r"\s*\d+\s*", contents[end - 1]):
            end -= 1  # the next cue's number
        body = tuple(lines[number] for number in range(index + 1, end) if contents[number].strip())
        yield _Cue(index + 1, _seconds(match[1]), _seconds(match[2]), body)


def _seconds(time: str) -> float:
    *hours, minutes, seconds = time.replace(",", ".").split(":")
    return 3600 * int(hours[0] if hours else 0) + 60 * int(minutes) + float(seconds)


def _speeches(text: str, cue: _Cue, index: int, *, is_vtt: bool) -> Iterator[_Speech]:
    """What is said in a cue. A dash begins something else, and so does a blank line."""
    voices: list[list[tuple[int, int]]] = []
    for start, end in cue.lines:
        is_next = bool(voices) and len(_LINE_END.findall(text, voices[-1][-1][1], start)) == 1
        if not is_next or _DASH.match(_bare(text[start:end])[1]):
            voices.append([])
        voices[-1].append((start, end))
    for number, lines in enumerate(voices):
        speech = _speech(text, lines, index, is_vtt=is_vtt)
        if speech.text.strip():
            yield replace(speech, is_first=number == 0, is_last=number == len(voices) - 1)


def _speech(text: str, lines: Sequence[tuple[int, int]], cue: int, *, is_vtt: bool) -> _Speech:
    parts = [_bare(text[start:end]) for start, end in lines]
    is_each = len({(before, after) for before, _, after in parts}) == 1 and not any(map(_TAG.search, _inner(parts)))
    if is_each:
        before, after = parts[0][0], parts[0][2]
        inner = " ".join(_inner(parts))
    else:
        before, inner, after = _bare(" ".join(text[start:end] for start, end in lines))
    dash = _DASH.match(inner)
    if dash:
        before, inner, is_each = before + dash[0], inner[dash.end() :], is_each and len(lines) == 1
    markup = Markup.HTML if "<" in inner and _TAG.search(inner) else Markup.NONE
    said = html.unescape(inner) if is_vtt and markup is Markup.NONE else inner
    return _Speech((lines[0][0], lines[-1][1]), cue, before, said, after, is_each, len(lines), markup, bool(dash))


def _inner(parts: Sequence[tuple[str, str, str]]) -> list[str]:
    return [inner for _, inner, _ in parts]


def _bare(line: str) -> tuple[str, str, str]:
    """A line, and the tags around it where they belong together."""
    match = _BEFORE.match(line)
    assert match is not None
    before, inner, after = match[0], line[match.end() :].rstrip(" \t"), ""
    for _ in range(_MOST_TAGS):
        closing = _CLOSING.search(inner, max(0, inner.rfind("<")))
        inner = inner[: closing.start()].rstrip(" \t") if closing else inner
    after = line[match.end() + len(inner) :]
    is_whole = len(_OPENING.findall(before)) == after.count("</") and "</" not in before
    return (before, inner, after) if is_whole and not _TAG.search(inner) else ("", line, "")


def _chains(speeches: Sequence[_Speech], cues: Sequence[_Cue]) -> Iterator[list[_Speech]]:
    """Speeches that make up a sentence together."""
    chain: list[_Speech] = []
    for speech in speeches:
        if chain and not _goes_on(chain[-1], speech, cues):
            yield chain
            chain = []
        chain.append(speech)
        if len(chain) == _MOST_CUES:
            yield chain
            chain = []
    if chain:
        yield chain


def _goes_on(last: _Speech, speech: _Speech, cues: Sequence[_Cue]) -> bool:
    """Whether a speech goes on with the sentence of the one before it."""
    if speech.cue != last.cue + 1 or not (last.is_last and speech.is_first):
        return False
    if Markup.HTML in (last.markup, speech.markup) or speech.is_dialogue:
        return False
    if not -_LONGEST_PAUSE_S <= cues[speech.cue].starts_s - cues[last.cue].ends_s <= _LONGEST_PAUSE_S:
        return False
    begins_small = speech.text.lstrip()[:1].islower() or speech.text.startswith(("I ", "I'"))
    return bool(_GOES_ON.search(last.text)) or (not _ENDS.search(last.text) and begins_small)


def _written(
    texts: Sequence[str], *, speech: _Speech, shares: Sequence[int], index: int, width: int, line_end: str, is_vtt: bool
) -> str:
    """A speech's part of a translation, on lines."""
    part = _parted(" ".join(texts[0].split()), shares)[index]
    lines = _parted(part, [1] * min(max(speech.lines, -(-len(part) // width)), max(1, len(part.split()))))
    if speech.markup is Markup.NONE:
        lines = [html.escape(line, quote=False) if is_vtt else line for line in lines]
    if speech.is_each:
        written = line_end.join(f"{speech.before}{line}{speech.after}" for line in lines)
    else:
        written = speech.before + line_end.join(lines) + speech.after
    return written.replace("-->", "--&gt;" if is_vtt else "->")  # else a line of it would be one of times


def _parted(text: str, shares: Sequence[int]) -> list[str]:
    """The text in parts of these shares, cut between words; where words are too few each part is all of it."""
    cuts = [match.start() for match in re.finditer(" ", text)]
    if len(cuts) < len(shares) - 1:
        wide = [position for position in range(1, len(text)) if ord(text[position]) > 0x2E7F]
        if len(wide) < len(shares) - 1:
            return [text] * len(shares)
        cuts = wide
    parts, start, first, reached, total = [], 0, 0, 0, sum(shares)
    for number in range(len(shares) - 1):
        reached += shares[number]
        ideal = len(text) * reached / max(total, 1)
        # Enough cuts are left for the parts that follow.
        last = len(cuts) - (len(shares) - 2 - number)
        near = bisect_left(cuts, ideal, first, last)
        nearby = range(max(first, near - _PUNCTUATION_GAIN - 1), min(last, near + _PUNCTUATION_GAIN + 1))
        best = min(nearby, key=lambda cut: abs(cuts[cut] - ideal) - _gain(text, cuts[cut]))
        parts.append(text[start : cuts[best]].strip())
        start, first = cuts[best], best + 1
    return [*parts, text[start:].strip()]


def _gain(text: str, cut: int) -> int:
    return _PUNCTUATION_GAIN if text[cut - 1] in ",.;:!?\u2026\u3001\u3002\uff0c" else 0
