"""`dragoman distill`: new decoders for a model, trained on what the model itself says."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from dragoman.cli.arguments import count, positive
from dragoman.cli.progress import StatusLine
from dragoman.export.core.errors import ExportError, is_out_of_memory
from dragoman.export.distill.kinds import DEFAULT, EPOCHS, KINDS, LAYERS, Kind
from dragoman.export.importers.formats import FORMATS

if TYPE_CHECKING:
    from dragoman.export.distill.settings import Decoder, Recipe

DESCRIPTION = """\
Train new decoders for a model and write them, all on the model's own encoder, as one bundle.

The model translates a text, one sentence a line, and the decoders learn to say the same: an autoregressive one with
masked self-attention and cached keys and values, which learns the model's probabilities of every word; ctc, which puts
out all words in one pass; and mask-predict, which fills and refills a canvas in as many passes as a request asks for.
Encoder, words, tokenizer and shortlist stay the model's and are not trained.

SOURCE is what `dragoman export` reads: its weights are what the encoder is, and what the decoders begin from. Without
autoregressive among them, the bundle keeps the model's own decoder.
"""
EPILOG = """\
All that is done lies in the folder of --work, which the same command goes on with wherever it was stopped or killed.
A training is measured in epochs, never in time: with the same --seed it gives the same weights, stopped or not. With
more epochs for a decoder than before, its training goes on from where it ended, on another machine too, if the folder
is taken there.

examples:
  dragoman distill model.enpt.bin --text mono.en.gz --output ./enpt-fast
  dragoman distill model.enpt.bin --text mono.en.gz --output ./enpt-fast --decoder autoregressive=3 --decoder ctc=40 \\
      --dev-source dev.en --dev-reference dev.pt --replace
