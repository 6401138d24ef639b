"""Texts that are still being written: their translation grows with them, and what was said of it is never taken back.

A text is sent again and again, each time with more of it. Sentences that another one follows are whole, and translated
to their end. Of the last, what was said already is the prefix of each further translation, and more is said by one of
two rules: with `wait`, as many words as were read, less that many; without, the words in which the last two
translations agree. A word that has no white space behind it may become another one, and is not read.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from itertools import takewhile

from dragoman.server.core.errors import InvalidRequest, ServingError, Violation
from dragoman.server.core.requests import InputFormat, Output, Request, Splitting
from dragoman.server.core.segments import FinishReason
from dragoman.server.core.strategies import Beam
from dragoman.server.core.translations import Outcome, TextHypothesis, Timings, Translation
from dragoman.server.text.splitting import split

MOST_WAIT = 100
NOTHING = Translation((TextHypothesis("", 0.0, 0.0),), FinishReason.EMPTY_INPUT, None, 0, 0, 0, 0, Timings())
"""What becomes of a text before any of it is read."""
WORD = re.compile(r"\S+\s*")

Translate = Callable[[Request], Awaitable[Sequence[Outcome]]]


def check(request: Request) -> None:
    """Refuse what a translation that grows has no room for, all of it at once."""
    live = request.live
    assert live is not None, "it is of a text that is being written"
    others = (
        ("texts", len(request.texts) != 1, "one text a message, as far as it is written"),
        ("texts.target_prefix", bool(request.prefixes), "what was said is the prefix"),
        ("texts.context", bool(request.contexts), "what comes before a sentence is in the text"),
        ("format", request.format is not InputFormat.PLAIN, "mark-up cannot be read before its end"),
        ("splitting", request.splitting not in (None, Splitting.SENTENCES), "what is whole is a sentence"),
        ("output", request.output != Output(), "nothing is said of a part of a text"),
        ("decoding", not isinstance(request.method, Beam) or request.grammar is not None, "it grows by a beam"),
        ("decoding.num_hypotheses", request.overrides.num_hypotheses not in (None, 1), "there is one that grows"),
        ("live.wait", live.wait is not None and not 1 <= live.wait <= MOST_WAIT, f"not between 1 and {MOST_WAIT}"),
    )
    violations = [
        Violation(field, f"{why}: live translation excludes it") for field, is_wrong, why in others if is_wrong
    ]
    if violations:
        raise InvalidRequest.of(violations)


class LiveText:
    """One text that is being written."""

    def __init__(self, translate: Translate) -> None:
        self._translate = translate
        self._done, self._whole = "", ""
        """The source as far as its sentences are whole, and the translation of that."""
        self._open = ""
        """What was said of the sentence behind it."""
        self._last: Sequence[str] = ()
        """Words of the last translation of that sentence."""
        self._seen, self._found = "", NOTHING
        """What was read of it then, and that translation."""

    def __repr__(self) -> str:
        return f"<LiveText {len(self._done)} letters done, {len(self._whole) + len(self._open)} said>"

    async def read(self, request: Request, *, is_whole: bool) -> Outcome:
        """The translation, as far as it is said, of the text as far as it is written."""
        check(request)
        [text] = request.texts
        if not text.startswith(self._done):
            message = f"its first {len(self._done)} letters are other ones than before, and have been translated"
            raise InvalidRequest("texts[0].text", message)
        rest, reached, found = text[len(self._done) :], 0, NOTHING
        spans = list(split(rest, Splitting.SENTENCES, request.source_language))
        for span in spans if is_whole else spans[:-1]:
            outcome = await self._translated(request, rest[slice(*span)])
            if isinstance(outcome, ServingError):
                return outcome
            found = outcome
            self._whole += rest[reached : span.start] + grown(self._open, found.hypotheses[0].text)
            self._open, self._last, self._seen, reached = "", (), "", span.end
        self._done += rest[:reached]
        if is_whole:
            return _saying(found, self._whole + rest[reached:])
        gap, sentence = _gap_and(rest[reached:])
        if sentence and sentence != self._seen:  # else the second translation would agree with the first in all words
            outcome = await self._translated(request, sentence)
            if isinstance(outcome, ServingError):
                return outcome
            assert request.live is not None, "it was checked"
            self._grow(outcome.hypotheses[0].text, len(sentence.split()), request.live.wait)
            self._seen, self._found = sentence, outcome
        if sentence:
            found = self._found
        return _saying(found, self._whole + (gap + self._open if self._open else ""))

    async def _translated(self, request: Request, sentence: str) -> Outcome:
        """The translation of a sentence that goes on with what was said of it, where the model can."""
        alone = replace(request, texts=(sentence,), splitting=Splitting.NONE, live=None)
        [outcome] = await self._translate(replace(alone, prefixes=(self._open,) if self._open else ()))
        if self._open and isinstance(outcome, InvalidRequest):  # there are words that it cannot say, or no room
            [outcome] = await self._translate(alone)
        return outcome

    def _grow(self, translation: str, num_read: int, wait: int | None) -> None:
        """Say more of the open sentence, if more is certain."""
        words = WORD.findall(translation)
        pairs = zip(self._last, words, strict=False)
        agreed = sum(1 for _ in takewhile(lambda pair: pair[0].rstrip() == pair[1].rstrip(), pairs))
        number = agreed if wait is None else max(0, num_read - wait + 1)
        self._last = words
        said = "".join(words[:number]).rstrip()
        if said.startswith(self._open):
            self._open = said


def grown(said: str, translation: str) -> str:
    """What was said, and what a translation has behind it: behind as many words, where it does not begin so."""
    if translation.startswith(said):
        return translation
    more = "".join(WORD.findall(translation)[len(said.split()) :])
    return f"{said} {more}" if more else said


def _gap_and(rest: str) -> tuple[str, str]:
    """The white space before a sentence that is being written, and all words of it that have some behind them."""
    sentence = rest.lstrip()
    written = sentence if not sentence or sentence[-1].isspace() else "".join(WORD.findall(sentence)[:-1])
    return rest[: len(rest) - len(sentence)], written.rstrip()


def _saying(found: Translation, text: str) -> Translation:
    """What is known of a translation, with the text that is said."""
    return replace(found, hypotheses=(replace(found.hypotheses[0], text=text),))
