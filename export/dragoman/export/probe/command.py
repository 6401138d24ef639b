"""`dragoman probe`: learn which forms a bundle's model copies."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from dragoman.bundle.errors import BundleError
from dragoman.bundle.manifest import Form
from dragoman.bundle.reader import open_bundle
from dragoman.export.core.errors import ExportError

DESCRIPTION = """\
Find out which forms a bundle's model copies, and write them into its manifest. A form stands for what must not change
(a placeholder, an address) while the model works; the share that comes back says how often that succeeds at once.
`dragoman export` ends with the same; this is for bundles that were made before, and for texts of your own.
"""


def register(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.description = DESCRIPTION
    parser.add_argument("directory", type=Path, metavar="DIR", help="a bundle; its manifest is replaced")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="write the bundle there, and leave the first as it is"
    )
    parser.add_argument(
        "--text",
        type=Path,
        metavar="FILE",
        help="texts of the source language, one a line: in the first 60 that have four words, forms take the place of "
        "some (default: strings that come with the project, English ones where it has none of the language)",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    """Probe; 0 when the forms were written, 1 with the reason when not."""
    from dragoman.export.probe.probe import with_forms  # the engine takes a moment to import

    try:
        texts = None if args.text is None else args.text.read_text("utf-8").splitlines()
        bundle = with_forms(open_bundle(args.directory), args.output, texts, progress=lambda _: None)
    except (ExportError, BundleError, OSError, UnicodeDecodeError) as error:
        print(f"dragoman probe: {error}", file=sys.stderr)
        return 1
    if args.json:
        forms = [asdict(form) for form in bundle.manifest.forms]
        print(json.dumps({"bundle": str(bundle.directory), "digest": bundle.digest, "forms": forms}, indent=2))
    else:
        print(f"{bundle.manifest.name} {bundle.version}: {told(bundle.manifest.forms)}")
    return 0


def told(forms: tuple[Form, ...]) -> str:
    """The forms for a person."""
    shown = (f"{form.form.format(n=1)} comes back in {form.share:.1%}" for form in forms)
    return ", ".join(shown) or "none of the forms comes back in half of the texts"
