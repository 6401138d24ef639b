"""`dragoman export`: a trained checkpoint becomes a bundle."""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import get_args

from dragoman.bundle.errors import BundleError
from dragoman.bundle.manifest import Parity, Precision
from dragoman.bundle.reader import Bundle
from dragoman.cli.arguments import count
from dragoman.export.core.checkpoint import Checkpoint
from dragoman.export.core.errors import ExportError, is_out_of_memory
from dragoman.export.importers.files.word_tables import Cut
from dragoman.export.importers.formats import FORMATS, read, read_for
from dragoman.export.task import TRANSLATION, with_context, with_global_words, with_prompt, with_task

DRAWN = Path()
"""Stands for `--calibrate` without a file."""


def register(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.description = (
        "Turn a trained checkpoint into a bundle: ONNX graphs, tokenizer and manifest in one folder. The export ends "
        "with a comparison of every graph with the network it came from, and a bundle that fails it is not written."
    )
    parser.add_argument("source", type=Path, metavar="SOURCE", help="folder or file of the checkpoint")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to write; must not exist")
    parser.add_argument(
        "--format",
        choices=["auto", *FORMATS],
        default="auto",
        help="what SOURCE is (default: find out): hf is a Hugging Face folder, fairseq and opennmt a .pt "
        "file or its folder, ctranslate2 what CTranslate2 converted, letters what g2p-en and e2k carry, marian also "
        "reads Firefox students, plain is the project's own format, for models of any other origin",
    )
    parser.add_argument(
        "--precision",
        choices=get_args(Precision),
        default="int8",
        help="of the weights (default: int8); fp16 is for GPUs, and slower than fp32 on processors",
    )
    parser.add_argument(
        "--calibrate",
        type=Path,
        nargs="?",
        const=DRAWN,
        metavar="FILE",
        help="measure fixed int8 scales on source texts, one a line, of which the first 100 are read; without FILE, on "
        "words of the model's vocabulary (default: the checkpoint's own scales, or one for each row as it runs)",
    )
    parser.add_argument("--from", dest="source_language", metavar="XX", help="source language, where names do not tell")
    parser.add_argument("--to", dest="target_language", metavar="YY", help="target language, where names do not tell")
    parser.add_argument(
        "--words",
        choices=get_args(Cut),
        help="the dictionaries have whole words, with spaces between them in texts, or characters; never guessed",
    )
    parser.add_argument(
        "--task",
        default=TRANSLATION,
        metavar="NAME",
        help="what the model does, if it does not translate (summarization, question-answering, ...): texts are then "
        "read whole, their end is dropped where they are too long, and nothing of them is protected; a Hugging Face "
        "model's own settings and prompt for a task of that name (task_specific_params) are taken",
    )
    parser.add_argument(
        "--prompt", metavar="TEXT", help="put before each text, in place of the task's own; '' for none (default: that)"
    )
    parser.add_argument(
        "--context",
        metavar="SEPARATOR",
        help="the model was trained to read what comes before a text, then SEPARATOR (a token's name or a text; '' "
        "for nothing), and to translate the text alone",
    )
    parser.add_argument(
        "--context-tokens",
        type=count,
        metavar="N",
        help="how much of it, the nearest (default: half of what the model reads)",
    )
    parser.add_argument(
        "--global-words",
        type=int,
        metavar="N",
        help="so many first words of a source, 1 to 16, see all of it and are seen by all (LED; default: 1)",
    )
    parser.add_argument("--replace", action="store_true", help="replace a bundle that lies at DIR")
    parser.add_argument(
        "--probe",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="end with a trial of which forms the model copies, as `dragoman probe` does (default: yes, where the "
        "server's own packages are installed)",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    """Export; 0 when a bundle was written, 1 with the reasons when not."""
    from dragoman.export.export import export  # torch takes seconds to import: bad arguments are told before that

    started_s = time.monotonic()
    progress = _Progress(shown=sys.stderr.isatty() and not args.json)
    try:
        checkpoint = with_global_words(_read(args), args.global_words)
        for note in () if args.json else checkpoint.notes:
            print(f"note: {note}")
        if args.calibrate is not None and args.precision != "int8":
            raise ExportError(
                f"--calibrate measures scales of int8, and --precision is {args.precision}: leave one out"
            )
        calibration = None
        if args.calibrate is not None:
            calibration = calibration_ids(checkpoint, None if args.calibrate is DRAWN else args.calibrate)
        bundle = export(
            checkpoint,
            args.output,
            precision=args.precision,
            calibration=calibration,
            replace=args.replace,
            progress=progress,
        )
        note = ""
        if args.probe:
            bundle, note = probed(bundle, progress)
        if note and not args.json:
            print(f"note: {note}")
    except (ExportError, BundleError, OSError) as error:
        progress.end()
        print(f"dragoman export: {error}", file=sys.stderr)
        return 1
    except (MemoryError, RuntimeError) as error:
        progress.end()
        if not is_out_of_memory(error):
            raise
        print(
            f"dragoman export: out of memory while {progress.stage}: an export takes up to three times the size of "
            "the weights; nothing was written",
            file=sys.stderr,
        )
        return 1
    progress.end()
    if args.json:
        print(json.dumps(report(bundle), indent=2))
    else:
        print_report(bundle, time.monotonic() - started_s)
    return 0


def _read(args: argparse.Namespace) -> Checkpoint:
    """The checkpoint, with what its task makes of texts and of what comes before them."""
    return with_context(_read_task(args), args.context, args.context_tokens)


def _read_task(args: argparse.Namespace) -> Checkpoint:
    source, target = args.source_language, args.target_language
    if args.task == TRANSLATION:
        checkpoint = read(args.source, args.format, source, target, args.words)
        return with_prompt(checkpoint, args.prompt or "")
    made, prompt = read_for(args.source, args.format, source, target or source, args.task, args.words)
    return with_task(made, args.task, prompt if args.prompt is None else args.prompt)


def probed(bundle: Bundle, progress: Callable[[str], None]) -> tuple[Bundle, str]:
    """The bundle with the forms that its model copies, and why that was not tried: the bundle is good without. One that
    does not translate has nothing that must come back.
    """
    if not bundle.manifest.texts.translated:
        return bundle, ""
    try:
        from dragoman.export.probe.probe import with_forms  # it needs what a server needs
    except ModuleNotFoundError as error:
        return bundle, f"which forms the model copies was not tried, as {error.name} is not installed: dragoman[cpu]"
    try:
        return with_forms(bundle, progress=progress), ""
    except ExportError as error:
        return bundle, str(error)


def calibration_ids(checkpoint: Checkpoint, path: Path | None) -> list[list[int]]:
    """Sources to measure scales on: the first lines of a file, or words of the vocabulary where none is named."""
    from dragoman.export.calibration.texts import draw_texts, read_texts  # tokenizers take a moment to import

    return draw_texts(checkpoint) if path is None else read_texts(checkpoint, path)


def worst(parity: tuple[Parity, ...]) -> list[Parity]:
    """For each comparison and graph, the line that came nearest to its tolerance."""
    lines: dict[str, Parity] = {}
    for line in parity:
        key = f"{line.compared} {line.tensor.split('/')[0]}"
        if key not in lines or line.max_difference > lines[key].max_difference:
            lines[key] = line
    return list(lines.values())


def report(bundle: Bundle) -> dict[str, object]:
    """The result as plain data."""
    manifest = bundle.manifest
    return {
        "bundle": str(bundle.directory),
        "name": manifest.name,
        "precision": manifest.precision,
        "bytes": bundle.size,
        "digest": bundle.digest,
        "forms": [asdict(form) for form in manifest.forms],
        "parity": [asdict(line) for line in manifest.parity],
    }


def print_report(bundle: Bundle, seconds: float) -> None:
    """The result for a person."""
    manifest = bundle.manifest
    kind = "greatest difference" if manifest.precision == "fp32" else "relative error"
    print(f"{manifest.name} {manifest.precision}, {bundle.size / 1e6:.1f} MB, in {seconds:.0f} s -> {bundle.directory}")
    for line in worst(manifest.parity):
        print(f"  {line.compared}: {line.tensor}: {kind} {line.max_difference:.2g} (allowed {line.tolerance:g})")
    for form in manifest.forms:
        print(f"  {form.form.format(n=1)} comes back in {form.share:.1%}")


DONE = {
    "tracing encoder": 0.02,
    "tracing step": 0.14,
    "tracing candidates": 0.36,
    "tracing step_shortlist": 0.36,
    "quantising": 0.36,
    "writing": 0.43,
    "comparing with the network": 0.46,
    "comparing with transformers": 0.9,
}
"""How much of an export is done when a stage begins, for a model of 600 million parameters. Smaller ones spend more of
their time on tracing, and little of it altogether."""


def time_left(stage: str, elapsed_s: float) -> str:
    """In words, from the time that had passed when a stage began; empty where that says nothing yet."""
    done = next((share for name, share in DONE.items() if stage.startswith(name)), 0.0)
    left_s = elapsed_s * (1 - done) / done if done >= 0.1 else 0.0
    if left_s < 10:
        return ""
    return f", about {left_s:.0f} s left" if left_s < 100 else f", about {left_s / 60:.0f} min left"


class _Progress:
    """One line on a terminal that is written over; silent elsewhere."""

    def __init__(self, *, shown: bool) -> None:
        self._shown, self._started_s = shown, time.monotonic()
        self.stage = "reading the checkpoint"

    def __call__(self, stage: str) -> None:
        self.stage = stage
        if self._shown:
            left = time_left(stage, time.monotonic() - self._started_s)
            print(f"\r\x1b[K{stage}{left} ...", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Clear the line."""
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
