"""`dragoman bench`: an open-loop load on a server, and the highest load that it holds."""

import argparse
import asyncio
import dataclasses
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

from dragoman.cli.arguments import count, finite, member, positive
from dragoman.cli.progress import StatusLine
from dragoman.client import codec
from dragoman.client.bench import load
from dragoman.client.bench import report as bench_report
from dragoman.client.bench.figures import Figures, figures
from dragoman.client.bench.limit import search
from dragoman.client.bench.schedule import Arrivals, due_times, shuffled
from dragoman.client.commands import server_argument
from dragoman.client.commands.server_argument import connection_of, server_of
from dragoman.client.errors import DragomanError, Unavailable
from dragoman.client.types import Options

DESCRIPTION = """\
Put a load on a server: one text a call, at a rate that does not wait for answers. Latency runs from the moment that a
call was due, so a server that stalls is charged with every call that would have come meanwhile.

With --find-limit the load is doubled until p99 misses the target, and then narrowed down to 5 percent; a call that
fails counts as one that takes for ever.
"""

EPILOG = """\
examples:
  dragoman bench --file english.txt --to pt --rate 50 --duration 60
  dragoman bench --file english.txt --to pt --find-limit --target-p99 200 --plot latency.svg

The exit code is 1 if no call was answered, or no load was held.
"""

TEXTS = (
    "Good morning.",
    "Where is the nearest station?",
    "The meeting has been moved to Thursday afternoon.",
    "Please send me the report before the end of the week, and let me know if anything is missing.",
    "She had lived in the old house by the river for more than thirty years before the flood came.",
)
"""Sent where no texts are given."""

FIND_LIMIT_ONLY = ("target_p99", "plot")
DEFAULT_TARGET_MS = 200.0
MIN_CALLS = 300
"""The fewest calls in one step of a search: p99 of 300 calls lets three of them be slower."""


WATCH_S = 1.0
"""Time between two looks at a load that is on its way."""


class UsageError(Exception):
    """Arguments that do not go together."""


