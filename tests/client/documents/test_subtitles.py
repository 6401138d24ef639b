"""Subtitles as documents."""

import pytest
from documents import translated
from hypothesis import given, settings
from hypothesis import strategies as st
from properties import examples

from dragoman.client.documents import DocumentError

SRT = """\
1
00:00:01,000 --> 00:00:03,500
Hello there.

2
00:00:04,000 --> 00:00:06,000 X1:40 X2:600 Y1:20 Y2:50
<i>I went home, because
it was late.</i>

3
00:00:07,000 --> 00:00:09,000
- Really?
- Yes, {\\an8}really.

4
00:00:10,000 --> 00:00:12,000
When we came to the river,

5
00:00:12,100 --> 00:00:14,000
the bridge was gone.

6
00:01:10,000 --> 00:01:12,000
00:15 is no time.
<i>one</i>
<i>two</i>


"""

VTT = """\
WEBVTT - a title
Kind: captions

NOTE
Do not translate --> this

STYLE
::cue { color: red }

intro
00:01.000 --> 00:02.000 align:start position:0%
<v Bob>Tom &amp; I are here

01:00:03.000 --> 01:00:04.000
Wait <b>here</b> now.
Not --> a time.

and no cue
"""


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_times_numbers_and_tags_stay(line_end: str, mark: str) -> None:
    """Lines of a cue are one text, those of a dialogue are two, a sentence goes on in the next cue."""
    data = (mark + SRT.replace("\n", line_end)).encode()

    same, sent, _ = translated(data, "srt", str)

    assert same == data
    assert sent == [
        "Hello there.",
        "I went home, because it was late.",
        "Really?",
        "Yes, {\\an8}really.",
        "When we came to the river, the bridge was gone.",
        "00:15 is no time. <i>one</i> <i>two</i>",
    ]
    written, _, _ = translated(data, "srt")
    assert written.decode().lower().split() == data.decode().lower().split()
    assert written.count(line_end.encode()) == written.count(b"\n") == data.count(b"\n")
    assert b"THE BRIDGE WAS GONE." in written


def test_webvtt_has_notes_styles_and_entities() -> None:
    """Which are no text, or read as what they stand for; a cue ends with a blank line."""
    same, sent, _ = translated(VTT, "vtt", str)
    written, _, _ = translated(VTT, "vtt", lambda text: text.replace("here", "< there"))

    assert same == VTT.encode()
    assert sent == ["Tom & I are here", "Wait <b>here</b> now. Not --> a time."]
    assert "<v Bob>Tom &amp; I are &lt; there\n" in written.decode()


def test_a_sentence_is_parted_among_its_cues() -> None:
    """By the share of each, rather behind a comma; lines stay as many as they were."""
    text = (
        "1\n00:00:01,000 --> 00:00:02,000\nWhen we came\nto the river,\n\n"
        "2\n00:00:02,000 --> 00:00:03,000\nthe bridge was gone.\n"
    )
    written, sent, report = translated(text, "srt", lambda _: "Quando chegamos ao rio, a ponte tinha desaparecido.")

    assert sent == ["When we came to the river, the bridge was gone."]
    assert written.decode() == (
        "1\n00:00:01,000 --> 00:00:02,000\nQuando\nchegamos ao rio,\n\n"
        "2\n00:00:02,000 --> 00:00:03,000\na ponte tinha desaparecido.\n"
    ).replace("Quando\nchegamos ao rio,", "Quando chegamos\nao rio,")
    assert report.units == 1


def cues(*texts: str, pause: float = 0.1) -> str:
    """Cues of a second each."""
    times = [(index * (1 + pause), index * (1 + pause) + 1) for index in range(len(texts))]
    heads = [f"00:00:{start:06.3f} --> 00:00:{end:06.3f}" for start, end in times]
    return "\n".join(f"{head}\n{text}\n" for head, text in zip(heads, texts, strict=True))


