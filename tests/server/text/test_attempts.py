"""Whatever a model does with forms, the text that comes back holds its spans."""

import random
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from properties import examples

from dragoman.bundle.manifest import LanguagePair
from dragoman.glossary.terms import Term
from dragoman.server.core.protection import Keeping, ProtectedSpan, SpanKind
from dragoman.server.core.requests import Output, Splitting
from dragoman.server.core.segments import Decoded, FinishReason, Hypothesis
from dragoman.server.core.spans import Span
from dragoman.server.core.strategies import Engine
from dragoman.server.core.terms import TermUse
from dragoman.server.core.translations import Translation
from dragoman.server.text.assembling import Assembler
from dragoman.server.text.attempts import next_attempt
from dragoman.server.text.preparing import PreparedText, prepare
from dragoman.server.text.term_spans import term_spans
from dragoman.server.text.terms import Glossary, TermFinder
from dragoman.server.text.tokenizer import Tokenizer

PAIR = LanguagePair("en", "pt")
KEPT = Output(kept_spans=True)
SPANS = re.compile(r"\{[^{}]*\}|\[\[[^\[\]]*\]\]")
Model = Callable[[str], str]
"""What is said of what is read."""


def find(text: str) -> list[ProtectedSpan]:
    """Braces are placeholders, double brackets symbols."""
    kinds = {"{": SpanKind.PLACEHOLDER, "[": SpanKind.SYMBOL}
    return [ProtectedSpan(Span(*match.span()), kinds[match[0][0]]) for match in SPANS.finditer(text)]


def prepared(
    tokenizer: Tokenizer, text: str, splitting: Splitting = Splitting.SENTENCES, terms: Sequence[Term] = ()
) -> PreparedText:
    work = prepare(
        text,
        field="text",
        tokenizer=tokenizer,
        splitting=splitting,
        pair=PAIR,
        max_tokens=32,
        split_long=True,
        find=find,
        find_terms=lambda text: list(term_spans(text, [Glossary("", TermFinder(terms))])),
    )
    prepared = list(results(work))[-1]
    assert isinstance(prepared, PreparedText)
    return prepared


def results(work: Generator[None, None, object]) -> Iterator[object]:
    yield (yield from work)


def decoded(tokenizer: Tokenizer, ids: Sequence[int], models: Sequence[Model], *, attends: bool) -> Decoded:
    """A hypothesis of each model; each token attends to the source token in its place."""
    read = tokenizer.decode(ids[:-1])
    hypotheses = []
    for model in models:
        said = tokenizer.encode_target(model(read))
        attention = np.eye(len(said) + 1, len(ids), dtype=np.float32) if attends else None
        hypotheses.append(Hypothesis(said, -1.0, -1.0, FinishReason.STOP, (-1.0,) * (len(said) + 1), attention))
    return Decoded(tuple(hypotheses), Engine.GREEDY, 1)


def translate(
    tokenizer: Tokenizer,
    text: str,
    *models: Model,
    attends: bool = False,
    output: Output = KEPT,
    is_whole: bool = False,
    terms: Sequence[Term] = (),
) -> tuple[Translation, int]:
    """The translation, and how often it was decoded."""
    assembler = Assembler(tokenizer, output, copies_unknown=False)
    attempt, rounds = prepared(tokenizer, text, Splitting.NONE if is_whole else Splitting.SENTENCES, terms), 1
    answers = [decoded(tokenizer, ids, models, attends=attends) for ids in attempt.decoded_ids]
    while missing := assembler.missing(attempt, answers):
        attempt, befores = next_attempt(attempt, missing, tokenizer=tokenizer, max_tokens=32, is_whole=is_whole)
        pairs = list(zip(attempt.decoded_ids, befores, strict=True))
        answers = [
            answers[before.number] if before.is_same else decoded(tokenizer, ids, models, attends=attends)
            for ids, before in pairs
        ]
        rounds += not all(before.is_same for before in befores)
        assert rounds <= 3 + 2 * bool(terms), "the third attempt is the last, but for those that terms have before"
    return assembler.translation(attempt, answers, 0.0), rounds


def echo(read: str) -> str:
    return read


def loses(read: str) -> str:
    """All that has a digit."""
    return " ".join(word for word in read.split() if not re.search(r"\d", word))


def doubles(read: str) -> str:
    return f"{read} {read}"


