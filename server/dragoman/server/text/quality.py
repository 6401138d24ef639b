"""What a reader should look at in the translation of a segment: five warnings, each of which is only given where it is
sure. A warning that is wrong costs the trust in all others.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from operator import eq

from dragoman.bundle.manifest import LanguagePair
from dragoman.server.core.protection import TextWarning, WarningKind
from dragoman.server.core.segments import FinishReason
from dragoman.server.core.spans import Span
from dragoman.server.text.languages import other_language, other_script, preference, primary
from dragoman.server.text.numbers import Change, Number

_WORD = re.compile(r"[^\W\d_]+")
_RUN = re.compile(r"(\w{1,8}?)\1{7,}")
LONG_WORD = 16
LONGEST_CYCLE, LEAST_ROUNDS = 8, 4
"""Words of the longest cycle that is looked for, and how often it is a repetition that the source does not have."""

LEAST_PLAIN_WORDS, LIKELY = 2, (6.0, 2.5)
"""Words of a segment that came back as it was which are hardly names; and by how much they must be more of the source's
language than of the target's, if they are not more than these, or more. Without that knowledge they are to be twice as
many."""
MANY_WORDS, COPIED = 6, 0.85
"""Of so many words, the share of them that makes a translation a copy."""
LOST_WORDS = 3
"""Words of a source which are lost where its translation has none."""

MOST_CHANGES = 8
"""Numbers of a segment of which each has a warning of its own."""

_LENGTHS = {"zh": 0.36, "ja": 0.55, "ko": 0.55, "he": 0.83, "ar": 0.9, "fa": 0.97, "el": 1.18, "fr": 1.2}
_USUAL_LENGTH = 1.07
"""Characters of a text beside those of its English original, in the median of the languages of a web framework's
interface; what is not named is within a tenth of it."""
RATIO, SHORT_RATIO, WIDE_RATIO = 0.5, 3.0, 0.4
"""How far the logarithm of the ratio of lengths may be from the usual one: of any text, more over the root of its
characters, more where a script of whole words meets one of sounds. Of 28,989 human translations none is outside."""
_IDEOGRAPHIC = {"zh", "ja", "ko"}


def quality_warnings(
    source: str,
    target: str,
    pair: LanguagePair,
    reason: FinishReason,
    apart: tuple[Sequence[Span], Sequence[Span]] = ((), ()),
) -> list[TextWarning]:
    """What is wrong with the translation of a segment. What stands `apart`, in source and target, is no language."""
    source_text, target_text = _without(source, apart[0]), _without(target, apart[1])
    found = dict(_found(_Side(source_text), _Side(target_text), pair, reason))
    if not found:
        return []
    places = Span(0, len(source)), Span(0, len(target))
    return [TextWarning(kind, *places, detail) for kind, detail in found.items()]


def number_warnings(source: str, target: str, changes: Sequence[Change]) -> list[TextWarning]:
    """What is said of numbers that are other ones in a segment's translation; one thing of many of them together."""
    if len(changes) > MOST_CHANGES:
        missing = sum(change.source is not None for change in changes)
        new = sum(change.target is not None for change in changes)
        places = Span(0, len(source)), Span(0, len(target))
        return [TextWarning(WarningKind.NUMBER_CHANGED, *places, f"{missing} numbers are missing, {new} are new")]
    return [
        TextWarning(WarningKind.NUMBER_CHANGED, _place(change.source), _place(change.target), change.detail)
        for change in changes
    ]


def _place(number: Number | None) -> Span | None:
    return None if number is None else number.span


