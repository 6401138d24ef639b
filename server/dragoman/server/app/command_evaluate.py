"""`dragoman evaluate`: translate a test set in this process and say how good and how fast that was."""

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from dragoman.bundle.errors import BundleError
from dragoman.server.app.translator import LocalTranslator
from dragoman.server.core.errors import ServingError, StartError
from dragoman.server.core.requests import DecodingOverrides, Splitting

DESCRIPTION = """\
Translate a test set with one or more bundles and compare with reference translations: BLEU (13a) and chrF2 with their
sacreBLEU signatures, and source words a second. With several bundles, each is compared with the first.
"""


@dataclass(frozen=True)
class Evaluation:
    """What one bundle made of the test set."""

    bundle: str
    precision: str
    bleu: float
    chrf: float
    words_per_second: float
    seconds: float
    cut: int
    """Lines that reached the length limit."""
    bleu_signature: str
    chrf_signature: str


def count(text: str) -> int:
    """The whole number from 1 that an argument stands for."""
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return number


def register(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.description = DESCRIPTION
    parser.add_argument("--bundle", action="append", required=True, type=Path, metavar="DIR", help="may be repeated")
    parser.add_argument("--source", required=True, type=Path, metavar="FILE", help="one text a line")
    parser.add_argument("--reference", required=True, type=Path, metavar="FILE", help="its translation, line by line")
    parser.add_argument("--lines", type=count, metavar="N", help="only the first N lines")
    parser.add_argument(
        "--splitting",
        choices=[splitting.value for splitting in Splitting],
        default=Splitting.NONE.value,
        help="how each line is cut into segments (default: none, as test sets are sentences already)",
    )
    parser.add_argument(
        "--shortlist", action=argparse.BooleanOptionalAction, default=None, help="default: the bundle's own way"
    )
    parser.add_argument("--beam-size", type=int, metavar="N", help="default: the bundle's own")
    parser.add_argument("--threads", type=count, metavar="N", help="default: the usable CPUs")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Evaluate; the process's exit code."""
    try:
        sources, references = _read(args.source, args.lines), _read(args.reference, args.lines)
        if len(sources) != len(references):
            raise StartError(f"{args.source} has {len(sources)} lines and {args.reference} {len(references)}")
        if not sources:
            raise StartError(f"{args.source}: no lines to translate")
        overrides = DecodingOverrides(beam_size=args.beam_size, shortlist=args.shortlist)
        results = []
        for directory in args.bundle:
            if sys.stderr.isatty():
                print(f"translating {len(sources)} lines with {directory} ...", file=sys.stderr)
            results.append(
                _evaluate(directory, sources, references, overrides, Splitting(args.splitting), args.threads)
            )
    except (StartError, ServingError, BundleError) as error:
        print(f"dragoman evaluate: {error}", file=sys.stderr)
        return 1
    print(json.dumps([asdict(result) for result in results]) if args.json else _table(results))
    return 0


def _read(path: Path, most: int | None) -> list[str]:
    try:
        with path.open(encoding="utf-8", newline="\n") as file:
            return [line.rstrip("\r\n") for line in islice(file, most)]
    except (OSError, UnicodeDecodeError) as error:
        raise StartError(f"{path}: cannot be read: {error}") from error


def _evaluate(
    directory: Path,
    sources: list[str],
    references: list[str],
    overrides: DecodingOverrides,
    splitting: Splitting,
    threads: int | None,
) -> Evaluation:
    try:
        from sacrebleu.metrics.bleu import BLEU
        from sacrebleu.metrics.chrf import CHRF
    except ImportError as error:
        raise StartError("sacrebleu is not installed: pip install sacrebleu") from error
    with LocalTranslator(directory, threads) as translator:
        manifest = translator.bundle.manifest
        # The first runs of a graph set up its memory: they are no part of the speed.
        translator.translate(sources[:1], overrides, splitting)
        started = time.perf_counter()
        translations = translator.translate(sources, overrides, splitting)
        seconds = time.perf_counter() - started
    bleu, chrf = BLEU(), CHRF()
    texts = [translation.text for translation in translations]
    return Evaluation(
        bundle=str(directory),
        precision=manifest.precision,
        bleu=bleu.corpus_score(texts, [references]).score,
        chrf=chrf.corpus_score(texts, [references]).score,
        words_per_second=sum(len(source.split()) for source in sources) / seconds,
        seconds=seconds,
        cut=sum(translation.finish_reason.value == "length" for translation in translations),
        bleu_signature=str(bleu.get_signature()),
        chrf_signature=str(chrf.get_signature()),
    )


def _table(results: list[Evaluation]) -> str:
    """One row a bundle; the differences are to the first."""
    first = results[0]
    rows = [("BLEU", "", "chrF2", "", "words/s", "seconds", "cut", "bundle")]
    for result in results:
        differences = ("", "")
        if result is not first:
            differences = (f"{result.bleu - first.bleu:+.2f}", f"{result.chrf - first.chrf:+.2f}")
        numbers = (f"{result.words_per_second:.0f}", f"{result.seconds:.1f}", str(result.cut))
        bleu, chrf = f"{result.bleu:.2f}", f"{result.chrf:.2f}"
        rows.append((bleu, differences[0], chrf, differences[1], *numbers, f"{result.bundle} ({result.precision})"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join([cell.rjust(width) for cell, width in zip(row[:-1], widths[:-1], strict=True)] + [row[-1]])
        for row in rows
    ]
    return "\n".join([*lines, first.bleu_signature, first.chrf_signature])
