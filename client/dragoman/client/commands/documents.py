"""Documents for `dragoman translate`: files in, files out, with all that is no text as it was."""

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dragoman.cli.progress import TimeLeft
from dragoman.client import codec
from dragoman.client.documents import (
    DocumentError,
    DocumentOptions,
    Progress,
    Report,
    translate_data,
    translate_document,
)
from dragoman.client.documents.files import MAX_BYTES, read_file, write_file
from dragoman.client.documents.formats import FORMATS, NAMES, format_for
from dragoman.client.documents.journal import journal_of
from dragoman.client.documents.translating import Translator, Watch
from dragoman.client.types import Options

STREAM = Path("-")
"""The standard input, or the standard output."""


@dataclasses.dataclass(frozen=True)
class Task:
    """A document, and where its translation goes."""

    source: Path
    target: Path

    @property
    def name(self) -> str:
        """What messages call it."""
        return "the standard input" if self.source == STREAM else str(self.source)


def register(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    documents = parser.add_argument_group("documents; -o, --in-place or --in-format makes each TEXT the name of a file")
    documents.add_argument(
        "-o", "--output", type=Path, metavar="PATH", help="the file to write, a folder for several, - for a pipe"
    )
    documents.add_argument("--in-place", action="store_true", help="write each document over itself")
    documents.add_argument(
        "--in-format", choices=NAMES, metavar="NAME", help=f"{', '.join(NAMES)} (default: by the name of the file)"
    )
    documents.add_argument("--encoding", metavar="NAME", help="of text files (default: what they say, or UTF-8)")
    documents.add_argument(
        "--keys",
        action="append",
        metavar="PATTERN",
        help="json, yaml: only strings under these keys, such as menu.*.title; !PATTERN leaves out; may be repeated",
    )
    documents.add_argument(
        "--only-missing", action="store_true", help="po, xliff: only what has no translation, or an uncertain one"
    )
    documents.add_argument("--restart", action="store_true", help="begin anew instead of after an interrupted run")
    documents.add_argument("--quiet", action="store_true", help="show no progress")


def is_asked(args: argparse.Namespace) -> bool:
    """Whether the command line is about documents."""
    return bool(args.output or args.in_place or args.in_format)


def problem_of(args: argparse.Namespace) -> str:
    """What does not go together in a command line; empty if nothing."""
    if not is_asked(args):
        for name in ("encoding", "keys", "only_missing", "restart", "quiet"):
            if getattr(args, name):
                return f"--{name.replace('_', '-')} is about documents: give FILE -o FILE, --in-place or --in-format"
        return ""
    if args.file:
        return "--file is for lines of plain text: give the document's name without it"
    if args.output and args.in_place:
        return "--output and --in-place exclude each other: give one of them"
    if max(args.num_hypotheses or 1, args.alternatives or 1) > 1:
        return "a document has one translation: leave out --num-hypotheses and --alternatives"
    names = [name for name in ("scores", "token_scores", "alignments", "sentence_spans") if getattr(args, name)]
    if names:
        return f"--{names[0].replace('_', '-')} has no place in a document"
    if args.json and any(task.target == STREAM for task in tasks(args)):
        return "--json and the document would both go to the standard output: give -o FILE"
    if args.in_place and STREAM in [task.source for task in tasks(args)]:
        return "--in-place needs the name of a file"
    if any(task.source == STREAM for task in tasks(args)) and not args.in_format:
        return "what format does the standard input have? --in-format NAME"
    if len(args.texts) > 1 and not args.in_place and (args.output is None or args.output == STREAM):
        return "several documents need -o DIR or --in-place"
    targets = [task.target for task in tasks(args)]
    twice = next((target for target in targets if targets.count(target) > 1), None)
    return f"{twice} would be written twice" if twice else ""


def note_of(path: Path) -> str:
    """What whoever has a document translated line by line should know; empty if nothing."""
    kind = next((known.name for known in FORMATS if path.suffix.lower() in known.suffixes), "txt")
    return "" if kind == "txt" else f"{path} is read as lines of plain text; `{path} -o FILE` would keep what is {kind}"


def tasks(args: argparse.Namespace) -> list[Task]:
    """What is to be translated, and where to."""
    sources = [Path(text) for text in args.texts] or [STREAM]
    if args.in_place:
        return [Task(source, source) for source in sources]
    target = args.output or STREAM
    if target != STREAM and (len(sources) > 1 or target.is_dir()):
        return [Task(source, target / source.name) for source in sources]
    return [Task(source, target) for source in sources]


def translate(args: argparse.Namespace, client: Translator, options: Options) -> int:
    """Translate the documents, one after the other; the exit code."""
    document = DocumentOptions(args.in_format, args.encoding, tuple(args.keys or ()), args.only_missing)
    todo = tasks(args)
    if len(todo) > 1 and not args.in_place:
        args.output.mkdir(parents=True, exist_ok=True)
    code = 0
    for task in todo:
        try:
            with _watched(args, task) as watch:
                report = _translated(task, client, options, document, args, watch)
        except KeyboardInterrupt:
            if journal_of(task.target).exists():
                print(f"\ndragoman translate: {task.name}: interrupted; the same command goes on", file=sys.stderr)
            raise
        except (DocumentError, OSError) as error:
            if isinstance(error, BrokenPipeError):
                raise
            _say(task, str(error))
            code = 1
        else:
            code = max(code, _reported(task, report, args))
    return code


def _translated(
    task: Task, client: Translator, options: Options, document: DocumentOptions, args: argparse.Namespace, watch: Watch
) -> Report:
    # One call at a time in this process, with all that several would hold.
    size = codec.BATCH_SIZE * codec.IN_FLIGHT if args.bundle else codec.BATCH_SIZE
    if STREAM not in (task.source, task.target):
        flags = {"in_place": args.in_place, "restart": args.restart}
        return translate_document(
            client, task.source, task.target, options, document, **flags, batch_size=size, watch=watch
        )
    data = sys.stdin.buffer.read(MAX_BYTES + 1) if task.source == STREAM else read_file(task.source)
    document = dataclasses.replace(document, in_format=format_for(task.source, document.in_format).name)
    written, report = translate_data(client, data, options, document, batch_size=size, watch=watch)
    if task.target == STREAM:
        sys.stdout.buffer.write(written)
        sys.stdout.buffer.flush()
    else:
        write_file(task.target, written)
    return report


def _reported(task: Task, report: Report, args: argparse.Namespace) -> int:
    for problem in report.problems:
        _say(task, f"{problem.place}: {problem.message}")
    if report.failures:
        _say(task, f"{report.failures} of {report.units} texts have no translation and stay as they were")
    if args.json:
        facts = {"file": str(task.source), "output": str(task.target)} | dataclasses.asdict(report)
        print(json.dumps(facts, ensure_ascii=False))
    return 1 if report.failures else 0


@contextmanager
def _watched(args: argparse.Namespace, task: Task) -> Iterator[Watch]:
    with TimeLeft(sys.stderr, is_shown=sys.stderr.isatty() and not args.quiet) as line:

        def watch(progress: Progress) -> None:
            label = f"{task.name}: {progress.done:,} of {progress.units:,} texts"
            line.advance(label, progress.characters_done, progress.characters)

        yield watch


def _say(task: Task, message: str) -> None:
    print(f"dragoman translate: {task.name}: {message}", file=sys.stderr)
