"""Catalogues of Django, django-allauth and others, translated as documents, under pofilter of translate-toolkit.

Every message of their pt_BR catalogues is translated, whatever it had. pofilter compares each message with its
translation: placeholders, variables, addresses, tags. What a variable is depends on whose catalogue it is, so it is
asked in the styles of several projects. Ends with 1 where a failure is not explained.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import polib

TESTS = ("printf", "variables", "urls", "emails", "xmltags", "pythonbraceformat", "escapes", "tabs")
STYLES = ("standard", "gnome", "kde", "mozilla", "openoffice", "drupal", "wx", "libreoffice")
CHOSEN = ("django-", "django_allauth-")
"""Beginnings of the names of wheels."""
EXPLAINED = (
    (r"variables: Do not translate: (?:&#?\w+;(?:, )?)+", "a character that is written as a reference is text"),
    (r"variables: Do not translate: (?:\[\w+\](?:, )?)+", "words in square brackets are text"),
)
"""Patterns of what pofilter says that is no fault, and why."""


class Failure(NamedTuple):
    """A message that pofilter does not like the translation of."""

    test: str
    message: str
    translation: str
    said: str

    @property
    def reason(self) -> str | None:
        """Why it is no fault."""
        said = f"{self.test}: {self.said}"
        return next((reason for pattern, reason in EXPLAINED if re.fullmatch(pattern, said)), None)


def write_catalogues(wheels: Sequence[Path], folder: Path) -> list[Path]:
    """The pt_BR catalogues of wheels, as files."""
    files = list[Path]()
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            for name in sorted(archive.namelist()):
                if "/pt_BR/" in name and name.endswith(".po"):
                    files.append(folder / name.replace("/", "-"))
                    files[-1].write_bytes(archive.read(name))
    return files


def translate(bundle: Path, files: Sequence[Path], folder: Path) -> None:
    """As whoever has a folder of catalogues would do it. What a reader should look at is said on the way."""
    command = [Path(sys.executable).with_name("dragoman"), "translate", "--bundle", bundle, "--quiet", "-o", folder]
    subprocess.run([*command, *files], check=True)


def failures(pofilter: Path, style: str, folder: Path) -> Iterator[Failure]:
    """All that pofilter says of a folder in a project's style."""
    with tempfile.TemporaryDirectory() as said:
        command = [pofilter, f"--{style}", *(part for test in TESTS for part in ("-t", test)), "-i", folder, "-o", said]
        subprocess.run([part for part in command if part != "--standard"], check=True, capture_output=True)
        for path in sorted(Path(said).rglob("*.po")):
            for entry in polib.pofile(str(path)):
                for line in entry.tcomment.splitlines():
                    if line.startswith("(pofilter) "):
                        test, _, text = line.removeprefix("(pofilter) ").partition(": ")
                        translation = entry.msgstr or " | ".join(entry.msgstr_plural.values())
                        yield Failure(test, entry.msgid, translation, text)


def report(bundle: Path, wheels: Sequence[Path], pofilter: Path) -> int:
    """Translate and filter; returns how many failures are not explained."""
    with tempfile.TemporaryDirectory() as work:
        source, target = Path(work, "source"), Path(work, "target")
        source.mkdir()
        target.mkdir()
        files = write_catalogues(wheels, source)
        translate(bundle, files, target)
        written = [polib.pofile(str(path)) for path in sorted(target.iterdir())]
        count = sum(not entry.obsolete for catalogue in written for entry in catalogue)
        empty = sum(not entry.translated() for catalogue in written for entry in catalogue if not entry.obsolete)
        all_failures = [each for style in STYLES for each in failures(pofilter, style, target)]
    print(f"{bundle}: {count} messages of {len(files)} catalogues, {empty} without a translation")
    for each in dict.fromkeys(all_failures):
        print(f"  {each.test}: {each.said}: {each.message!r}\n    -> {each.translation!r}: {each.reason or 'A FAULT'}")
    faults = {each for each in all_failures if each.reason is None}
    print(f"  {len({*all_failures})} failures in {len(TESTS)} tests and {len(STYLES)} styles, {len(faults)} faults")
    return empty + len(faults)


def main() -> int:
    """Filter what each bundle makes of the catalogues."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, action="append", required=True)
    parser.add_argument("--wheels", type=Path, required=True, help="a folder with the wheels of the catalogues")
    parser.add_argument("--pofilter", type=Path, required=True, help="the program")
    parser.add_argument("--all", action="store_true", help="all wheels that are there")
    args = parser.parse_args()
    wheels = [each for each in sorted(args.wheels.glob("*.whl")) if args.all or each.name.startswith(CHOSEN)]
    if not wheels:
        parser.error(f"no wheel of Django and of django-allauth is in {args.wheels}")
    return int(sum(report(bundle, wheels, args.pofilter) for bundle in args.bundle) > 0)


if __name__ == "__main__":
    sys.exit(main())
