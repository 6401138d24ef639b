"""`dragoman translate`: texts, a file or a pipe through a server, or with a bundle in this process."""

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dragoman.cli.arguments import positive
from dragoman.cli.progress import Progress
from dragoman.client import codec
from dragoman.client.client import Client
from dragoman.client.commands import decoding_arguments, documents, live, local, server_argument, term_arguments
from dragoman.client.commands.arrivals import Lines
from dragoman.client.commands.server_argument import connection_of, server_of
from dragoman.client.errors import DragomanError, Unavailable
from dragoman.client.problems import problem_of
from dragoman.client.types import Translation
from dragoman.glossary.terms import GlossaryError

DESCRIPTION = """\
Translate texts: those on the command line, or else each line of a file or of the standard input.

One line in is one line out, in the same order and with the same end; blank lines stay as they are. With
--num-hypotheses or --alternatives above 1 each line out is one hypothesis: position of the text from 0, score, text,
with tabs between them. What may be incomplete is reported on the standard error. Lines travel in batches, and none
waits long for those after it.

With --live a line is translated while it is being written: its translation grows on the standard output, where nothing
is taken back, and ends with the line. With --json each object has all that is said of the line by then.

With -o, --in-place or --in-format what is translated is documents: each TEXT is the name of a file. What is no text in
them comes back as it was. A document is written whole, at the end; a run that was interrupted goes on where it was.
"""

EPILOG = """\
examples:
  dragoman translate --from en --to pt "Hello, world!"
  dragoman translate --to pt < english.txt > portuguese.txt
  transcribe | dragoman translate --to pt --live --wait 5
  dragoman translate --to pt movie.srt -o filme.srt
  dragoman translate --to pt --only-missing --in-place locale/pt/django.po
  dragoman translate --bundle ./enpt --json --alignments "Hello, world!"
  dragoman translate --to pt --glossary brands --term plugin=extensão --keep "Marble Madness" < in.txt
  dragoman translate --num-hypotheses 5 --top-p 0.9 --seed 1 "Hello, world!"

The exit code is 1 if any text has no translation.
"""

TIMEOUT_S = 300.0
"""Longer than the client's own: several calls wait in line on purpose."""

ONLY_JSON = ("scores", "token_scores", "alignments", "sentence_spans", "kept_spans", "term_spans")

Outcome = Translation | DragomanError
Batches = Iterable[list[str]]


class UsageError(Exception):
    """Arguments that do not go together."""


def register(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.usage = "dragoman translate [options] [TEXT ...]\n       dragoman translate [options] FILE ... -o PATH"
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="a text; none: the lines of --file or standard input")
    parser.add_argument("--file", type=Path, metavar="PATH", help="translate the lines of this file")
    parser.add_argument("--json", action="store_true", help="one JSON object a text, with all that is known about it")
    where = parser.add_argument_group("where")
    server_argument.register(where)
    where.add_argument("--bundle", type=Path, metavar="DIR", help="decode in this process, without a server")
    where.add_argument("--from", dest="source_language", metavar="xx", help="language of the texts, a BCP-47 tag")
    where.add_argument("--to", dest="target_language", metavar="yy", help="language to translate into")
    where.add_argument("--model", metavar="NAME", help="default: the server's model for the languages")
    where.add_argument(
        "--timeout", type=positive, metavar="SECONDS", help=f"longest wait for one call (default: {TIMEOUT_S:g})"
    )
    documents.register(parser)
    live.register(parser)
    term_arguments.register(parser)
    decoding_arguments.register(parser)


