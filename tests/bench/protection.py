"""What protection is worth on strings of interfaces with references: BLEU and chrF without it and with it, decodes.

The strings are those of pt_BR catalogues that have something to protect, as plain text, of up to 400 characters, each
once. One set is Django's and django-allauth's, on which the forms were chosen; beside it stand a larger
set and the sentences of dev.en, which protection must leave alone. No time is measured.
"""

import argparse
import re
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polib
import sacrebleu
from measure import progress, verdict

from dragoman.bundle.reader import open_bundle
from dragoman.server.app.translator import LocalTranslator
from dragoman.server.core.ports import LaneObserver
from dragoman.server.core.protection import DEFAULT_PROTECTION, NO_PROTECTION, Protection
from dragoman.server.core.requests import Request, Splitting
from dragoman.server.core.translations import Translation
from dragoman.server.lanes.opening import open_lanes
from dragoman.server.pipeline.workers import finished
from dragoman.server.text.preparing import PreparedText, prepare
from dragoman.server.text.recognition.readable import Readable
from dragoman.server.text.recognition.recogniser import Recogniser
from dragoman.server.text.tokenizer import Tokenizer

DATA = Path(__file__).parents[3] / "shared" / "data" / "en-pt"
SETS = {
    "Django, allauth": ("django-", "django_allauth-"),
    "Wagtail, Oscar, Sphinx": ("wagtail-", "django_oscar-", "sphinx-"),
}
"""Beginnings of the names of wheels."""
CHOSEN_ON = "Django, allauth"
LONGEST = 400
AT_ONCE = 200
LEAST_BLEU, LEAST_CHRF = 11.0, 5.0
MOST_CHANGE = 0.05
"""Of the BLEU and the chrF of dev.en."""
MOST_FURTHER = 1.0
_TAG = re.compile(r"</?[A-Za-z]|&\w+;")


@dataclass(frozen=True)
class Pair:
    """A string, and its reference."""

    source: str
    reference: str


@dataclass
class Encoded(LaneObserver):
    """Counts segments that are decoded."""

    sources: int = 0

    def on_encode(self, sources: int, tokens: int, padded_tokens: int, seconds: float) -> None:
        self.sources += sources


@dataclass
class Measured:
    """A set of strings, translated in both ways."""

    name: str
    pairs: Sequence[Pair]
    off: Sequence[str]
    on: Sequence[str]
    further: Counter[int] = field(default_factory=Counter)
    """Texts by the number of decodes that were no first one of a piece."""
    pieces: int = 0
    """With protected spans, all together."""
    spans: int = 0
    keeping: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    """Spans that are not in the translation as often as in the source."""

    def scores(self, said: Sequence[str]) -> tuple[float, float]:
        """BLEU and chrF."""
        references = [[pair.reference for pair in self.pairs]]
        return sacrebleu.corpus_bleu(said, references).score, sacrebleu.corpus_chrf(said, references).score

    def part(self, chosen: Sequence[int]) -> "Measured":
        """Some of the strings."""
        pairs, off, on = ([each[n] for n in chosen] for each in (self.pairs, self.off, self.on))
        return Measured(self.name, pairs, off, on)

    def row(self, kind: str, chosen: Sequence[int]) -> str:
        """A row of the table, of some of the strings."""
        part = self.part(chosen)
        (bleu, chrf), (with_bleu, with_chrf) = part.scores(part.off), part.scores(part.on)
        columns = (bleu, with_bleu, with_bleu - bleu, chrf, with_chrf, with_chrf - chrf)
        scores = "{:5.1f} {:5.1f}  {:+5.1f}   {:5.1f} {:5.1f}  {:+5.1f}".format(*columns)
        return f"  {self.name:24} {kind:14} {len(chosen):5}   {scores}"


def pairs_of(wheels: Sequence[Path]) -> list[Pair]:
    """The strings of all pt_BR catalogues in there that are translated for certain; of plurals, one and many."""
    pairs: list[tuple[str, str]] = []
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            for name in sorted(archive.namelist()):
                if "/pt_BR/" in name and name.endswith(".po"):
                    for entry in polib.pofile(archive.read(name).decode("utf-8")):
                        if not entry.obsolete and not entry.fuzzy:
                            plurals = entry.msgstr_plural
                            pairs.append((entry.msgid_plural, plurals.get(1, "")))
                            pairs.append((entry.msgid, plurals.get(0, "") if plurals else entry.msgstr))
    return [Pair(*pair) for pair in dict.fromkeys(pairs) if all(pair) and len(pair[0]) < LONGEST]


