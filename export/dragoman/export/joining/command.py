"""`dragoman join`: a bundle with the autoregressive decoder of another one beside its own."""

import argparse
import sys
from pathlib import Path

from dragoman.bundle.errors import BundleError
from dragoman.bundle.reader import open_bundle
from dragoman.export.core.errors import ExportError

DESCRIPTION = """\
Write the bundle FIRST with the autoregressive decoder of SECOND beside its own: of a student and the model on whose
encoder it was distilled, for example. Both must have the same encoder, words and precision. Each decoder says what it
said in its own bundle; requests name one with `decoder` (`dragoman translate --decoder NAME`).
"""


def register(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.description, parser.formatter_class = DESCRIPTION, argparse.RawDescriptionHelpFormatter
    parser.add_argument("first", type=Path, metavar="FIRST", help="bundle whose decoders all stay")
    parser.add_argument("second", type=Path, metavar="SECOND", help="bundle whose one decoder comes to them")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="bundle to write")
    parser.add_argument(
        "--default", action="store_true", help="SECOND's decoder searches where a request names none (else: FIRST's)"
    )
    parser.add_argument("--replace", action="store_true", help="replace a bundle that lies at DIR")


def run(args: argparse.Namespace) -> int:
    """Join; 0 when a bundle was written, 1 with the reasons when not."""
    from dragoman.export.joining.join import join

    try:
        first, second = open_bundle(args.first), open_bundle(args.second)
        bundle = join(first, second, args.output, searches=args.default, replace_it=args.replace)
    except (ExportError, BundleError, OSError) as error:
        print(f"dragoman join: {error}", file=sys.stderr)
        return 1
    decoders = ", ".join(bundle.manifest.decoders)
    print(f"{bundle.size / 1e6:.1f} MB -> {bundle.directory}; decoders, the default first: {decoders}")
    return 0
