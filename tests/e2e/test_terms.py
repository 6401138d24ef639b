"""Terms with the model that comes with the project: in its translations, reported truthfully, and nothing else harmed.

`make test-terms` prints what the sentences beside the checkout give, with its teacher as well.
"""

import gzip
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sacrebleu

from dragoman.glossary.terms import Term, TermForm
from dragoman.server.app.translator import LocalTranslator
from dragoman.server.core.requests import Output, Request
from dragoman.server.core.spans import Span
from dragoman.server.core.terms import TermUse
from dragoman.server.core.translations import Alignment, Translation

ROOT = Path(__file__).parents[2]
DEFAULT = ROOT / "models" / "en-pt"
IS_FAST = "TERMS_BUNDLES" not in os.environ
"""A quarter of the sentences is enough for `make test`, but not for a mean of what they are worth."""
BUNDLES = [DEFAULT, *map(Path, filter(None, os.environ.get("TERMS_BUNDLES", "").split(os.pathsep)))]
SHOWN = (TermUse.ALREADY_THERE, TermUse.APPLIED, TermUse.APPENDED)
WITH_PLACES = Output(term_spans=True)


@pytest.fixture(scope="module")
def translator() -> Iterator[LocalTranslator]:
    with LocalTranslator(DEFAULT, threads=1) as found:
        yield found


def translations(translator: LocalTranslator, request: Request) -> list[Translation]:
    found = translator.outcomes(request)
    assert all(isinstance(one, Translation) for one in found), found
    return found  # type: ignore[return-value]


def translated(translator: LocalTranslator, text: str, *terms: Term) -> tuple[str, list[tuple[str, str, str]]]:
    """A translation, and of each occurrence of a term the source, what became of it, and where it went."""
    [done] = translations(translator, Request((text,), terms=terms, output=WITH_PLACES))
    places = [
        (text[slice(*each.source)], each.use.value, done.text[slice(*each.target)] if each.target else "")
        for outcome in done.terms
        for each in outcome.found
    ]
    return done.text, places


def test_a_term_that_the_model_translates_so_is_left_to_it(translator: LocalTranslator) -> None:
    """The translation is the same to the letter as without the term."""
    text = "This package contains the documentation."
    [plain] = translations(translator, Request((text,)))

    with_term, places = translated(translator, text, Term("package", "pacote"))

    assert (with_term, places) == (plain.text, [("package", "already_there", "pacote")])


def test_a_term_that_the_model_leaves_as_it_is_is_replaced_there(translator: LocalTranslator) -> None:
    """The rest is the same to the letter."""
    text = "GParted uses libparted to detect devices."
    [plain] = translations(translator, Request((text,)))

    with_term, places = translated(translator, text, Term("GParted", "Partidor"))

    assert with_term == plain.text.replace("GParted", "Partidor")
    assert places == [("GParted", "applied", "Partidor")]


def test_terms_are_applied_whatever_the_model_would_say(translator: LocalTranslator) -> None:
    """Phrases that are kept, translations that it would not choose, several in a sentence, with a capital."""
    plugin = Term("plugin", "extensão", forms=(TermForm("plugins", "extensões"),))
    kept, made_up = Term("web browser", do_not_translate=True), Term("desktop environment", "cenário Zelmar")

    text, places = translated(
        translator, "Plugins of the web browser and of the desktop environment.", plugin, kept, made_up
    )

    assert [place[1] for place in places] == ["applied"] * 3
    assert [(source, target) for source, _, target in places] == [
        ("Plugins", "Extensões"),
        ("web browser", "web browser"),
        ("desktop environment", "cenário Zelmar"),
    ] or text.count("extensões") == 1


def test_another_word_with_the_same_translation_is_not_taken_for_the_terms(translator: LocalTranslator) -> None:
    """The model says `extensão` of `extension`, and that is no reason to leave `plugin` as it is."""
    text, places = translated(translator, "This extension loads a plugin.", Term("plugin", "extensão"))

    assert text.count("extensão") == 2
    assert [place[:2] for place in places] == [("plugin", "applied")]


def test_texts_without_terms_are_unchanged(translator: LocalTranslator) -> None:
    """To the letter and to the last bit of their scores, whatever terms there are for other texts of the request."""
    texts = (
        "Yes.",
        "The committee has decided that the new rules will apply.",
        "A plugin.",
        "Open the file. Close it.",
    )
    plain = translations(translator, Request(texts))

    with_terms = translations(translator, Request(texts, terms=(Term("plugin", "extensão"), Term("xyzzy", "plugh"))))

    for number in (0, 1, 3):
        assert with_terms[number].hypotheses == plain[number].hypotheses
        assert with_terms[number].terms == ()
        assert with_terms[number].decode_steps == plain[number].decode_steps