def mangles(read: str) -> str:
    return re.sub(r"([A-Za-z]+)(\d+)", r"\2-\1", read)


def loses_the_first_kind(read: str) -> str:
    return re.sub(r"\bX\d+", "", read)


def spans_of(text: str) -> Counter[str]:
    return Counter(match[0] for match in SPANS.finditer(text))


@pytest.mark.parametrize(
    ("model", "translated", "keeping", "rounds"),
    [
        (echo, "The {a} box and {b}.", {Keeping.FORM}, 1),
        (loses_the_first_kind, "The {a} box and {b}.", {Keeping.FORM}, 2),
        (loses, "The {a} box and {b}.", {Keeping.CUT}, 3),
        (mangles, "The {a} box and {b}.", {Keeping.CUT}, 3),
    ],
)
def test_the_next_attempt_is_made_where_a_span_is_missing(
    tokenizer: Tokenizer, model: Model, translated: str, keeping: set[Keeping], rounds: int
) -> None:
    """Other forms, then a cut around the spans: what it took is told."""
    result, took = translate(tokenizer, "The {a} box and {b}.", model)

    assert (result.text, took) == (translated, rounds)
    assert {kept.keeping for kept in result.kept} == keeping


def test_a_form_that_attention_finds_is_not_cut(tokenizer: Tokenizer) -> None:
    """The second attempt asks for attention; what is mangled is replaced."""
    result, took = translate(tokenizer, "The {a} box", mangles, attends=True)

    assert took == 2
    assert [kept.keeping for kept in result.kept] == [Keeping.ALIGNMENT]
    assert spans_of(result.text) == Counter(["{a}"])


def test_a_text_that_must_stay_whole_is_not_cut(tokenizer: Tokenizer) -> None:
    """Its spans stand at the end."""
    result, took = translate(tokenizer, "The {a} box is {b} here.", loses, is_whole=True)

    assert (result.text, took) == ("The box is here {a} {b}.", 2)
    assert [kept.keeping for kept in result.kept] == [Keeping.APPENDED] * 2


def test_only_hypotheses_that_hold_the_spans_come_back(tokenizer: Tokenizer) -> None:
    """One that does and is not the best is better than another attempt."""
    result, took = translate(tokenizer, "The {a} box", loses, echo, doubles)

    assert took == 1
    assert [one.text for one in result.hypotheses] == ["The {a} box", "The {a} box The box"]


def test_only_segments_that_lack_a_span_are_tried_again(tokenizer: Tokenizer) -> None:
    """The others keep their answers."""
    text = prepared(tokenizer, "The dog. The {a} box. The {b} fox.")

    again, befores = next_attempt(text, {1}, tokenizer=tokenizer, max_tokens=32, is_whole=False)

    assert [tuple(before) for before in befores] == [(0, True), (1, False), (2, True)]
    assert again.ids[0] is text.ids[0]
    assert again.shown[1].text == "The Foo1 box."


def swaps(read: str) -> str:
    """The forms of a sentence the other way round."""
    forms = re.findall(r"\b(?:X|Foo)\d\b", read)
    return re.sub(r"\b(?:X|Foo)\d\b", lambda _: forms.pop(), read)


def test_values_are_never_exchanged(tokenizer: Tokenizer) -> None:
    """A model may put names in any order, but not what takes the next value of a program: that is cut around. Where the
    text must stay whole, they stand in each other's places.
    """
    named, took = translate(tokenizer, "The {a} box is {b} here.", swaps)
    assert (named.text, took) == ("The {b} box is {a} here.", 1)

    cut, _ = translate(tokenizer, "The {} box is {:2} here.", swaps)
    assert cut.text == "The {} box is {:2} here."
    assert {kept.keeping for kept in cut.kept} == {Keeping.CUT}

    whole, _ = translate(tokenizer, "The {} box is {:2} here.", swaps, is_whole=True)
    assert whole.text == "The {} box is {:2} here."


def is_apart(char: str) -> bool:
    """Whether a character does not look like a span's, before or after normalisation."""
    return not set(unicodedata.normalize("NFKC", char)) & set("{}[]")


