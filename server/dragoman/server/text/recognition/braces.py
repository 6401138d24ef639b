"""Placeholders in braces, by balance: `{}`, `{0:.2f}`, `${name}`, `{{ name }}`, `{% tag %}`, and messages of ICU."""

import re
from collections.abc import Iterator

from dragoman.server.core.spans import Span

_BRACE = re.compile(r"[{}]")
_NAME = r"[\w.$@*?^-]"
_CONTENT = re.compile(
    r"\s*+(?:"
    # Nothing, or a name with what is done to it: `n`, `0:.2f`, `user.name|title`, `items[0]`, `value!r:>10`, `f(x)`.
    r"|[\w.$@*?^/-]++(?:[:!|\[=(,+][^\s{}]*+)?+|[:!][^\s{}]++"
    # What is written how: `0:dd MMM yyyy`, `NUMBER($n, minimumFractionDigits: 2)`, `-term(case: "gen")`, `@link Foo`.
    r"|\d++(?:,\s*+-?\d++)?+:[^{}\n]{1,64}|-?+[\w.-]++\([^(){}\n]*\)|@[a-z]++\s[\w.#(),:/-]++"
    # Words as a form has them, `First Name`, and a choice of Fluent: `$n -> [one] one *[other] many`.
    r"|[A-Z]\w*+(?: [A-Z0-9]\w*+){1,3}+|(?:\$[\w-]++|[\w.-]++\([^{}()\n]*\))\s*+->.*"
    r"|\"(?:\\u[0-9A-Fa-f]{4}|[^\w\n\"]){0,16}\""
    # A message of ICU: `n, plural, one {# item} other {# items}`.
    r"|[\w.]++\s*+,\s*+(?:plural|selectordinal|select|number|date|time|choice|spellout|ordinal|duration|list)\b.*"
    r")\s*+",
    re.DOTALL,
)
_TEMPLATE = re.compile(r"[{%#!].*[}%#!]", re.DOTALL)
"""What stands within the braces of template engines: `{{ }}`, `{% %}`, `{# #}`, `{!! !!}`."""
_SIGNS = "$#%@!"
"""What may stand before a brace and belongs to it."""
MAX_CHARACTERS = 10_000
"""A longer stretch in braces is a program or a document, and no placeholder of a text."""


def brace_spans(text: str) -> Iterator[Span]:
    """Outermost balanced groups that are placeholders; within one that is none, those that are."""
    for start, end in _outermost(text, list(_pairs(text))):
        yield Span(start - (text[start - 1 : start] in _SIGNS and start > 0), end)


def _pairs(text: str) -> Iterator[tuple[int, int]]:
    """Begin and end of each balanced group, in the order of their ends."""
    opened: list[int] = []
    for match in _BRACE.finditer(text):
        if match[0] == "{":
            opened.append(match.start())
        elif opened:
            yield opened.pop(), match.end()


def _outermost(text: str, pairs: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The groups that are placeholders and lie in no other one."""
    reached = 0
    for start, end in sorted(pairs):
        if start >= reached and end - start <= MAX_CHARACTERS and _is_placeholder(text, start, end):
            yield start, end
            reached = end


def _is_placeholder(text: str, start: int, end: int) -> bool:
    """Whether what stands in the braces is no prose."""
    is_template = end - start >= 4 and _TEMPLATE.match(text, start + 1, end - 1)
    return bool(is_template or _CONTENT.fullmatch(text, start + 1, end - 1))
