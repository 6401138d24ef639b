"""The last look: what is mended in a translation, and what is said of it."""

import re

import pytest

from dragoman.bundle.manifest import LanguagePair
from dragoman.server.core.protection import Keeping, ProtectedSpan, SpanKind
from dragoman.server.core.segments import FinishReason
from dragoman.server.core.spans import Span
from dragoman.server.core.translations import Alignment
from dragoman.server.text.forms import show
from dragoman.server.text.restoring import Restored, restored, strict_edits
from dragoman.server.text.reviewing import Reviewed

EN_PT = LanguagePair("en", "pt")


def review(source: str, said: str, kind: SpanKind = SpanKind.PLACEHOLDER) -> Reviewed:
    """A segment whose placeholders, and what is between brackets, are protected; `said` has their forms."""
    found = re.finditer(r"\{\w*\}|\[.*?\]", source)
    spans = [ProtectedSpan(Span(*match.span()), kind) for match in found]
    if not spans:
        return Reviewed(source, None, Restored(said, [said]), EN_PT)
    shown = show(source, spans, "X{n}")
    edits = strict_edits(shown, said)
    assert edits is not None, "all forms are there"
    surfaces = re.findall(r"\s*\S+", said)
    return Reviewed(source, shown, restored(surfaces, edits), EN_PT)


def said_of(one: Reviewed, reason: FinishReason = FinishReason.STOP) -> list[str]:
    return [warning.kind.value for warning in one.warnings(reason)]


@pytest.mark.parametrize(
    ("source", "said", "text"),
    [
        ("It costs 5.75 in {n} days.", "Custa 5,55 em X1 dias.", "Custa 5,75 em {n} dias."),
        ("In {n} of 3,500 cases, {m}.", "Em X1 de 35 casos, X2.", "Em {n} de 3.500 casos, {m}."),
        ("Of {n1} and {n2}: 99.795", "De X2 e X1: 999.795", "De {n2} e {n1}: 99,795"),
        ("It costs 5.75.", "Custa 5,55.", "Custa 5,75."),
    ],
)
def test_a_number_that_slipped_is_mended_and_spans_keep_their_places(source, said, text):
    """Whatever stands before or behind them; tokens together are still the text."""
    mended = review(source, said).mended(lambda: ())

    assert mended.target.text == text == "".join(mended.target.surfaces)
    assert said_of(mended) == []
    for stand_in, place, keeping in mended.target.places:
        assert (text[place.start : place.end], keeping) == (stand_in.put, Keeping.FORM)


def test_alignment_is_asked_for_where_a_number_changed_alone():
    """And decides."""

    def unasked() -> list[Alignment]:
        raise AssertionError("nothing has changed")

    same = review("16 or 24 bits", "16 ou 24 bits")
    other = review("16 or 24 bits", "16 ou 16 bits")
    link = Alignment(Span(6, 8), Span(6, 8), 0.6)

    assert same.mended(unasked) is same
    assert other.mended(lambda: ()) is other
    assert other.mended(lambda: [link]).target.text == "16 ou 24 bits"
    assert said_of(other) == ["number_changed"]


def test_protected_spans_are_neither_numbers_nor_language():
    """Digits in them do not count, nor do their words."""
    code = review("Call [the_house(1, is=2, small)]", "Chame X1")
    wrong = review("Call [the_house(1, is=2, small)] 3 times", "Chame X1 4 vezes")

    assert said_of(code) == []
    assert [(w.kind.value, w.source, w.target) for w in wrong.warnings(FinishReason.STOP)] == [
        ("number_changed", Span(33, 34), Span(34, 35))
    ]


def test_what_is_mostly_unread_is_not_translated():
    """A name in another script is no matter, a sentence is."""
    name = review("Send it to [田中] today.", "Envie para X1 hoje.", SpanKind.UNREADABLE)
    sentence = review("Say [こんにちは、お元気ですか] to him", "Diga X1 a ele", SpanKind.UNREADABLE)
    emoji = review("[🎉🎉🎉🎉🎉🎉]!", "X1!", SpanKind.SYMBOL)

    assert said_of(name) == said_of(emoji) == []
    assert said_of(sentence) == ["untranslated"]


def test_a_loop_is_said_of_the_search():
    """By its reason to end."""
    assert said_of(review("a house", "uma casa"), FinishReason.REPETITION) == ["repetition"]
