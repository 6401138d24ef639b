"""`dragoman score`: how probable a model holds given translations, by a server or with a bundle in this process."""

import argparse
import dataclasses
import json
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import zip_longest
from pathlib import Path

from dragoman.cli.arguments import finite, member, positive
from dragoman.client import codec
from dragoman.client.client import Client
from dragoman.client.commands import local, server_argument
from dragoman.client.commands.server_argument import connection_of, server_of
from dragoman.client.errors import DragomanError, InvalidRequest, Unavailable
from dragoman.client.types import LengthPenaltyKind, Priority, Score, ScoreOptions

DESCRIPTION = """\
Score translations: pairs of a text and its translation, with a tab between them, one pair a line of a file or of the
standard input; or the lines of two files side by side. For reranking and quality estimation.

One line in is one line out: the score, then with --per-token each token and its log-probability, with tabs between
them. Blank lines stay blank. Neither side is split, so a pair must be of about one sentence.
"""

EPILOG = """\
examples:
  printf 'Hello!\\tOlá!\\n' | dragoman score --from en --to pt
  dragoman score --source english.txt --target portuguese.txt --json > scores.jsonl

The exit code is 1 if any pair has no score.
"""

TIMEOUT_S = 300.0
"""Longer than the client's own: several calls wait in line on purpose."""

Entry = codec.Pair | DragomanError | None
"""A line of input: a pair, what is wrong with it, or nothing where it is blank."""
Outcome = Score | DragomanError | None
Scores = Callable[[Iterable[list[codec.Pair]]], Iterator[Score | DragomanError]]


class UsageError(Exception):
    """Arguments that do not go together."""