@dataclass(frozen=True)
class Sentence:
    """A sentence with its terms."""

    source: str
    reference: str | None
    terms: tuple[tuple[str, str], ...]
    """Each with its translation; empty for what is kept."""
    kind: str

    @property
    def places(self) -> list[tuple[Span, str]]:
        """Where terms are, and what belongs there: by an alternation of all of them, the longest first."""
        targets = {self._key(source): target for source, target in self.terms}
        pattern = "|".join(re.escape(source) for source in sorted(targets, key=len, reverse=True))
        found = re.finditer(rf"(?<!\w)(?:{pattern})(?!\w)", self.source, 0 if self.is_name else re.IGNORECASE)
        return [(Span(*match.span()), targets[self._key(match[0])] or match[0]) for match in found]

    @property
    def is_name(self) -> bool:
        """Whether its terms are names, which are told from words by their capitals: Bandwidth Monitor is none of the
        bandwidth monitors.
        """
        return self.kind == "name"

    @property
    def wanted(self) -> tuple[Term, ...]:
        """The terms as they are sent."""
        return tuple(
            Term(source, target, do_not_translate=not target, case_sensitive=self.is_name)
            for source, target in self.terms
        )

    def _key(self, written: str) -> str:
        return written if self.is_name else written.lower()


@dataclass
class Figures:
    """What came of sentences of a kind."""

    sentences: int = 0
    uses: Counter[TermUse] = field(default_factory=Counter)
    segments: int = 0
    decoded: int = 0
    rests: list[tuple[str, str]] = field(default_factory=list)
    """What is left of translations and references without terms."""
    plain_rests: list[tuple[str, str]] = field(default_factory=list)
    wholes: list[tuple[str, str]] = field(default_factory=list)
    plain_wholes: list[tuple[str, str]] = field(default_factory=list)


class CountedLanes:
    """Lanes, and how many segments they were given."""

    def __init__(self, lanes: Any) -> None:
        self._lanes = lanes
        self.submitted = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lanes, name)

    def submit(self, *args: Any, **kwargs: Any) -> Any:
        self.submitted += 1
        return self._lanes.submit(*args, **kwargs)


def read_sentences(data: Path) -> list[Sentence]:
    lines = {
        "dev.en": (data / "dev.en").read_text("utf-8").splitlines(),
        "mono.en.gz": gzip.decompress((data / "mono.en.gz").read_bytes()).decode().splitlines(),
    }
    references = (data / "dev.pt").read_text("utf-8").splitlines()
    rows: dict[tuple[str, int], list[list[str]]] = {}
    for row in (Path(__file__).parent / "terms.tsv").read_text("utf-8").splitlines():
        if not row.startswith("#"):
            name, number, *term = row.split("\t")
            rows.setdefault((name, int(number) - 1), []).append(term)
    sentences = []
    for (name, number), terms in rows.items():
        reference = references[number] if name == "dev.en" else None
        for source, target, kind in terms:
            if kind == "name" and reference is not None:
                reference = occurrences(source).sub(target, reference)
        pairs = tuple((source, target) for source, target, _ in terms)
        sentences.append(Sentence(lines[name][number], reference, pairs, terms[0][2]))
    return sentences


def occurrences(term: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(term)}(?!\w)", re.IGNORECASE)


def rest(text: str, terms: Sequence[str]) -> str:
    """A text without the terms."""
    for term in sorted(terms, key=len, reverse=True):
        text = occurrences(term).sub("", text)
    return " ".join(text.split())


def without_aligned(text: str, alignments: Sequence[Alignment], places: Sequence[Span]) -> str:
    """A text without the words that come from these places of its source."""
    strongest: dict[Span, Alignment] = {}
    for link in alignments:
        if link.target not in strongest or strongest[link.target].weight < link.weight:
            strongest[link.target] = link
    kept, reached = "", 0
    for target, link in sorted(strongest.items()):
        if any(link.source.start < place.end and place.start < link.source.end for place in places):
            kept += text[reached : target.start]
            reached = target.end
    return " ".join((kept + text[reached:]).split())


