"""What a model cannot say."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from properties import examples

from dragoman.server.core.protection import SpanKind
from dragoman.server.core.spans import Span
from dragoman.server.text.recognition import readable
from dragoman.server.text.recognition.readable import Readable


class _Vocabulary:
    """Reads and writes the letters of English and some signs; an accent on e only."""

    def __init__(self) -> None:
        self.asked = 0

    def reads(self, text: str) -> bool:
        """Whether all of it is known."""
        self.asked += 1
        return text in ("e\u0301", "½") or all(char.isascii() and char not in "{}#<@\x00" for char in text)

    def writes(self, text: str) -> bool:
        """Whether it is written as it was; a half becomes three characters."""
        return self.reads(text) and text not in "½~"


def found(text: str, vocabulary: _Vocabulary | None = None) -> list[str]:
    """What is in the spans."""
    return [text[span.start : span.end] for span, _ in Readable(vocabulary or _Vocabulary()).spans(text)]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("plain words, 12%", []),
        ("Send it to 田中 today", ["田中"]),
        ("Hi Erdoğan, l'Île Jean-François!", ["Erdoğan", "l'Île", "Jean-François"]),
        ("€18.50, 18,10 €, 5\u00d73 and 2½ hours", ["€18.50", "€", "5\u00d73", "2½"]),
        ("25 °C or 25°C", ["°C", "25°C"]),
        ("{see below} C# #1 a@b @ x<y < z ~5 ~", ["{", "}", "C#", "#1", "a@b", "@", "x<y", "<", "~5", "~"]),
        ("m³ 日本語の本a", ["m³", "日本語の本"]),
        ("cafe\u0301 a\u0301b", ["a\u0301b"]),
        ("x\u200dy \u200dz", ["\u200d"]),
        ("\x00a\ue000", ["\x00", "\ue000"]),
        ("a\u00a0b\u2003c\n\td", []),
    ],
)
def test_whole_words_and_numbers_with_their_signs(text: str, parts: list[str]) -> None:
    """A sign before prose is alone, and scripts without spaces give up no neighbours."""
    assert found(text) == parts


def test_what_is_known_takes_no_neighbours_with_it() -> None:
    """Spans in no order, one within another; what reaches beyond them all is found."""
    text = "a{b c{d {e#f 5{"
    known = [Span(8, 10), Span(1, 4), Span(1, 2)]

    assert [text[slice(*span)] for span, _ in Readable(_Vocabulary()).spans(text, known)] == ["c{d", "e#f", "{"]


def test_folders_of_a_path_stay_together() -> None:
    """A sign takes the word behind it, also where that before it is another one's: they touch."""
    assert found("see a@b@c@d now") == ["a@b", "@c", "@d"]


def test_kinds() -> None:
    """What is only symbols is one, all else is unreadable."""
    kinds = [kind for _, kind in Readable(_Vocabulary()).spans("→ € 田 { €5")]

    assert kinds == [SpanKind.SYMBOL, SpanKind.SYMBOL, *[SpanKind.UNREADABLE] * 3]


def test_a_character_is_asked_for_once() -> None:
    """What is known of it is kept, up to a limit."""
    vocabulary = _Vocabulary()
    model = Readable(vocabulary)
    [*model.spans("aab田田")]
    asked = vocabulary.asked
    [*model.spans("ba田")]

    assert asked == vocabulary.asked <= 5


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A text with every character of Unicode fills no memory, and is still answered."""
    monkeypatch.setattr(readable, "MOST_REMEMBERED", 100)
    model = Readable(_Vocabulary())
    for first in range(0x4E00, 0x5000, 50):
        text = "a" + "".join(map(chr, range(first, first + 50)))
        assert [span for span, _ in model.spans(text)] == [(1, 51)]

    assert len(model._fine) + len(model._strange) <= 100


@settings(max_examples=examples(100), deadline=None)
@given(st.text(max_size=60))
def test_spans_are_in_order_and_apart_and_hold_all_that_cannot_be_said(text: str) -> None:
    """But marks and joiners within words."""
    spans = [span for span, _ in Readable(_Vocabulary()).spans(text)]
    covered = {position for start, end in spans for position in range(start, end)}

    assert all(a.end <= b.start for a, b in itertools.pairwise(spans))
    for position, char in enumerate(text):
        if char in "{}#<@\U0001f600" or "\u4e00" <= char <= "\u9fff":
            assert position in covered