def register(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--file", type=Path, metavar="PATH", help="send the lines of this file, in a random order")
    parser.add_argument("--json", action="store_true", help="one JSON object with all figures")
    where = parser.add_argument_group("where, and what for")
    server_argument.register(where)
    where.add_argument("--from", dest="source_language", metavar="xx", help="language of the texts, a BCP-47 tag")
    where.add_argument("--to", dest="target_language", metavar="yy", help="language to translate into")
    where.add_argument("--model", metavar="NAME", help="default: the server's model for the languages")
    where.add_argument("--beam-size", type=count, metavar="N", help="default: the model's own")
    how = parser.add_argument_group("load")
    how.add_argument("--rate", type=positive, default=10.0, metavar="X", help="calls a second (default: %(default)g)")
    how.add_argument(
        "--duration", type=positive, default=10.0, metavar="SECONDS", help="what is counted (default: %(default)g)"
    )
    how.add_argument(
        "--warmup", type=_not_negative, default=1.0, metavar="SECONDS", help="sent before, not counted (default: 1)"
    )
    how.add_argument(
        "--arrivals",
        type=member(Arrivals),
        default=Arrivals.POISSON,
        metavar=f"{{{','.join(Arrivals)}}}",
        help="calls as of many users, or one like the other (default: %(default)s)",
    )
    how.add_argument("--connections", type=count, default=4, metavar="N", help="default: %(default)s")
    how.add_argument(
        "--timeout", type=positive, default=10.0, metavar="SECONDS", help="deadline of a call (default: %(default)g)"
    )
    how.add_argument("--seed", type=int, default=0, metavar="N", help="of arrivals and order (default: %(default)s)")
    limit = parser.add_argument_group("limit")
    limit.add_argument("--find-limit", action="store_true", help="find the highest load held; --rate is the first")
    limit.add_argument(
        "--target-p99", type=positive, metavar="MS", help=f"what p99 must not exceed (default: {DEFAULT_TARGET_MS:g})"
    )
    limit.add_argument("--plot", type=Path, metavar="PATH.svg", help="draw latency against load")


def run(args: argparse.Namespace) -> int:
    """Put the load on, and report; the process's exit code."""
    try:
        _check(args)
        where = connection_of(args)
        messages = _messages(args)
        work = _find_limit if args.find_limit else _put_on
        return load.run(where.server, args.connections, lambda sender: work(args, sender, messages), where.credentials)
    except UsageError as error:
        return _complain(error, code=2)
    except Unavailable as error:
        return _complain(
            f"{server_of(args.server)} does not answer: {error}; start a server with `dragoman serve`, or name another"
        )
    except (DragomanError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            raise
        return _complain(error)


def _not_negative(text: str) -> float:
    number = finite(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is below 0")
    return number


def _check(args: argparse.Namespace) -> None:
    if sys.stdout is None:
        raise UsageError("the standard output is closed, and the figures have no other way out")
    for name in FIND_LIMIT_ONLY:
        if getattr(args, name) is not None and not args.find_limit:
            raise UsageError(f"--{name.replace('_', '-')} is for --find-limit: give both or neither")
    if args.plot and args.plot.suffix != ".svg":
        raise UsageError(f"--plot {args.plot}: the picture is SVG, give a name that ends in .svg")
    if args.plot and not args.plot.absolute().parent.is_dir():
        raise UsageError(f"--plot {args.plot}: there is no such folder")
    args.target_p99 = args.target_p99 or DEFAULT_TARGET_MS
    if args.find_limit and args.timeout * 1e3 <= args.target_p99:
        raise UsageError("--timeout ends calls before --target-p99 is reached: allow more, or aim lower")


def _messages(args: argparse.Namespace) -> Iterator[bytes]:
    """Calls without end, as they go over the wire."""
    texts: tuple[str, ...] | list[str] = TEXTS
    if args.file:
        try:
            texts = [line for line in args.file.read_text("utf-8").split("\n") if line.strip()]
        except UnicodeDecodeError as error:
            raise UsageError(f"{args.file}: not UTF-8 ({error.reason} at byte {error.start})") from error
        if not texts:
            raise UsageError(f"{args.file}: no line has a text to send")
    names = {field.name for field in dataclasses.fields(Options)}
    options = Options(**{name: value for name, value in vars(args).items() if name in names})
    wire = {text: codec.request([text], options).SerializeToString() for text in texts}
    return (wire[text] for text in shuffled(texts, args.seed))


async def _measure(
    args: argparse.Namespace, sender: load.Sender, messages: Iterator[bytes], rate: float, duration_s: float
) -> Figures:
    """Send one load."""
    due_s = due_times(args.arrivals, rate, args.warmup + duration_s, args.seed)
    # No more messages than calls: those of the next load are drawn from the same deck.
    offered = load.Load(due_s, itertools.islice(messages, len(due_s)), args.timeout)
    with StatusLine(sys.stderr, is_shown=sys.stderr is not None and sys.stderr.isatty()) as line:
        watching = asyncio.create_task(_watch(line, offered, rate))
        try:
            await sender.send(offered)
        finally:
            watching.cancel()
    return figures(offered.calls, args.warmup, duration_s)


async def _watch(line: StatusLine, offered: load.Load, rate: float) -> None:
    """Show how a load is doing."""
    shown = 0
    while True:
        await asyncio.sleep(WATCH_S)
        fresh, shown = offered.calls[shown:], len(offered.calls)
        slowest = max((call.latency_s for call in fresh), default=0.0)
        failed = sum(call.outcome != load.OK for call in offered.calls)
        line.show(
            f"{rate:,.4g} a second: {offered.sent:,} of {len(offered.due_s):,} sent, "
            f"{offered.sent - shown:,} in flight, {failed:,} failed, "
            f"slowest of the last {len(fresh):,}: {1e3 * slowest:,.0f} ms"
        )


async def _put_on(args: argparse.Namespace, sender: load.Sender, messages: Iterator[bytes]) -> int:
    """One load, and its report; the exit code."""
    measured = await _measure(args, sender, messages, args.rate, args.duration)
    report = bench_report.load_json if args.json else bench_report.load
    print(report(args, sender.server, measured))
    return 0 if measured.latency_ms else 1


async def _find_limit(args: argparse.Namespace, sender: load.Sender, messages: Iterator[bytes]) -> int:
    """One load after the other, as the search wants, and the report; the exit code."""
    trials: list[bench_report.Trial] = []
    searching = search(args.rate)
    rate, limit = next(searching), None
    try:
        while True:
            measured = await _measure(args, sender, messages, rate, max(args.duration, MIN_CALLS / rate))
            trials.append((rate, measured))
            if not args.json:
                print(bench_report.trial(args, rate, measured), flush=True)
            rate = searching.send(measured.p99_with_failures_ms <= args.target_p99)
    except StopIteration as end:
        limit = end.value
    if args.plot:
        args.plot.write_text(bench_report.picture(args, trials, limit), "utf-8")
    print(bench_report.limit_json(args, sender.server, trials, limit) if args.json else bench_report.limit(args, limit))
    return 1 if limit is None else 0


def _complain(problem: object, *, code: int = 1) -> int:
    print(f"dragoman bench: {problem}", file=sys.stderr)
    return code