PROSE = st.text(st.characters(exclude_categories=("Cs",)).filter(is_apart), max_size=12)
PIECES = st.one_of(
    PROSE,
    st.sampled_from(["The dog. ", "the box ", "X1", "Foo2", "5", "\n", "\r\n", "\t", "  ", "\u00a0", "!", "."]),
    st.sampled_from(["{}", "{:2}", "{a}", "{a b}", "{X1}", "{Foo1 X2}", "{\u00e9}", "[[*]]", "[[\U0001f389]]"]),
)
TAKING_NEXT = r"\{(?::2)?\}"
TEXTS = st.lists(PIECES, max_size=14).map("".join)


def hostile(seed: int) -> Model:
    """Loses, doubles, mangles, or swaps words, as it likes."""
    draws = random.Random(seed)

    def said(read: str) -> str:
        words = []
        for word in read.split(" "):
            words += draws.choice([[word], [word], [word], [], [word, word], [mangles(word)], [word.lower()]])
        if draws.random() < 0.2:
            draws.shuffle(words)
        return "" if draws.random() < 0.05 else " ".join(words)

    return said


def edges(text: str) -> list[tuple[str, str]]:
    """The white space at both ends of each line, and its end."""
    lines = text.splitlines(keepends=True)
    return [(line[: len(line) - len(line.lstrip())], line[len(line.rstrip()) :]) for line in lines]


def line_ends(text: str) -> list[str]:
    """All of them, and tabs."""
    return re.findall("[\t\n\r\v\f\x1c-\x1e\x85\u2028\u2029]", text)


@settings(max_examples=examples(200), deadline=None)
@given(text=TEXTS, seed=st.integers(0, 2**16), attends=st.booleans(), links=st.booleans(), is_whole=st.booleans())
def test_no_span_is_ever_lost(
    tokenizer: Tokenizer, text: str, seed: int, *, attends: bool, links: bool, is_whole: bool
) -> None:
    """Whatever the model does: the same spans, each where the result says, the layout, and never nothing. What takes
    the next value of a program has the order of the text.
    """
    output = Output(kept_spans=True, sentence_spans=True, alignments=links and attends)

    result, _ = translate(
        tokenizer, text, hostile(seed), hostile(seed + 1), attends=attends, output=output, is_whole=is_whole
    )

    for one in result.hypotheses:
        assert spans_of(one.text) == spans_of(text)
        assert re.findall(TAKING_NEXT, one.text) == re.findall(TAKING_NEXT, text)
        if not is_whole:
            assert edges(one.text) == edges(text)
        elif one.text.strip():
            assert line_ends(one.text) == line_ends(text)
    assert bool(result.text.strip()) == bool(text.strip())
    assert Counter(text[slice(*kept.source)] for kept in result.kept) == spans_of(text)
    assert all(kept.target and result.text[slice(*kept.target)] == text[slice(*kept.source)] for kept in result.kept)
    for link in result.hypotheses[0].alignments:
        assert 0 <= link.source.start < link.source.end <= len(text)
        assert 0 <= link.target.start < link.target.end <= len(result.text)


PLACES = Output(term_spans=True)
BOX, DOG = Term("box", "fox"), Term("lazy dog", "quick cat")


def translates(read: str) -> str:
    return re.sub(r"\bbox\b", "fox", read)


def says_another(read: str) -> str:
    """Of the words of terms, something else; their translations it leaves as they are."""
    return read.replace("box", "dog")


def forgets(read: str) -> str:
    """Terms, and their translations."""
    return re.sub(r"box|fox", "dog", read)


def forgets_all_forms(read: str) -> str:
    return loses(forgets(read))


def uses(result: Translation) -> list[tuple[TermUse, str]]:
    """What became of the only term, and what stands for it."""
    [outcome] = result.terms
    return [(each.use, result.text[slice(*each.target)] if each.target else "") for each in outcome.found]


@pytest.mark.parametrize(
    ("model", "translated", "use", "rounds"),
    [
        (translates, "The fox is true.", TermUse.ALREADY_THERE, 1),
        (echo, "The fox is true.", TermUse.APPLIED, 1),
        (says_another, "The fox is true.", TermUse.APPLIED, 2),
        (forgets, "The fox is true.", TermUse.APPLIED, 3),
    ],
)
@pytest.mark.parametrize("attends", [False, True])
def test_a_term_is_tried_as_it_is_then_in_place_then_by_form(
    tokenizer: Tokenizer, model: Model, translated: str, use: TermUse, rounds: int, attends: bool
) -> None:
    """The model's own translation is best; a term that it leaves as it is needs no further attempt."""
    result, took = translate(tokenizer, "The box is true.", model, terms=[BOX], output=PLACES, attends=attends)

    assert (result.text, uses(result)) == (translated, [(use, "fox")])
    assert took == rounds