def chrf(pairs: Sequence[tuple[str, str]]) -> float:
    said, references = zip(*pairs, strict=True)
    return float(sacrebleu.corpus_chrf(list(said), [list(references)]).score)


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.parent.name + "/" + bundle.name)
def test_real_sentences_have_their_terms(data: Path, bundle: Path) -> None:
    """Of 250 sentences: 97 in 100 terms are applied, every report is true by a count of its own, and the rest of the
    sentences is as good as without terms.
    """
    sentences, figures = read_sentences(data), {kind: Figures() for kind in ("reference", "name", "kept")}
    assert len(sentences) >= 200
    sentences = sentences[:: 4 if IS_FAST else 1]
    with LocalTranslator(bundle, threads=1) as translator:
        translator.pipeline.lanes = lanes = CountedLanes(translator.pipeline.lanes)
        texts = tuple(sentence.source for sentence in sentences)
        plain = translations(translator, Request(texts, output=Output(alignments=True)))
        for sentence, before in zip(sentences, plain, strict=True):
            lanes.submitted = 0
            [after] = translations(translator, Request((sentence.source,), terms=sentence.wanted, output=WITH_PLACES))
            check_truth(sentence, before, after)
            figures[sentence.kind].segments += before.segments
            figures[sentence.kind].decoded += lanes.submitted
            count(figures[sentence.kind], sentence, before, after)
    show(bundle, figures)
    uses = sum((each.uses for each in figures.values()), Counter())
    held = uses[TermUse.ALREADY_THERE] + uses[TermUse.APPLIED]
    assert held / uses.total() >= 0.97
    if not IS_FAST:
        with_references = [figures["reference"], figures["name"]]
        after = [pair for each in with_references for pair in each.rests]
        assert chrf(after) >= chrf([pair for each in with_references for pair in each.plain_rests])


def check_truth(sentence: Sentence, before: Translation, after: Translation) -> None:
    """What is reported of the terms of a sentence is what is to be seen."""
    found = sorted((each for outcome in after.terms for each in outcome.found), key=lambda each: each.source)
    assert [each.source for each in found] == [span for span, _ in sentence.places]
    wanted = Counter(target.lower() for _, target in sentence.places)
    for each, (_, target) in zip(found, sentence.places, strict=True):
        assert each.target is not None
        assert after.text[slice(*each.target)].lower() == target.lower()
    assert len({each.target for each in found}) == len(found)
    for target, number in wanted.items():
        assert len(occurrences(target).findall(after.text)) >= number
    if all(each.use is TermUse.ALREADY_THERE for each in found):
        assert after.text == before.text
    else:
        assert after.text != before.text
    assert sum(outcome.occurrences for outcome in after.terms) == len(found)
    assert sum(outcome.applied for outcome in after.terms) == len(found)


def count(figures: Figures, sentence: Sentence, before: Translation, after: Translation) -> None:
    figures.sentences += 1
    figures.uses.update(each.use for outcome in after.terms for each in outcome.found)
    if sentence.reference is None:
        return
    targets = [target for _, target in sentence.places]
    reference = rest(sentence.reference, targets)
    figures.rests.append((rest(after.text, targets), reference))
    places = [span for span, _ in sentence.places]
    if sentence.is_name:  # which the model leaves as it is
        names = [source for source, _ in sentence.terms]
        figures.plain_rests.append((rest(before.text, names), reference))
    else:
        aligned = without_aligned(before.text, before.hypotheses[0].alignments, places)
        figures.plain_rests.append((aligned, reference))
    figures.wholes.append((after.text, sentence.reference))
    figures.plain_wholes.append((before.text, sentence.reference))


def show(bundle: Path, figures: dict[str, Figures]) -> None:
    print(f"\n{bundle}: terms of {sum(each.sentences for each in figures.values())} sentences")
    print(f"{'':10} sentences  already there  applied  at the end  segments  decoded  chrF (without)  rest (without)")
    for kind, each in figures.items():
        there, applied, appended = (each.uses[use] for use in SHOWN)
        row = (
            f"{kind:10} {each.sentences:9}  {there:13}  {applied:7}  {appended:10}  {each.segments:8}  {each.decoded:7}"
        )
        if each.rests:
            row += f"  {chrf(each.wholes):5.1f} ({chrf(each.plain_wholes):6.1f})"
            row += f"  {chrf(each.rests):5.2f} ({chrf(each.plain_rests):6.2f})"
        print(row)
