"""What there is to do for a document: which texts are sent, and what came of each. No input, no output."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from dragoman.client.documents.document import Document, Markup, Unit, Written
from dragoman.client.documents.journal import Entry, Key
from dragoman.client.documents.markup import written_like
from dragoman.client.errors import DragomanError
from dragoman.client.problems import problem_of
from dragoman.client.types import Translation


@dataclass(frozen=True)
class Problem:
    """What a reader must know about a unit before relying on the document."""

    place: str
    message: str
    is_failure: bool
    """Whether the unit has no translation: what stood there stays."""


@dataclass(frozen=True)
class Report:
    """What became of a document."""

    units: int
    translated: int
    """Units that have a translation, those of an earlier run included."""
    resumed: int
    """Units whose translation an earlier run had left."""
    problems: tuple[Problem, ...] = field(default=())

    @property
    def failures(self) -> int:
        """Units without a translation."""
        return sum(problem.is_failure for problem in self.problems)


@dataclass(frozen=True)
class Progress:
    """How far a document has come."""

    units: int
    done: int
    characters: int
    """Characters of all texts that this run has to send."""
    characters_done: int


class Job:
    """A document on its way. Texts that stand in it several times are sent once."""

    def __init__(self, document: Document, known: Mapping[Key, Entry]) -> None:
        self._document = document
        self._units = [_trimmed(unit) for unit in document.units]
        self._known = dict(known)
        self._errors: dict[Key, DragomanError | str] = {}
        wanted = dict.fromkeys(key for _, key, _ in self._units if _has_words(key[1]))
        self._resumed = {key for key in wanted if key in self._known}
        self._errors |= {key: _LONE_SURROGATE for key in wanted if not _is_unicode(key[1])}
        self._missing = [key for key in wanted if key not in self._known and key not in self._errors]
        self._characters = sum(len(text) for _, text in self._missing)
        self._characters_done = 0
        self._taken = 0

    @property
    def progress(self) -> Progress:
        """How far it has come. Units that share a text count once."""
        distinct = len(self._missing) + len(self._resumed)
        return Progress(distinct, len(self._resumed) + self._taken, self._characters, self._characters_done)

    def rounds(self) -> Iterator[tuple[Markup, list[str]]]:
        """The texts to send, those with the same mark-up together."""
        for markup in Markup:
            texts = [text for kind, text in self._missing if kind is markup]
            if texts:
                yield markup, texts

    def take(self, key: Key, outcome: Translation | DragomanError) -> Entry | None:
        """What became of a text that was sent; what is to be kept of it, if anything."""
        self._taken += 1
        self._characters_done += len(key[1])
        if isinstance(outcome, DragomanError):
            self._errors[key] = outcome
            return None
        self._known[key] = entry = outcome.text, problem_of(outcome)
        return entry

    def finish(self) -> tuple[bytes, Report]:
        """The document with its translations, and what became of it."""
        translations = [self._translation(*unit) for unit in self._units]
        written: Written = self._document.written(translations)
        problems = list(self._problems(written.refused))
        failed = sum(problem.is_failure for problem in problems)
        resumed = sum(key in self._resumed for _, key, _ in self._units)
        return written.data, Report(len(self._units), len(self._units) - failed, resumed, tuple(problems))

    def _translation(self, before: str, key: Key, after: str) -> str | None:
        if not _has_words(key[1]):
            return before + key[1] + after
        entry = self._known.get(key)
        if entry is None:
            return None
        text = written_like(key[1], entry[0]) if key[0] is Markup.HTML else entry[0]
        return before + text.strip(_layout(key[0])) + after

    def _problems(self, refused: Mapping[int, str]) -> Iterator[Problem]:
        for index, (unit, (_, key, _)) in enumerate(zip(self._document.units, self._units, strict=True)):
            if key in self._errors:
                yield Problem(unit.place, f"not translated: {self._errors[key]}", is_failure=True)
            elif index in refused:
                yield Problem(unit.place, f"not translated: {refused[index]}", is_failure=True)
            elif problem := self._known.get(key, ("", ""))[1]:
                yield Problem(unit.place, problem, is_failure=False)


_LONE_SURROGATE = "the text holds half of a surrogate pair, which is no character"


def _trimmed(unit: Unit) -> tuple[str, Key, str]:
    """A unit's text without white space around it, which is layout, and that white space."""
    text = unit.text.strip(_layout(unit.markup))
    start = unit.text.find(text)
    return unit.text[:start], (unit.markup, text), unit.text[start + len(text) :]


def _layout(markup: Markup) -> str | None:
    """What is layout around a text; the indentation of Markdown means something."""
    return "\r\n" if markup is Markup.MARKDOWN else None


def _has_words(text: str) -> bool:
    """Whether there is anything to translate; numbers and signs are what they are."""
    return any(map(str.isalpha, text))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
