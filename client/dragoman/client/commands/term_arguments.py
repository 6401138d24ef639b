"""Arguments that say which words have a fixed translation."""

import dataclasses
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterator
from pathlib import Path

from dragoman.client.types import Options
from dragoman.glossary.terms import GlossaryError, Term, problem, read_terms

SUFFIX = ".tsv"


def register(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    group = parser.add_argument_group("terms; each may be given several times")
    group.add_argument(
        "--term", dest="terms", action="append", type=_pair, metavar="SOURCE=TARGET", help="a fixed translation"
    )
    group.add_argument("--keep", action="append", type=_kept, metavar="PHRASE", help="what is not translated")
    group.add_argument(
        "--glossary",
        dest="glossaries",
        action="append",
        metavar="NAME|FILE",
        help="a glossary of the server's, or a file of terms (.tsv)",
    )
    group.add_argument(
        "--term-inflected", action="store_true", help="find plurals of --term and --keep, too: -s, -es, -ies"
    )
    group.add_argument("--term-case", action="store_true", help="upper and lower case count in --term and --keep")
    group.add_argument("--term-spans", action="store_const", const=True, help="where terms are, in --json")


def with_terms(options: Options, args: Namespace) -> Options:
    """The options with the terms of a command line. Raises OSError or GlossaryError where a file has none."""
    given = [*(args.terms or ()), *(args.keep or ())]
    terms = [dataclasses.replace(term, inflected=args.term_inflected, case_sensitive=args.term_case) for term in given]
    names: list[str] = []
    for name in args.glossaries or ():
        if _is_file(name):
            terms += _read(Path(name))
        else:
            names.append(name)
    return dataclasses.replace(options, terms=tuple(terms) or None, glossaries=tuple(names) or None)


def _is_file(name: str) -> bool:
    return name.endswith(SUFFIX) or "/" in name or "\\" in name


def _read(path: Path) -> Iterator[Term]:
    try:
        yield from read_terms(path.read_text("utf-8"))
    except UnicodeDecodeError as error:
        raise GlossaryError(f"{path}: no UTF-8: {error}") from error
    except GlossaryError as error:
        raise GlossaryError(f"{path}: {error}") from error


def _pair(text: str) -> Term:
    source, is_pair, target = text.partition("=")
    if not is_pair:
        raise ArgumentTypeError(f"{text!r} is not SOURCE=TARGET (--keep has what is not translated)")
    return _checked(Term(source.strip(), target.strip()))


def _kept(text: str) -> Term:
    return _checked(Term(text.strip(), do_not_translate=True))


def _checked(term: Term) -> Term:
    if wrong := problem(term):
        raise ArgumentTypeError(wrong)
    return term
