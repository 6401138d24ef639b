"""Lines that are translated while they are written: `dragoman translate --live`."""

import argparse
import json
import sys
from contextlib import AbstractContextManager
from typing import Protocol

from dragoman.client.commands import documents
from dragoman.client.commands.arrivals import Writing, Written
from dragoman.client.errors import DragomanError, ServerFault
from dragoman.client.problems import problem_of as problem_of_translation
from dragoman.client.types import Options, Translation

TYPING = "type lines to translate; Ctrl-D translates what there is of a line, and ends at its beginning"


class LiveCall(Protocol):
    """What a client's `live` opens."""

    @property
    def is_open(self) -> bool:
        """Whether more can be translated."""

    def translate(self, text: str, *, is_whole: bool = False) -> Translation:
        """The translation of a text as far as it is certain."""


class LiveClient(Protocol):
    """A client that translates texts while they are written."""

    def live(self, options: Options, *, wait: int | None = None) -> AbstractContextManager[LiveCall]:
        """Open a pipe for them."""


def register(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    live = parser.add_argument_group("lines that are still being written")
    live.add_argument(
        "--live", action="store_true", help="translate each line of the standard input while it is being written"
    )
    live.add_argument(
        "--wait",
        type=int,
        metavar="WORDS",
        help="say a word behind so many of a sentence, 1 to 100 (default: what two translations agree upon)",
    )


def problem_of(args: argparse.Namespace) -> str:
    """What does not go together in a command line; empty if nothing."""
    if not args.live:
        return "" if args.wait is None else "--wait is about lines that are being written: add --live"
    if args.texts or args.file:
        return f"--live reads the standard input: leave out {'TEXT' if args.texts else '--file'}"
    if documents.is_asked(args):
        return "--live and documents exclude each other: a document is whole"
    return ""


def translate(args: argparse.Namespace, client: LiveClient, options: Options) -> int:
    """Say each line of the standard input as it grows; the exit code."""
    if sys.stdin.isatty():
        print(TYPING, file=sys.stderr)
    writing = Writing(sys.stdin.buffer)
    lines, code = writing.lines(), 0
    for index, begun in enumerate(lines):  # what follows of a line is taken below
        if begun.error is None and not begun.text and begun.end is not None:
            _say(args, index, "", begun)  # nothing is asked about an empty line
        else:
            with client.live(options, wait=args.wait) as call:
                line = _Line(args, index, call)
                written: Written | None = begun
                while written is not None and not line.read(written):
                    if line.has_failed:
                        writing.pass_over()
                    written = next(lines, None)
            code = max(code, int(line.has_failed))
    return code


class _Line:
    """A line that is being written, and what was said of it."""

    def __init__(self, args: argparse.Namespace, index: int, call: LiveCall) -> None:
        self._args, self._index, self._call = args, index, call
        self._said = ""
        self.has_failed = False

    def read(self, written: Written) -> bool:
        """Say what is certain by now. Whether that is all."""
        is_whole = written.end is not None
        if not self.has_failed:
            try:
                if written.error:
                    raise written.error
                self._grow(self._call.translate(written.text, is_whole=is_whole), written)
            except DragomanError as error:
                if written.error is None and not self._call.is_open:
                    raise  # nothing further would go better
                self.has_failed = True
                self._complain(f"not translated{' to its end' if self._said else ''}: {error}")
                if self._args.json:
                    print(_json(self._index, {"error": {"code": error.code, "message": str(error)}}), flush=True)
        if self.has_failed and written.end and not self._args.json:
            print(end=written.end, flush=True)
        return is_whole

    def _grow(self, translation: Translation, written: Written) -> None:
        if not translation.text.startswith(self._said):
            raise ServerFault(f"{self._said!r} was said, and taken back")
        more, self._said = translation.text[len(self._said) :], translation.text
        if written.end is not None and (problem := problem_of_translation(translation)):
            self._complain(problem)
        if more or written.end is not None:
            _say(self._args, self._index, self._said if self._args.json else more, written)

    def _complain(self, problem: str) -> None:
        print(f"dragoman translate: line {self._index + 1}: {problem}", file=sys.stderr)


def _say(args: argparse.Namespace, index: int, text: str, written: Written) -> None:
    """Print what is said of a line: all of it as JSON, or what is new."""
    if args.json:
        print(_json(index, {"text": text, "is_whole": written.end is not None}), flush=True)
    else:
        # What came in as one line goes out as one line, whatever the model put into it.
        print(text.replace("\n", " "), end=written.end or "", flush=True)


def _json(index: int, facts: dict[str, object]) -> str:
    return json.dumps({"index": index, **facts}, ensure_ascii=False)
