"""Cutting texts and putting them together again."""
# ruff: noqa: RUF001 - the scripts and quotation marks are the point.

import random
import re
from typing import Any

import pytest
import sentencex

from dragoman.server.core.protection import ProtectedSpan, SpanKind
from dragoman.server.core.requests import Splitting
from dragoman.server.core.spans import Span
from dragoman.server.text.splitting import TextLayout, fit, joined, split

NASTY = [
    "",
    " ",
    "\r\n",
    "\n\n\n",
    "One. Two! Three?",
    "One.  Two.\tThree.\u00a0Four.",
    "Para one.\r\n\r\n  Para two, indented.\rOld Mac.\n",
    "\tTabs\tinside\tand around\t",
    "Dr. Smith paid $3.50 at 5 p.m. He left.",
    "שלום עולם. מה שלומך?\u200f",
    "مرحبا بالعالم. كيف حالك؟",
    "👩\u200d👩\u200d👧\u200d👦 family. 🤷\u200d♀️ shrug!",
    "第一句。第二句！第三句？",
    "nospacesatallbutaverylongword" * 20,
    "...!!!???",
    "\ufeffWith a mark. And more.",
    "nul\x00inside. bell\x07. unit\x1fseparator.",
    "line\u2028separator\u2029paragraph\x85next\x0bvertical\x0cfeed",
    "Z\u0351\u036ba\u0300\u0301\u0302lgo. text.",
    "</s> <unk> <pad> ▁ ▁▁.",
    "(" * 300,
    "a. " * 300,
    "\u200b",
    "ends with space ",
    "“Quoted.” ‘So?’ he said. — Yes.",
]


@pytest.mark.parametrize("splitting", Splitting)
@pytest.mark.parametrize("text", NASTY)
def test_segments_and_gaps_give_the_text_back(text: str, splitting: Splitting) -> None:
    """Joining a text's own segments gives it back, character for character; none has white space at its ends."""
    layout = TextLayout.of(text, split(text, splitting, "en"))

    assert layout.join(layout.segments) == text
    assert all(segment and segment == segment.strip() for segment in layout.segments)
    assert all(gap == "" or gap.isspace() for gap in layout.gaps)


@pytest.mark.parametrize("seed", range(30))
def test_random_mixtures_give_the_text_back(seed: int) -> None:
    """The same for random mixtures of the nasty ones, in any language and cut to fit as well."""
    dice = random.Random(seed)
    text = "".join(dice.choice(NASTY)[: dice.randrange(1, 40)] for _ in range(dice.randrange(1, 12)))
    language = dice.choice(["en", "pt-BR", "zh", "ar", "", "xx-none"])
    limit = dice.randrange(1, 30)

    spans = list(split(text, Splitting.SENTENCES, language))
    fitted = [part for span in spans for part in fit(text, span, lambda segment: len(segment) <= limit)]
    layout = TextLayout.of(text, fitted)

    assert layout.join(layout.segments) == text
    assert all(len(segment) <= limit for segment in layout.segments)
    assert all(gap == "" or gap.isspace() for gap in layout.gaps)


def test_layout_survives_translation() -> None:
    """Blank lines, indentation, double spaces and the line end of the source are those of the translation."""
    text = "One.  Two.\r\n\r\n\t- three\n"

    layout = TextLayout.of(text, split(text, Splitting.SENTENCES, "en"))

    assert layout.segments == ("One.", "Two.", "- three")
    assert layout.join(["Um.", "Dois.", "- três"]) == "Um.  Dois.\r\n\r\n\t- três\n"


def test_an_empty_gap_stays_empty() -> None:
    """No space is invented between sentences that had none."""
    text = "第一句。第二句。"

    layout = TextLayout.of(text, split(text, Splitting.SENTENCES, "zh"))

    assert layout.join(["First.", "Second."]) == "First.Second."


def test_lines_are_not_cut_into_sentences() -> None:
    """Splitting at lines keeps sentences together; no splitting keeps everything together."""
    text = "One. Two.\nThree."

    lines = TextLayout.of(text, split(text, Splitting.LINES, "en")).segments
    whole = TextLayout.of(text, split(text, Splitting.NONE, "en")).segments

    assert (lines, whole) == (("One. Two.", "Three."), (text,))


@pytest.mark.parametrize(
    ("text", "limit", "segments"),
    [
        ("one two, three four five", 14, ["one two,", "three four", "five"]),
        ("one two three four", 9, ["one two", "three", "four"]),
        ("一二三，四五六七八", 6, ["一二三，", "四五六七八"]),
        ("abcdefghij", 4, ["abcd", "efgh", "ij"]),
        ("1,000,000,000 2", 13, ["1,000,000,000", "2"]),
        ("e\u0301e\u0301e\u0301", 3, ["e\u0301", "e\u0301", "e\u0301"]),
        ("👩\u200d👧👩\u200d👧", 4, ["👩\u200d👧", "👩\u200d👧"]),
    ],
)
def test_long_segments_are_cut_at_the_best_place(text: str, limit: int, segments: list[str]) -> None:
    """After clause punctuation, else at white space, else inside a word, but not inside a character with its marks."""
    spans = list(fit(text, Span(0, len(text)), lambda segment: len(segment) <= limit))

    assert [text[span.start : span.end] for span in spans] == segments