@pytest.mark.parametrize(
    ("text", "units"),
    [
        (cues("We came", "and saw."), 1),
        (cues("We came", "and saw", "and won."), 1),
        (cues("We came.", "and saw."), 2),
        (cues("We came", "We saw."), 2),
        (cues("He came,", "John and I."), 1),
        (cues("We came", "and saw.", pause=3.0), 2),
        (cues("- We came", "- and saw."), 2),
        (cues("- Who?\n- We came", "and saw."), 2),
        (cues("We <i>came</i>", "and saw."), 2),
        (cues("<i>We came</i>", "<i>and saw.</i>"), 1),
        (cues("A NAME:", "we came."), 2),
        (cues(*["and"] * 14), 3),
    ],
)
def test_sentences_go_on_where_they_do(text: str, units: int) -> None:
    """Not after an end, a pause, to another voice, or through tags within."""
    assert translated(text, "srt")[2].units == units


def test_a_translation_of_too_few_words_is_shown_for_all_of_its_time() -> None:
    """A cue without a text would be none."""
    assert translated(cues("I do", "not."), "srt", lambda _: "Não.")[0].decode() == cues("Não.", "Não.")


def test_scripts_without_spaces_are_parted_too() -> None:
    """Between characters."""
    assert translated(cues("We came", "and saw."), "srt", lambda _: "来た、見た。")[0].decode() == cues(
        "来た、", "見た。"
    )


def test_long_lines_are_parted() -> None:
    """Where they are longer than a viewer reads, and than any of the file."""
    written, _, _ = translated(cues("Hello."), "srt", lambda _: " ".join(["palavra"] * 10))

    assert max(map(len, written.decode().splitlines()[1:])) <= 42


def test_an_arrow_in_a_translation_begins_no_cue() -> None:
    """It is written as a shorter one, in WebVTT escaped."""
    text = cues("Hello.")

    assert b"a -> b" in translated(text, "srt", lambda _: "a --> b")[0]
    assert b"a --&gt; b" in translated("WEBVTT\n\n" + text, "vtt", lambda _: "a --> b")[0]


def test_what_has_no_times_is_refused() -> None:
    """An empty file, and WebVTT without cues, are none the less what they are."""
    with pytest.raises(DocumentError, match="no line of times"):
        translated("hello\n", "srt")
    assert translated("", "srt")[0] == b""
    assert translated("WEBVTT\n", "vtt")[0] == b"WEBVTT\n"


WORDS = st.text(st.sampled_from("ab ,.-<>i/&;{}\\\u4e2d")).filter(lambda text: "-->" not in text)


@pytest.mark.parametrize(("kind", "written"), [("srt", "-> x"), ("vtt", "--&gt; x")])
def test_no_line_of_times_is_made_of_a_dash_and_what_follows(kind: str, written: str) -> None:
    """The dash of who speaks is the document's, what is said the model's."""
    source = ("WEBVTT\n\n" if kind == "vtt" else "") + cues("-a")

    data, _, _ = translated(source, kind, lambda _: "-> x")

    assert data.decode().splitlines()[-1] == written


@settings(max_examples=examples(100), deadline=None)
@given(
    st.lists(st.lists(WORDS, min_size=1, max_size=3), min_size=1, max_size=5), st.sampled_from(["srt", "vtt"]), WORDS
)
def test_cues_stay_as_many_whatever_they_say(texts: list[list[str]], kind: str, answer: str) -> None:
    """And their times stay at their places; none loses its text."""
    source = ("WEBVTT\n\n" if kind == "vtt" else "") + cues(*("\n".join(lines) for lines in texts))

    same, _, _ = translated(source, kind, str)
    written, _, _ = translated(source, kind, lambda text: f"{answer} x")

    assert same == source.encode()
    times = [line for line in source.splitlines() if "-->" in line]
    assert [line for line in written.decode().splitlines() if "-->" in line] == times