"""


def register(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("source", type=Path, metavar="SOURCE", help="folder or file of the model's checkpoint")
    parser.add_argument(
        "--text",
        type=Path,
        action="append",
        required=True,
        metavar="FILE",
        help="sentences in the source language, one a line, plain or .gz; may be repeated",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="bundle to write; must not exist")
    parser.add_argument("--work", type=Path, metavar="DIR", help="folder to work in (default: OUTPUT.work)")
    parser.add_argument(
        "--decoder",
        action="append",
        type=kind_and_epochs,
        metavar="KIND[=EPOCHS]",
        help=f"a decoder to train, {', '.join(KINDS)}, and how often it sees the text (default: "
        f"{' and '.join(DEFAULT)}, {EPOCHS:g} times); may be repeated",
    )
    parser.add_argument(
        "--layers",
        action="append",
        type=kind_and_layers,
        default=[],
        metavar="KIND=N",
        help=f"of a decoder (default: {', '.join(f'{kind}={number}' for kind, number in LAYERS.items())})",
    )
    parser.add_argument("--dev-source", type=Path, metavar="FILE", help="sentences that quality is measured on")
    parser.add_argument(
        "--dev-reference",
        type=Path,
        metavar="FILE",
        help="their translations (default: some lines of the text are held out, with the model's own translations)",
    )
    _training(parser.add_argument_group("training"))
    parser.add_argument(
        "--keep-teacher",
        action="store_true",
        help="the model's own decoder stays beside those that are trained, and searches where a request names none",
    )
    parser.add_argument("--precision", choices=["fp32", "int8"], default="int8", help="of the bundle (default: int8)")
    parser.add_argument("--format", choices=["auto", *FORMATS], default="auto", help="what SOURCE is, as in export")
    parser.add_argument("--from", dest="source_language", metavar="XX", help="source language, where names do not tell")
    parser.add_argument("--to", dest="target_language", metavar="YY", help="target language, where names do not tell")
    parser.add_argument("--replace", action="store_true", help="replace a bundle that lies at DIR")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def _training(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--beam-size", type=count, metavar="N", help="of the translations (default: the model's own)")
    group.add_argument(
        "--max-tokens", type=count, default=100, metavar="N", help="longer pairs are left out (default: 100)"
    )
    group.add_argument(
        "--batch-words", type=count, default=4000, metavar="N", help="of a step, padding included (default: 4000)"
    )
    group.add_argument("--learning-rate", type=float, default=1e-3, metavar="X", help="highest (default: 0.001)")
    group.add_argument(
        "--guided-attention",
        type=positive,
        default=0.0,
        metavar="X",
        help="one head of the autoregressive decoder learns to look where the model itself looks, which makes better "
        "alignments; how much that counts, 0.1 say (default: nothing does)",
    )
    group.add_argument("--seed", type=count, default=1, metavar="N", help="of all that is drawn (default: 1)")
    group.add_argument("--threads", type=count, metavar="N", help="default: the usable CPUs")
    group.add_argument(
        "--device", choices=["auto", "cpu", "cuda"], default="auto", help="default: a GPU that torch can use, if any"
    )


def kind_and_epochs(text: str) -> tuple[Kind, float]:
    """What `KIND` or `KIND=EPOCHS` means."""
    name, _, number = text.partition("=")
    kind = next((kind for kind in KINDS if kind == name), None)
    try:
        epochs = float(number or EPOCHS)
    except ValueError:
        epochs = 0
    if kind is None or not 0 < epochs < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(KINDS)}, or one with =EPOCHS above 0")
    return kind, epochs


def kind_and_layers(text: str) -> tuple[Kind, int]:
    """What `KIND=N` means."""
    name, _, number = text.partition("=")
    kind = next((kind for kind in KINDS if kind == name), None)
    if kind is None or not number.isdecimal() or int(number) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(KINDS)} with =N, a whole number from 1")
    return kind, int(number)


def run(args: argparse.Namespace) -> int:
    """Distil; 0 when a bundle was written, 1 with the reason when not."""
    from dragoman.bundle.errors import BundleError
    from dragoman.server.core.errors import ServingError, StartError

    # Threads that wait for one another sleep: spinning, they take the processor from those that they wait for, and from
    # the lanes that translate. It is read when torch is imported, which has not happened yet.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    line = _Line(shown=sys.stderr.isatty() and not args.json)
    try:
        recipe = recipe_of(args)
        from dragoman.export.distill.distill import distill  # torch takes seconds to import

        result = distill(recipe, line.say)
    except (ExportError, BundleError, ServingError, StartError, OSError) as error:
        line.end()
        print(f"dragoman distill: {error}", file=sys.stderr)
        return 1
    except (MemoryError, RuntimeError) as error:
        line.end()
        if not is_out_of_memory(error):
            raise
        print(
            f"dragoman distill: out of memory while {line.stage}: a lower --batch-words than {args.batch_words} needs "
            "less; what was done is kept",
            file=sys.stderr,
        )
        return 1
    line.end()
    from dragoman.export.distill.report import as_data, table

    facts = {
        "bundle": str(result.bundle.directory),
        "bytes": result.bundle.size,
        "digest": result.bundle.digest,
        "pairs": result.pairs,
        "dropped": result.dropped,
        "measured_on": result.measured_on,
        "picture": str(result.picture),
    }
    if args.json:
        print(json.dumps(as_data(result.trainings, result.rows, facts), indent=2))
        return 0
    left_out = ", ".join(f"{number:,} {reason}" for reason, number in result.dropped.items())
    print(f"{result.pairs:,} pairs" + (f"; left out: {left_out}" if left_out else ""))
    print(table(result.trainings, result.rows, result.measured_on))
    print(f"{result.bundle.size / 1e6:.1f} MB -> {result.bundle.directory}; loss and quality: {result.picture}")
    return 0


def recipe_of(args: argparse.Namespace) -> Recipe:
    """What the arguments ask for. Raises `ExportError` for what can be seen to fail before any work."""
    from dragoman.export.distill.settings import Recipe

    if (args.dev_source is None) != (args.dev_reference is None):
        raise ExportError("--dev-source and --dev-reference go together: give both or neither")
    for path in (args.source, *args.text, *filter(None, (args.dev_source, args.dev_reference))):
        if not path.exists():
            raise ExportError(f"{path}: no such file or folder")
    if args.keep_teacher and args.precision != "int8":
        raise ExportError(f"--keep-teacher joins int8 decoders, and --precision is {args.precision}: leave one out")
    if args.keep_teacher and args.decoder and "autoregressive" not in dict(args.decoder):
        raise ExportError("--keep-teacher: without --decoder autoregressive the bundle has the model's own decoder")
    if args.guided_attention and args.decoder and "autoregressive" not in dict(args.decoder):
        raise ExportError("--guided-attention is of the autoregressive decoder, which --decoder does not name")
    if args.output.exists() and not args.replace:
        raise ExportError(f"{args.output} exists: name another --output, or replace it with --replace")
    return Recipe(
        source=args.source,
        format=args.format,
        languages=(args.source_language, args.target_language),
        texts=tuple(args.text),
        output=args.output,
        work=args.work or args.output.with_name(args.output.name + ".work"),
        decoders=_decoders(args),
        development=None if args.dev_source is None else (args.dev_source, args.dev_reference),
        precision=args.precision,
        replace=args.replace,
        beam_size=args.beam_size,
        max_tokens=args.max_tokens,
        batch_words=args.batch_words,
        learning_rate=args.learning_rate,
        seed=args.seed,
        threads=args.threads or len(os.sched_getaffinity(0)),
        device=_device(args.device),
        keeps_teacher=args.keep_teacher,
        guided_attention=args.guided_attention,
    )


def _decoders(args: argparse.Namespace) -> tuple[Decoder, ...]:
    from dragoman.export.distill.settings import Decoder

    asked: dict[Kind, float] = dict(args.decoder or [(kind, EPOCHS) for kind in DEFAULT])
    numbers = dict(args.layers)
    unused = [kind for kind in numbers if kind not in asked]
    if unused:
        raise ExportError(f"--layers names {', '.join(unused)}, and --decoder does not: it is not trained")
    return tuple(Decoder(kind, asked[kind], numbers.get(kind, LAYERS[kind])) for kind in KINDS if kind in asked)


def _device(name: str) -> str:
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise ExportError("--device cuda: torch finds no GPU here; leave it out to train on the CPU")
    return "cuda" if name != "cpu" and torch.cuda.is_available() else "cpu"


class _Line:
    """One line on a terminal that is written over; silent elsewhere."""

    def __init__(self, *, shown: bool) -> None:
        self._line = StatusLine(sys.stderr, is_shown=shown)
        self.stage, self._began_s, self._begun = "", 0.0, 0.0

    def say(self, stage: str, done: float | None) -> None:
        """Show what is being done, and which share of it has been."""
        kind = stage.partition(",")[0]
        if kind != self.stage.partition(",")[0]:
            self._began_s, self._begun = time.monotonic(), done or 0.0
        self.stage = stage
        text = stage
        if done is not None:
            text += f": {done:.0%}"
            if done > self._begun:
                left_s = (time.monotonic() - self._began_s) * (1 - done) / (done - self._begun)
                text += f", about {left_s:.0f} s left" if left_s < 100 else f", about {left_s / 60:.0f} min left"
        self._line.show(f"{text} ...")

    def end(self) -> None:
        """Clear the line."""
        self._line.clear()