class Bench:
    """One bundle, with all that is measured."""

    def __init__(self, bundle: Path) -> None:
        self.encoded = Encoded()
        opened = open_bundle(bundle)
        lanes = open_lanes(opened, num_lanes=2, threads_per_lane=1, max_batch=0, observer=self.encoded)
        self.translator, self.tokenizer = LocalTranslator(bundle, lanes=lanes), Tokenizer(opened)
        self.find = Recogniser(DEFAULT_PROTECTION, Readable(self.tokenizer)).find
        self.pair, self.limits = opened.manifest.pairs[0], opened.manifest.limits

    def translated(self, texts: Sequence[str], protection: Protection) -> list[str]:
        """All of them, some at once."""
        said: list[str] = []
        for start in range(0, len(texts), AT_ONCE):
            progress(f"{start} of {len(texts)}")
            said += (each.text for each in self._outcomes(texts[start : start + AT_ONCE], protection))
        return said

    def measured(self, name: str, pairs: Sequence[Pair]) -> Measured:
        """Those of the strings that have something to protect; with it one by one, so that decodes are counted."""
        pairs = [pair for pair in pairs if self.find(pair.source)]
        measured = Measured(name, pairs, self.translated([pair.source for pair in pairs], NO_PROTECTION), [])
        said: list[str] = []
        for number, pair in enumerate(pairs):
            progress(f"{name}: {number} of {len(pairs)}")
            before = self.encoded.sources
            [outcome] = self._outcomes([pair.source], DEFAULT_PROTECTION)
            said.append(outcome.text)
            prepared = self._prepared(pair.source)
            pieces = sum(bool(prepared.ids[index]) for index in prepared.shown)
            if pieces:
                measured.further[self.encoded.sources - before - len(prepared.decoded_ids)] += 1
                measured.pieces += pieces
            spans = Counter(pair.source[slice(*each.span)] for each in self.find(pair.source))
            measured.spans += spans.total()
            measured.lost += sum(max(0, times - outcome.text.count(span)) for span, times in spans.items())
            if outcome.keeping is not None:
                measured.keeping.update({way: times for way, times in vars(outcome.keeping).items() if times})
        measured.on = said
        return measured

    def _outcomes(self, texts: Sequence[str], protection: Protection) -> list[Translation]:
        outcomes = self.translator.outcomes(Request(tuple(texts), protection=protection))
        translations = [each for each in outcomes if isinstance(each, Translation)]
        assert len(translations) == len(texts), "every string can be translated"
        return translations

    def _prepared(self, text: str) -> PreparedText:
        prepared = finished(
            prepare(
                text,
                field="text",
                tokenizer=self.tokenizer,
                splitting=Splitting.SENTENCES,
                pair=self.pair,
                max_tokens=self.limits.max_source_tokens,
                split_long=True,
                find=self.find,
            )
        )
        assert isinstance(prepared, PreparedText), "every string can be translated"
        return prepared


def report(bundle: Path, sets: dict[str, list[Pair]], dev: Sequence[Pair]) -> None:
    """Measure and print."""
    bench = Bench(bundle)
    with bench.translator:
        everything = [bench.measured(name, pairs) for name, pairs in sets.items()]
        sources = [pair.source for pair in dev]
        said = [bench.translated(sources, each) for each in (NO_PROTECTION, DEFAULT_PROTECTION)]
    forms = ", ".join(f"{each.form.format(n=1)} {each.share:.1%}" for each in bench.translator.bundle.manifest.forms)
    progress("")
    print(f"{bundle}, forms {forms or 'not probed'}")
    print(f"  {'strings':24} {'':14} {'n':>5}   BLEU off, on, gain    chrF off, on, gain")
    for each in everything:
        everyone = range(len(each.pairs))
        plain = [n for n in everyone if not _TAG.search(each.pairs[n].source)]
        print(each.row("all", everyone))
        print(each.row("without tags", plain))
        print(each.row("with tags", sorted({*everyone} - {*plain})))
    for each in everything:
        further = sum(number * times for number, times in each.further.items()) / max(1, each.pieces)
        shown = ", ".join(f"{number}: {times}" for number, times in sorted(each.further.items()))
        print(f"  {each.name}: {each.spans} spans, {each.lost} lost; {dict(each.keeping)}")
        bar = verdict(further, MOST_FURTHER, most=True)
        print(f"    further decodes a piece with spans {further:.3f} ({bar}); texts by their number: {shown}")
    [chosen] = (each for each in everything if each.name == CHOSEN_ON)
    chosen = chosen.part([n for n in range(len(chosen.pairs)) if not _TAG.search(chosen.pairs[n].source)])
    gains = [on - off for off, on in zip(chosen.scores(chosen.off), chosen.scores(chosen.on), strict=True)]
    bars = f"BLEU {verdict(gains[0], LEAST_BLEU)}, chrF {verdict(gains[1], LEAST_CHRF)}"
    print(f"  {chosen.name}, {len(chosen.pairs)} strings without tags: {bars}")
    if dev:
        alone = Measured("dev.en", dev, *said)
        changes = [on - off for off, on in zip(alone.scores(alone.off), alone.scores(alone.on), strict=True)]
        other = sum(map(str.__ne__, *said))
        bar = verdict(max(map(abs, changes)), MOST_CHANGE, most=True)
        print(f"  dev.en: {changes[0]:+.3f} BLEU, {changes[1]:+.3f} chrF ({bar}); {other} of {len(dev)} lines differ")


def main() -> None:
    """Measure each bundle."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, action="append", required=True)
    parser.add_argument("--wheels", type=Path, required=True, help="a folder with the wheels of the catalogues")
    parser.add_argument("--data", type=Path, default=DATA, help="a folder with dev.en and dev.pt")
    args = parser.parse_args()
    wheels = sorted(args.wheels.glob("*.whl"))
    sets = {name: pairs_of([each for each in wheels if each.name.startswith(begin)]) for name, begin in SETS.items()}
    if not sets[CHOSEN_ON]:
        parser.error(f"no wheel of Django and of django-allauth is in {args.wheels}")
    dev: list[Pair] = []
    if (args.data / "dev.en").exists():
        lines = [(args.data / f"dev.{side}").read_text("utf-8").splitlines() for side in ("en", "pt")]
        dev = [Pair(*pair) for pair in zip(*lines, strict=True)]
    for bundle in args.bundle:
        report(bundle, {name: pairs for name, pairs in sets.items() if pairs}, dev)


if __name__ == "__main__":
    main()