class _Side:
    """A segment or its translation, without what is no language, taken apart once for all that looks at it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.words: list[str] = _WORD.findall(text)
        self.parts = text.split()
        """What white space keeps apart."""

    @property
    def length(self) -> int:
        """Its characters, of any white space one."""
        return sum(map(len, self.parts)) + max(0, len(self.parts) - 1)


def _found(source: _Side, target: _Side, pair: LanguagePair, reason: FinishReason) -> Iterator[tuple[WarningKind, str]]:
    if reason is FinishReason.REPETITION:
        yield WarningKind.REPETITION, "stopped by the search"
    elif detail := _repetition(source, target):
        yield WarningKind.REPETITION, detail
    elif detail := _odd_length(source, target, pair):
        yield WarningKind.LENGTH_RATIO, detail
    if _is_copy(source.words, target.words, pair):
        yield WarningKind.UNTRANSLATED, ""
    elif other := other_script(target.text, pair.target) or other_language(target.words, pair.target):
        yield WarningKind.WRONG_LANGUAGE, f"rather {other} than {pair.target}"


def _without(text: str, apart: Sequence[Span]) -> str:
    """A text with white space where spans are, which are in order."""
    if not apart:
        return text
    parts, reached = list[str](), 0
    for span in apart:
        parts.append(text[reached : max(reached, span.start)])
        reached = max(reached, span.end)
    return " ".join((*parts, text[reached:]))


def _is_copy(source_words: Sequence[str], target_words: Sequence[str], pair: LanguagePair) -> bool:
    """Whether a text came back as it was although it has words that are no names, and is not in the target language."""
    different = {*source_words}
    if 2 * len(different.intersection(target_words)) < len(different):  # as in nearly all that is translated
        return False
    plain = _plain(source_words)
    if len(plain) < LEAST_PLAIN_WORDS or primary(pair.source) == primary(pair.target):
        return False
    said = Counter(map(str.casefold, target_words))
    copied = sum((Counter(plain) & said).values())
    share = COPIED if len(plain) >= MANY_WORDS else 1.0
    # With many others, the words of the source stand beside their translation.
    if copied < share * len(plain) or len(target_words) > 1.3 * len(source_words) + 1:
        return False
    likely = preference(plain, pair.source, pair.target)
    if likely is None:
        return len(plain) >= 2 * LEAST_PLAIN_WORDS
    return likely > LIKELY[len(plain) > LEAST_PLAIN_WORDS] or other_language(target_words, pair.target) is not None


def _plain(words: Sequence[str]) -> list[str]:
    """Words that are hardly names: those in small letters and the first one; all of a text in capital letters."""
    shouted = all(word.isupper() for word in words) and len(words) > LEAST_PLAIN_WORDS
    return [
        word.casefold()
        for number, word in enumerate(words)
        if len(word) > 1 and (word.islower() or shouted or (number == 0 and not word.isupper()))
    ]


def _repetition(source: _Side, target: _Side) -> str:
    """What a translation repeats although its source does not."""
    for part in target.parts:
        run = _RUN.search(part) if len(part) >= LONG_WORD else None
        if run and not _RUN.search(source.text):
            return f"{run.group(1)} is repeated {len(run.group()) // len(run.group(1))} times"
    words = target.words
    # Of a cycle that comes so often, some pair of neighbours comes once less at least.
    if len(words) - 1 - len({*pairwise(words)}) < LEAST_ROUNDS - 2:
        return ""
    rounds, cycle = _most_rounds(words)
    if rounds >= LEAST_ROUNDS and rounds > 2 * max(1, _most_rounds(source.words)[0]):
        return f"{' '.join(cycle)[:40]} is repeated {rounds} times"
    return ""


def _most_rounds(words: Sequence[str]) -> tuple[int, Sequence[str]]:
    """How often words repeat a cycle, one behind another, at most, and that cycle."""
    most, cycle = 1, words[:1]
    for size in range(1, min(LONGEST_CYCLE, len(words) // 2) + 1):
        run = 0
        for at, is_same in enumerate(map(eq, words, words[size:])):
            run = run + 1 if is_same else 0
            if run // size + 1 > most:
                most, cycle = run // size + 1, words[at + 1 : at + 1 + size]
    return most, cycle


def _odd_length(source: _Side, target: _Side, pair: LanguagePair) -> str:
    """How long a translation is beside its source, where that is far from what is usual."""
    ours, theirs = source.length, target.length
    if not (ours and theirs and source.words):
        return ""
    if not target.words and len(source.words) >= LOST_WORDS:
        return f"no word of {len(source.words)}"
    languages = primary(pair.source), primary(pair.target)
    one, other = (_LENGTHS.get(language, _USUAL_LENGTH if language != "en" else 1.0) for language in languages)
    allowed = RATIO + SHORT_RATIO / math.sqrt(ours)
    if len(_IDEOGRAPHIC.intersection(languages)) == 1:
        allowed += WIDE_RATIO
    distance = math.log(theirs * one / (ours * other))
    return f"{theirs} characters of {ours}" if abs(distance) > allowed else ""