def run(args: argparse.Namespace) -> int:
    """Translate; the process's exit code."""
    try:
        _check(args)
        options = term_arguments.with_terms(decoding_arguments.options(args), args)
        if documents.is_asked(args):
            with _client(args) as client:
                return documents.translate(args, client, options)
        if args.live:
            with _client(args) as client:
                return live.translate(args, client, options)
        with _input(args) as (batches, lines), _client(args) as client:
            return _write(args, client.translate_batches(batches, options), lines)
    except UsageError as error:
        return _complain(error, code=2)
    except Unavailable as error:
        server = server_of(args.server)
        return _complain(
            f"{server} does not answer: {error}; start a server with `dragoman serve`, name another with --server, "
            "or decode without one with --bundle DIR"
        )
    except (DragomanError, GlossaryError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            raise
        return _complain(error)


def _check(args: argparse.Namespace) -> None:
    if sys.stdout is None:
        raise UsageError("the standard output is closed, and the translations have no other way out")
    if problem := live.problem_of(args) or documents.problem_of(args):
        raise UsageError(problem)
    if sys.stdin is None and not args.texts and not args.file:
        raise UsageError("the standard input is closed: give a TEXT or --file")
    only_json = [name for name in ONLY_JSON if getattr(args, name)]
    if only_json and not args.json:
        raise UsageError(f"--{only_json[0].replace('_', '-')} has no place in plain lines: add --json")
    if args.texts and args.file:
        raise UsageError("TEXT and --file exclude each other: give one of them")
    if args.bundle:
        for name in (*server_argument.NAMES, "model", "timeout"):
            if getattr(args, name) is not None:
                raise UsageError(f"--{name.replace('_', '-')} is about a server, --bundle uses none: give one of them")


@contextmanager
def _input(args: argparse.Namespace) -> Iterator[tuple[Batches, Lines | None]]:
    """The texts, and the lines that they are, which know how they end and which of them could not be read."""
    size, max_bytes = codec.BATCH_SIZE, codec.BATCH_BYTES
    if args.bundle:  # one call at a time, with all that several would hold
        size, max_bytes = size * codec.IN_FLIGHT, max_bytes * codec.IN_FLIGHT
    if args.texts:
        yield codec.batches(args.texts, size, max_bytes), None
    elif args.file:
        if note := documents.note_of(args.file):
            print(f"dragoman translate: {note}", file=sys.stderr)
        with args.file.open("rb") as file:
            lines = Lines(file)
            yield lines.batches(size, max_bytes), lines
    else:
        if sys.stdin.isatty():
            print("type lines to translate; Ctrl-D ends", file=sys.stderr)
        lines = Lines(sys.stdin.buffer)
        yield lines.batches(size, max_bytes), lines


@contextmanager
def _client(args: argparse.Namespace) -> Iterator[Client | local.LocalClient]:
    if args.bundle:
        with local.local_service(args.bundle) as service:
            yield local.LocalClient(args.bundle, service)
    else:
        where = connection_of(args)
        with Client(where.server, credentials=where.credentials, timeout_s=args.timeout or TIMEOUT_S) as client:
            yield client


def _write(args: argparse.Namespace, outcomes: Iterator[Outcome], lines: Lines | None) -> int:
    """Print each outcome as it comes; the exit code."""
    code = 0
    as_lines = lines is not None
    several = max(args.num_hypotheses or 1, args.alternatives or 1) > 1
    # Translations on the same terminal show well enough that something happens.
    is_shown = as_lines and sys.stderr.isatty() and not sys.stdout.isatty()
    with Progress(sys.stderr, is_shown=is_shown) as progress:
        for index, translated in enumerate(outcomes):
            outcome: Outcome = lines.errors.get(index, translated) if lines else translated
            end = "\n" if lines is None else lines.end(index)
            name = f"line {index + 1}" if as_lines else f"text {index + 1}"
            if problem := _problem(outcome):
                progress.clear()
                print(f"dragoman translate: {name}: {problem}", file=sys.stderr)
            if isinstance(outcome, DragomanError):
                code = 1
            if args.json:
                print(_json(index, outcome), flush=True)
            else:
                print(_plain(index, outcome, several, as_lines), end="\n" if several else end, flush=True)
            progress.advance()
    return code


def _problem(outcome: Outcome) -> str:
    """What a reader must know about an outcome before relying on it; empty if nothing."""
    if isinstance(outcome, DragomanError):
        return f"not translated: {outcome}"
    return problem_of(outcome)


def _json(index: int, outcome: Outcome) -> str:
    facts: dict[str, object] = {"index": index}
    if isinstance(outcome, DragomanError):
        facts["error"] = {"code": outcome.code, "message": str(outcome)}
    else:
        facts |= {"text": outcome.text} | dataclasses.asdict(outcome, dict_factory=_without_what_was_not_asked_for)
    return json.dumps(facts, ensure_ascii=False)


def _without_what_was_not_asked_for(items: list[tuple[str, Any]]) -> dict[str, Any]:
    facts = dict(items)
    for name in ("tokens", "alignments", "sentence_spans", "kept", "warnings", "keeping", "terms", "found"):
        if name in facts and not facts[name]:
            del facts[name]
    return facts


def _plain(index: int, outcome: Outcome, several: bool, as_lines: bool) -> str:  # noqa: FBT001 - private
    if isinstance(outcome, DragomanError):
        return ""  # keeps the lines that follow in their places
    shown = [
        f"{index}\t{'' if hypothesis.score is None else format(hypothesis.score, '.4f')}\t{hypothesis.text}"
        if several
        else hypothesis.text
        for hypothesis in (outcome.hypotheses if several else outcome.hypotheses[:1])
    ]
    # What came in as one line goes out as one line, whatever the model put into it.
    return "\n".join(text.replace("\n", " ") if as_lines or several else text for text in shown)


def _complain(problem: object, *, code: int = 1) -> int:
    print(f"dragoman translate: {problem}", file=sys.stderr)
    return code
