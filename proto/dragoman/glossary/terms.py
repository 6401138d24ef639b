"""Terms, and glossary files: a term a line, in up to three columns with a tab between them.

    # a comment
    plugin|plugins	extensão|extensões
    board game	jogo de tabuleiro	inflected
    Apple	Apple	case
    Marble Madness

The first column is what to look for and the second what stands for it in a translation. Forms of one term, with a bar
between them, are translated one by one, or all the same where there is one translation. A term without a translation is
kept as it is. The third column has options, with a space between them. A backslash before a bar or a backslash makes it
a part of the term. Blank lines and lines that begin with `#` are skipped.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields

MAX_TERM_CHARACTERS = 128
"""A source, or a target, may have so many."""
MAX_FORMS = 64
"""A term may have so many, itself among them."""
MAX_ENTRIES = 50_000
"""Terms in one file."""
COLUMNS = 3
OPTIONS = {"case": "case_sensitive", "inflected": "inflected"}
"""What the third column may have, and the attribute that it sets."""

_PART = re.compile(r"((?:[^\\|]|\\.|\\$)*)(\||$)", re.DOTALL)


class GlossaryError(ValueError):
    """A file is no glossary, or a term no term; says where and why."""


@dataclass(frozen=True)
class TermForm:
    """Another form of a term, and what stands for it in a translation."""

    source: str
    target: str


@dataclass(frozen=True)
class Term:
    """A word or phrase with a fixed translation."""

    source: str
    target: str = ""
    do_not_translate: bool = False
    """It is kept as it stands in the text; there is no target then."""
    case_sensitive: bool = False
    inflected: bool = False
    """Its plurals in -s, -es and -ies are found, too."""
    forms: tuple[TermForm, ...] = ()

    @property
    def all_forms(self) -> tuple[TermForm, ...]:
        """Itself, and its other forms."""
        return (TermForm(self.source, self.target), *self.forms)


def problem(term: Term) -> str:
    """What is wrong with a term, `NAME: WHY`, NAME being its attribute; empty if nothing."""
    if len(term.forms) >= MAX_FORMS:
        return f"forms: {len(term.forms) + 1} forms of one term, the limit is {MAX_FORMS}"
    for number, form in enumerate(term.all_forms):
        path = f"forms[{number - 1}]." if number else ""
        for name in (field.name for field in fields(form)):
            text = getattr(form, name)
            if name == "target" and term.do_not_translate:
                if text:
                    return f"{path}target: must be empty, as do_not_translate is set"
            elif not text.strip():
                way_out = " (or set do_not_translate, to keep the term as it is)" if name == "target" else ""
                return f"{path}{name}: empty{way_out}"
            elif len(text) > MAX_TERM_CHARACTERS:
                return f"{path}{name}: {len(text)} characters, the limit is {MAX_TERM_CHARACTERS}"
            elif len(text.splitlines()) > 1 or not text.isprintable():
                return f"{path}{name}: must be one line of printable characters"
    return ""


def repeated(terms: Iterable[Term]) -> Iterator[tuple[int, str, int]]:
    """What stands for a source twice: the number of the later term, the source, and the number of the earlier one."""
    known: dict[tuple[str, bool], int] = {}
    for number, term in enumerate(terms):
        for form in term.all_forms:
            source = " ".join(form.source.split())
            first = known.setdefault(
                (source if term.case_sensitive else source.casefold(), term.case_sensitive), number
            )
            if first != number:
                yield number, source, first


def read_terms(text: str) -> tuple[Term, ...]:
    """The terms of a file. Raises `GlossaryError` for a line that is no term, or a source that comes again."""
    terms: list[Term] = []
    lines: list[int] = []
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        content = line.removesuffix("\r")
        if not content.strip() or content.startswith("#"):
            continue
        try:
            terms.append(_term(content))
        except GlossaryError as error:
            raise GlossaryError(f"line {number}: {error}") from None
        lines.append(number)
        if len(terms) > MAX_ENTRIES:
            raise GlossaryError(f"line {number}: more than {MAX_ENTRIES} terms")
    for later, source, earlier in repeated(terms):
        raise GlossaryError(f"line {lines[later]}: {source!r} is on line {lines[earlier]} already")
    return tuple(terms)


def _term(line: str) -> Term:
    columns = [column.strip() for column in line.split("\t")]
    if len(columns) > COLUMNS:
        raise GlossaryError(f"{len(columns)} columns, there are at most {COLUMNS}: source, target, options")
    source, target, options = (*columns, "", "")[:COLUMNS]
    if unknown := [option for option in options.split() if option not in OPTIONS]:
        raise GlossaryError(f"unknown option {unknown[0]!r}; there are {', '.join(OPTIONS)}")
    sources, targets = list(_parts(source)), list(_parts(target)) if target else []
    if len(targets) == 1:
        targets *= len(sources)
    if targets and len(targets) != len(sources):
        raise GlossaryError(f"{len(targets)} translations of {len(sources)} forms: give one, or one for each")
    pairs = zip(sources, targets or [""] * len(sources), strict=True)
    first, *others = (TermForm(*pair) for pair in pairs)
    term = Term(
        first.source,
        first.target,
        do_not_translate=not targets,
        forms=tuple(others),
        **{OPTIONS[option]: True for option in options.split()},
    )
    if wrong := problem(term):
        raise GlossaryError(wrong)
    return term


def _parts(column: str) -> Iterator[str]:
    """The forms of a column."""
    for match in _PART.finditer(column):
        yield re.sub(r"\\([\\|])", r"\1", match[1]).strip()
        if not match[2]:
            return