def register(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.usage, parser.description, parser.epilog = "dragoman score [options] [FILE]", DESCRIPTION, EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    what = parser.add_argument_group("what; the standard input where none of these is given")
    what.add_argument("file", nargs="?", type=Path, metavar="FILE", help="a file of pairs")
    what.add_argument("--source", type=Path, metavar="PATH", help="a file of texts, one a line")
    what.add_argument("--target", type=Path, metavar="PATH", help="a file of their translations, line by line")
    parser.add_argument("--json", action="store_true", help="one JSON object a pair, with all that is known about it")
    parser.add_argument("--per-token", dest="token_scores", action="store_const", const=True, help="also each token's")
    where = parser.add_argument_group("where")
    server_argument.register(where)
    where.add_argument("--bundle", type=Path, metavar="DIR", help="score in this process, without a server")
    where.add_argument("--from", dest="source_language", metavar="xx", help="language of the texts, a BCP-47 tag")
    where.add_argument("--to", dest="target_language", metavar="yy", help="language of the translations")
    where.add_argument("--model", metavar="NAME", help="default: the server's model for the languages")
    where.add_argument("--timeout", type=positive, metavar="SECONDS", help=f"longest call (default: {TIMEOUT_S:g})")
    how = parser.add_argument_group("how; what is left out is the model's own way")
    how.add_argument("--length-penalty", type=finite, metavar="X", help="0 leaves the sum of log-probabilities")
    kinds = "{power,gnmt,none}"
    how.add_argument("--length-penalty-kind", type=member(LengthPenaltyKind), metavar=kinds, help="what X means")
    how.add_argument("--priority", type=member(Priority), metavar=f"{{{','.join(Priority)}}}", help="who goes first")


def run(args: argparse.Namespace) -> int:
    """Score; the process's exit code."""
    try:
        _check(args)
        with _entries(args) as entries, _scorer(args) as scores:
            return _write(args, _scored(entries, scores))
    except UsageError as error:
        return _complain(error, code=2)
    except Unavailable as error:
        return _complain(
            f"{server_of(args.server)} does not answer: {error}; start a server with `dragoman serve`, name another "
            "with --server, or score without one with --bundle DIR"
        )
    except (DragomanError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            raise
        return _complain(error)


def _check(args: argparse.Namespace) -> None:
    if (args.source is None) != (args.target is None):
        raise UsageError("--source and --target go together: give both of them")
    if args.file and args.source:
        raise UsageError("FILE and --source exclude each other: give one of them")
    if sys.stdout is None:
        raise UsageError("the standard output is closed, and the scores have no other way out")
    if sys.stdin is None and not (args.file or args.source):
        raise UsageError("the standard input is closed: give a FILE, or --source and --target")
    if args.bundle:
        for name in (*server_argument.NAMES, "timeout"):
            if getattr(args, name) is not None:
                raise UsageError(f"--{name.replace('_', '-')} is about a server, --bundle uses none: give one of them")


@contextmanager
def _entries(args: argparse.Namespace) -> Iterator[Iterator[Entry]]:
    """What the input holds, line by line."""
    with ExitStack() as stack:
        if args.source:
            source, target = (stack.enter_context(path.open("rb")) for path in (args.source, args.target))
            yield _side_by_side(source, target)
        elif args.file:
            yield map(_entry, stack.enter_context(args.file.open("rb")))
        else:
            if sys.stdin.isatty():
                print("type pairs with a tab between them; Ctrl-D ends", file=sys.stderr)
            yield map(_entry, sys.stdin.buffer)


def _entry(line: bytes) -> Entry:
    text = _text(line)
    if isinstance(text, DragomanError):
        return text
    if not text or text.isspace():
        return None
    source, *targets = text.split("\t")
    if len(targets) != 1:
        return InvalidRequest(f"{len(targets)} tabs, and a pair has one, between the text and its translation")
    return source, targets[0]


def _side_by_side(sources: Iterable[bytes], targets: Iterable[bytes]) -> Iterator[Entry]:
    for number, (source, target) in enumerate(zip_longest(sources, targets), 1):
        if source is None or target is None:
            shorter = "--source" if source is None else "--target"
            raise InvalidRequest(f"{shorter} ends before line {number}, and the other file goes on")
        pair = _text(source), _text(target)
        if isinstance(pair[0], DragomanError) or isinstance(pair[1], DragomanError):
            yield next(side for side in pair if isinstance(side, DragomanError))
        else:
            yield (pair[0], pair[1]) if pair[0].strip() or pair[1].strip() else None


def _text(line: bytes) -> str | DragomanError:
    try:
        return line.rstrip(b"\r\n").decode("utf-8")
    except UnicodeDecodeError as error:
        return InvalidRequest(f"not UTF-8 ({error.reason} at byte {error.start})")


@contextmanager
def _scorer(args: argparse.Namespace) -> Iterator[Scores]:
    names = {field.name for field in dataclasses.fields(ScoreOptions)}
    options = ScoreOptions(**{name: value for name, value in vars(args).items() if name in names})
    if args.bundle:
        with local.local_service(args.bundle) as service:
            yield lambda batches: local.score_batches(service, batches, options)
    else:
        where = connection_of(args)
        with Client(where.server, credentials=where.credentials, timeout_s=args.timeout or TIMEOUT_S) as client:
            yield lambda batches: client.score_batches(batches, options)


def _scored(entries: Iterator[Entry], scores: Scores) -> Iterator[Outcome]:
    """What became of each line: those that are no pairs keep their places among the scores."""
    read: deque[Entry] = deque()

    def pairs() -> Iterator[codec.Pair]:
        for entry in entries:
            read.append(entry)
            if isinstance(entry, tuple):
                yield entry

    def others() -> Iterator[Outcome]:
        while read and not isinstance(read[0], tuple):
            entry = read.popleft()
            assert not isinstance(entry, tuple)
            yield entry

    for outcome in scores(codec.batches(pairs(), codec.BATCH_SIZE)):
        yield from others()
        read.popleft()
        yield outcome
    yield from others()


def _write(args: argparse.Namespace, outcomes: Iterator[Outcome]) -> int:
    """Print each outcome as it comes; the exit code."""
    code = 0
    for index, outcome in enumerate(outcomes):
        if isinstance(outcome, DragomanError):
            print(f"dragoman score: line {index + 1}: not scored: {outcome}", file=sys.stderr)
            code = 1
        print(_json(index, outcome) if args.json else _plain(outcome), flush=True)
    return code


def _json(index: int, outcome: Outcome) -> str:
    facts: dict[str, object] = {"index": index}
    if isinstance(outcome, DragomanError):
        facts["error"] = {"code": outcome.code, "message": str(outcome)}
    elif outcome is not None:
        facts |= dataclasses.asdict(outcome)
        if not outcome.tokens:
            del facts["tokens"]
    return json.dumps(facts, ensure_ascii=False)


def _plain(outcome: Outcome) -> str:
    if not isinstance(outcome, Score):
        return ""  # keeps the lines that follow in their places
    tokens = (f"{scored.token} {scored.log_probability:.4f}" for scored in outcome.tokens)
    return "\t".join((f"{outcome.score:.4f}", *tokens))


def _complain(problem: object, *, code: int = 1) -> int:
    print(f"dragoman score: {problem}", file=sys.stderr)
    return code