def test_a_term_whose_forms_do_not_come_back_is_cut_out(tokenizer: Tokenizer) -> None:
    """As any other span, after its own attempts."""
    result, took = translate(tokenizer, "The box is true.", forgets_all_forms, terms=[BOX], output=PLACES)

    assert (result.text, uses(result), took) == ("The fox is true.", [(TermUse.APPLIED, "fox")], 5)


def test_a_translation_that_another_word_has_is_not_the_terms(tokenizer: Tokenizer) -> None:
    """Where the model attends; without it, nobody knows."""
    result, _ = translate(tokenizer, "The fox and the box.", says_another, terms=[BOX], output=PLACES, attends=True)

    assert result.text == "The fox and the fox."
    assert uses(result) == [(TermUse.APPLIED, "fox")]


def test_what_is_kept_as_it_is_stands_in_its_place_already(tokenizer: Tokenizer) -> None:
    """So the attempt after the first one has forms."""
    kept = Term("box", do_not_translate=True)
    result, took = translate(tokenizer, "The Box is true.", says_another, terms=[kept], output=PLACES)
    again, took_again = translate(
        tokenizer, "The box is true.", lambda read: read.replace("box", "dog"), terms=[kept], output=PLACES
    )

    assert (result.text, uses(result), took) == ("The Box is true.", [(TermUse.ALREADY_THERE, "Box")], 1)
    assert (again.text, uses(again), took_again) == ("The box is true.", [(TermUse.APPLIED, "box")], 2)


def test_a_term_in_what_is_kept_is_missed(tokenizer: Tokenizer) -> None:
    """Which is said, with its place in the source."""
    result, _ = translate(tokenizer, "The {box} and the box.", echo, terms=[BOX], output=PLACES)

    assert result.text == "The {box} and the fox."
    assert uses(result) == [(TermUse.PROTECTED, ""), (TermUse.APPLIED, "fox")]
    [outcome] = result.terms
    assert (outcome.occurrences, outcome.applied, outcome.found[0].source) == (2, 1, Span(5, 8))


def test_terms_are_no_spans_that_are_kept(tokenizer: Tokenizer) -> None:
    """They are counted for themselves, and what is protected beside them as before."""
    result, _ = translate(tokenizer, "The box has {a}.", echo, terms=[BOX])

    assert [(kept.kind, kept.keeping) for kept in result.kept] == [(SpanKind.PLACEHOLDER, Keeping.FORM)]
    assert [(outcome.occurrences, outcome.found) for outcome in result.terms] == [(1, ())]


TERM_WORDS = st.sampled_from(
    ["the", "Box", "box", "boxes", "lazy dog", "fox", "is", "true.", "{a}", "{box}", "dog", "[[x]]"]
)
TERM_MODELS = st.sampled_from([echo, translates, says_another, forgets, forgets_all_forms, loses, doubles, mangles])


@settings(max_examples=examples(200), deadline=None)
@given(st.lists(TERM_WORDS, max_size=10).map(" ".join), TERM_MODELS, st.booleans(), st.booleans())
def test_terms_are_applied_whatever_a_model_says(
    tokenizer: Tokenizer, text: str, model: Model, attends: bool, is_whole: bool
) -> None:
    """Each occurrence that lies in nothing that is kept has its translation where the outcome says, no two the same;
    what is protected is held as well.
    """
    terms = [BOX, Term("lazy dog", "quick cat")]
    result, _ = translate(tokenizer, text, model, terms=terms, output=PLACES, attends=attends, is_whole=is_whole)

    found = [(outcome.source, each) for outcome in result.terms for each in outcome.found]
    outside = SPANS.sub(lambda match: "." * len(match[0]), text)
    expected = {Span(*match.span()) for match in re.finditer(r"\b(?:box|lazy dog)\b", outside, re.IGNORECASE)}
    assert {each.source for _, each in found if each.target is not None} == expected
    for source, each in found:
        if each.target is not None:
            said = result.text[slice(*each.target)].lower()
            assert said == {"box": "fox", "lazy dog": "quick cat"}[source]
    targets = [each.target for _, each in found if each.target is not None]
    assert len(set(targets)) == len(targets)
    assert spans_of(result.text) >= spans_of(text)
