"""What must come through a translation unchanged, and what a result says of it.

A `ProtectedSpan` is a stretch of a text that no model may change. While the model works, a form (`X1`) stands for it;
of each, a `KeptSpan` says where it is in the translation and how it came there. A `TextWarning` says what else a
reader should look at.
"""

import enum
from dataclasses import dataclass

from dragoman.server.core.spans import Span
from dragoman.server.core.terms import KnownTerm


class SpanKind(enum.Enum):
    """Why a stretch of a text is protected."""

    PLACEHOLDER = "placeholder"
    """What a program fills in: `%1$s`, `{count}`, `${name}`, an ICU message."""
    URL = "url"
    EMAIL = "email"
    PATH = "path"
    """A file's."""
    FLAG = "flag"
    """An option of a command line."""
    CODE = "code"
    """Inline code between backticks, names of programs (`foo_bar()`), and tags and entities in plain text."""
    HANDLE = "handle"
    """A hashtag or a mention."""
    VERSION = "version"
    """A version number, or an IP address."""
    SYMBOL = "symbol"
    """Emoji and other pictures, faces, and symbols that the model lacks."""
    UNREADABLE = "unreadable"
    """What the model's vocabularies cannot read or cannot write."""
    PATTERN = "pattern"
    """What a pattern of the request matches."""
    TERM = "term"
    """A term of the request or of a glossary."""


RECOGNISED = frozenset(SpanKind) - {SpanKind.PATTERN, SpanKind.TERM}
"""The kinds that are found in any text, and that a request may choose from."""


@dataclass(frozen=True)
class ProtectedSpan:
    """A stretch of a text that no model changes."""

    span: Span
    kind: SpanKind
    put: str | None = None
    """What stands for it in the translation; None: the stretch itself."""
    term: KnownTerm | None = None
    """Which term it is, if it is one."""


@dataclass(frozen=True)
class Protection:
    """What a request wants to be protected."""

    kinds: frozenset[SpanKind] = RECOGNISED
    patterns: tuple[str, ...] = ()
    """Regular expressions in the syntax of RE2."""


DEFAULT_PROTECTION = Protection()
"""All kinds."""
NO_PROTECTION = Protection(frozenset())


class Keeping(enum.Enum):
    """How a protected span came into the translation."""

    AS_IT_WAS = "as_it_was"
    """It lay outside of what the model read."""
    FORM = "form"
    """The form that stood for it came back."""
    ALIGNMENT = "alignment"
    """It stands where the model's attention says."""
    CUT = "cut"
    """What stands before it and behind it was translated apart."""
    APPENDED = "appended"
    """It stands at the end, as nothing says where it belongs and its segment could not be cut."""
    LOST = "lost"


@dataclass(frozen=True)
class KeptSpan:
    """A protected span of a text, and what became of it."""

    source: Span
    target: Span | None
    """None of one that was lost."""
    kind: SpanKind
    keeping: Keeping


class WarningKind(enum.Enum):
    """What a reader of a translation should look at."""

    UNTRANSLATED = "untranslated"
    """It came back as it was."""
    REPETITION = "repetition"
    """The model repeated itself, and was stopped."""
    LENGTH_RATIO = "length_ratio"
    """It is much longer or much shorter than its source suggests."""
    WRONG_LANGUAGE = "wrong_language"
    NUMBER_CHANGED = "number_changed"
    """A number of the source is another one in the translation."""


@dataclass(frozen=True)
class TextWarning:
    """A warning, and the stretches that it is about; None where it is about all of the text."""

    kind: WarningKind
    source: Span | None = None
    target: Span | None = None
    detail: str = ""
    """In English, for a reader of a log."""