def test_a_character_that_does_not_fit_is_an_error() -> None:
    """Rather than dropped or sent on too long."""
    with pytest.raises(ValueError, match=r"U\+FDFA alone"):
        list(fit("ab\ufdfa", Span(0, 3), lambda segment: "\ufdfa" not in segment))


def test_cutting_a_million_characters_measures_each_a_few_times() -> None:
    """The cost of cutting grows with the text, not with its square."""
    measured = 0

    def fits(segment: str) -> bool:
        nonlocal measured
        measured += len(segment)
        return len(segment) <= 1000

    text = "x" * 1_000_000
    spans = list(fit(text, Span(0, len(text)), fits))

    assert len(spans) == 1000
    assert measured < 20 * len(text)


QUOTES = ("'", "`", "\u201c", "\u2018", "\u00ab", "\u00bb", "\u201e", '!"', "\u201c. ")


@pytest.mark.parametrize("unit", [*QUOTES, "a word ", "x"])
def test_the_splitter_is_never_shown_a_long_line(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What pairs quotation marks takes the square of its text's length: what it is shown, all together, is but a few
    times the text.
    """
    shown = list[int]()
    named = sentencex.get_sentence_boundaries

    def watched(language: str, text: str) -> list[dict[str, Any]]:
        shown.append(len(text))
        return named(language, text)

    monkeypatch.setattr(sentencex, "get_sentence_boundaries", watched)
    text = unit * (20_000 // len(unit))
    spans = list(split(text, Splitting.SENTENCES, "en"))

    assert max(shown) <= 4096
    assert sum(shown) <= 3 * len(text)
    assert TextLayout.of(text, spans).join([text[slice(*span)] for span in spans]) == text


def test_sentences_of_a_long_line_are_those_of_a_short_one() -> None:
    """Wherever the splitter's view of a line ends, within a sentence, an abbreviation or a quotation."""
    sentences = [
        "The dog sleeps.",
        "Mr. Smith saw it.",
        "It costs $1.50, e.g. there.",
        'He said "Go away. Now." twice.',
        "Is it?",
    ]
    text = " ".join(sentences * 400)

    assert [text[slice(*span)] for span in split(text, Splitting.SENTENCES, "en")] == sentences * 400


@pytest.mark.parametrize("space", ["\u00a0", "\u2003", "\u202f", "\u3000"])
def test_white_space_of_several_bytes_before_a_full_stop_is_no_end(space: str) -> None:
    """The splitter's library panics there, and a panic is no exception that anything catches."""
    text = f"He is Z{space}. She is well. Good."

    assert [text[slice(*span)] for span in split(text, Splitting.SENTENCES, "en")][-1] == "Good."


def placeholders(text: str) -> list[ProtectedSpan]:
    return [ProtectedSpan(Span(*match.span()), SpanKind.PLACEHOLDER) for match in re.finditer(r"\{[^}]*\}", text)]


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("One {a. B? C} two. Three.", ["One {a. B? C} two.", "Three."]),
        ("Line {a\nb} goes on.\nNext.", ["Line {a\nb} goes on.", "Next."]),
        ("One.{\n}Two. Three.", ["One.", "{\n}Two.", "Three."]),
        ("One. { a }", ["One.", "{ a }"]),
        ("{ } ", ["{ }"]),
        ("One.\t{a}\tTwo.", ["One.", "{a}", "Two."]),
    ],
)
def test_no_segment_ends_within_a_protected_span(text: str, segments: list[str]) -> None:
    """What lies across sentences, lines or tabs is one segment, and each segment knows what is protected in it."""
    protected = placeholders(text)

    found = list(joined(split(text, Splitting.SENTENCES, "en"), protected))

    assert [text[slice(*span)] for span, _ in found] == segments
    assert [each for _, inner in found for each in inner] == protected
    assert all(span.start <= each.span.start and each.span.end <= span.end for span, inner in found for each in inner)


def test_white_space_that_is_protected_between_two_segments_is_in_neither() -> None:
    """It is kept with the layout."""
    text = "One. \t Two."
    gap = ProtectedSpan(Span(5, 6), SpanKind.PATTERN)

    found = list(joined(split(text, Splitting.SENTENCES, "en"), [gap]))

    assert [(text[slice(*span)], inner) for span, inner in found] == [("One.", []), ("Two.", [])]


@pytest.mark.parametrize("most", [4, 7, 12])
def test_a_long_segment_is_not_cut_within_what_is_to_stay_whole(most: int) -> None:
    """The cut moves to its beginning, or behind it where nothing else stands before."""
    text = "ab, X123 cdX45, efghijklm X6 n"
    whole = [Span(*match.span()) for match in re.finditer(r"X\d+", text)]

    parts = list(fit(text, Span(0, len(text)), lambda part: len(part) <= most, whole))

    assert all(not part.start < cut < part.end for part in whole for span in parts for cut in span)
    assert "".join(text[slice(*span)] for span in parts).replace(" ", "") == text.replace(" ", "")


def test_what_is_to_stay_whole_and_does_not_fit_is_refused() -> None:
    """By a message that says what."""
    with pytest.raises(ValueError, match="'X12345' alone is more than the model can read"):
        list(fit("a X12345", Span(0, 8), lambda part: len(part) <= 4, [Span(2, 8)]))
