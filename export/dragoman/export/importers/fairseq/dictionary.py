"""`dict.xx.txt`: fairseq's vocabulary. Four words of its own come first, then one word a line with its count.

A line is `word count`, or `word count #fairseq:overwrite` where a word may come twice and the later line holds. Words
that only fill the vocabulary up (`madeupword0000`) are in the file.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dragoman.export.core.reasons import Reasons, short
from dragoman.export.importers.files.texts import read_text

BEGIN, PAD, END, UNKNOWN = "<s>", "<pad>", "</s>", "<unk>"
OWN = (BEGIN, PAD, END, UNKNOWN)
BEGIN_ID, PAD_ID, END_ID, UNKNOWN_ID = range(4)
OVERWRITE = "#fairseq:overwrite"


@dataclass(frozen=True)
class Dictionary:
    """A side's words by their ids."""

    path: Path
    language: str
    """What the file is called after; empty for `dict.txt`."""
    words: tuple[str, ...]

    @property
    def ids(self) -> dict[str, int]:
        """The id of every word; the later one where a word comes twice."""
        return {word: index for index, word in enumerate(self.words)}

    def __len__(self) -> int:
        return len(self.words)

    def __repr__(self) -> str:
        return f"<Dictionary {self.path.name}, {len(self)} words>"


def read_dictionary(path: Path, reasons: Reasons, also: Sequence[str] = ()) -> Dictionary | None:
    """Read a dictionary, with `also`, the words that a task adds, behind it; None when there is a reason against it."""
    text = read_text(path, reasons)
    if text is None:
        return None
    known, listed = set(OWN), list(OWN)
    for number, line in enumerate(text.rstrip("\n").split("\n") if text.strip() else (), 1):
        stripped = line.rstrip()
        may_repeat = stripped.endswith(f" {OVERWRITE}")
        word, space, count = stripped.removesuffix(f" {OVERWRITE}").rpartition(" ")
        if not space or not count.removeprefix("-").isdecimal():
            reasons.add(f"{path.name}, line {number}: expected a word and its count, found {short(line)}")
            return None
        if word in known and not may_repeat:
            reasons.add(f"{path.name}, line {number}: {short(word)} comes twice, and without {OVERWRITE}")
            return None
        known.add(word)
        listed.append(word)
    for word in also:
        if word not in known:
            known.add(word)
            listed.append(word)
    return Dictionary(path, language_of(path), tuple(listed))


def dictionaries(folder: Path) -> dict[str, Path]:
    """The dictionaries of a folder, by language."""
    files = sorted(folder.glob("dict*.txt"))
    return {language_of(file): file for file in files}


def language_of(path: Path) -> str:
    """The language in a dictionary's name: `de` in `dict.de.txt`, empty in `dict.txt`."""
    return path.name.removeprefix("dict.").removesuffix("txt").removesuffix(".")
