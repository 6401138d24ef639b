"""Protected spans of a text, for one request and one model."""

import gc
import itertools
import re
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from properties import examples

from dragoman.server.core.protection import Protection, SpanKind
from dragoman.server.text.recognition import shapes
from dragoman.server.text.recognition.readable import Readable
from dragoman.server.text.recognition.recogniser import Recogniser
from dragoman.server.text.tokenizer import Tokenizer


class _Everything:
    """A vocabulary that has all but braces and Chinese."""

    def reads(self, text: str) -> bool:
        """Whether all of it is known."""
        return not any(char in "{}" or "\u4e00" <= char <= "\u9fff" for char in text)

    writes = reads


def found(text: str, protection: Protection | None = None) -> list[tuple[str, str]]:
    """What is in the spans, and their kinds."""
    recogniser = Recogniser(protection or Protection(), Readable(_Everything()))
    return [(text[part.span.start : part.span.end], part.kind.value) for part in recogniser.find(text)]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Hello %1$s, you have {count} new messages.", [("%1$s", "placeholder"), ("{count}", "placeholder")]),
        ("%s/%s {a}-{b} %Y-%m-%d", [("%s/%s", "placeholder"), ("{a}-{b}", "placeholder"), ("%Y-%m-%d", "placeholder")]),
        ("<b>%s</b> and <b>x</b>", [("<b>%s</b>", "code"), ("<b>", "code"), ("</b>", "code")]),
        ("@user@host.social, hi", [("@user@host.social", "handle")]),
        ("http://x/{id}?q=%s.", [("http://x/{id}?q=%s", "url")]),
        ("\U0001f389 \U0001f600\U0001f389x", [("\U0001f389 \U0001f600\U0001f389", "symbol")]),
        ("田中, 山田 and 本\n田", [("田中, 山田", "unreadable"), ("本", "unreadable"), ("田", "unreadable")]),
        ("{prose here}", [("{", "unreadable"), ("}", "unreadable")]),
        ("田%s 田", [("田%s", "placeholder"), ("田", "unreadable")]),
        ("x{a}y {田}z", [("{a}", "placeholder"), ("{田}", "placeholder")]),
    ],
)
def test_what_overlaps_or_belongs_together_is_one_span(text: str, parts: list[tuple[str, str]]) -> None:
    """The longest of those that begin first says what it is; no span goes on over a line's end by itself."""
    assert found(text) == parts


def test_a_request_chooses_kinds_and_adds_patterns() -> None:
    """Patterns are looked for whatever the kinds."""
    text = "%s https://a.b ABC-1 田"

    assert found(text, Protection(frozenset({SpanKind.URL}), (r"[A-Z]+-\d",))) == [
        ("https://a.b", "url"),
        ("ABC-1", "pattern"),
    ]
    assert found(text, Protection(frozenset())) == []


def test_a_plain_sentence_has_none(tokenizer: Tokenizer) -> None:
    """With the usual punctuation."""
    recogniser = Recogniser(Protection(), Readable(tokenizer))

    assert (
        recogniser.find("He said: \"It's fine (really); 5% more - or so!\" Didn't he? On 1.5 or 10/12, and so on.")
        == ()
    )


@settings(max_examples=examples(200), deadline=None)
@given(st.lists(st.sampled_from(["%s", "{a}", "<b>", "http://x.y", "田", "\U0001f600", " ", "a", ".", "\n", "@", "-"])))
def test_spans_are_in_order_and_apart(parts: list[str]) -> None:
    """They do not even touch, and each placeholder lies within one."""
    text = "".join(parts)
    spans = [part.span for part in Recogniser(Protection(), Readable(_Everything())).find(text)]

    assert all(one.end < two.start for one, two in itertools.pairwise(spans))
    for match in re.finditer(r"\{a\}|<b>|\U0001f600|田", text):
        assert any(start <= match.start() and match.end() <= end for start, end in spans)


REPEATED = [
    *("<", "{", "}", "{}", "(", "[", "[[", "\U0001f389", "e\u0301", "\u0301", "a@", "a@a.", "https://", "https://x "),
    *("/", "a/", "./", "\\", "\\n", "C:\\a ", "%", "%0", "%(a", "$a[", ":a", "`", "``", "` ", "```\n", "_", "a_", "a."),
    *("1.", "v1.", "-", "--a=", "#a", "@a.", "&a", "<a ", "<a b=", '<a b="', "<!--", "<!a", "<?", "<%", "<code>x"),
    *("[url=", "\u200da", "*.", " .a", "~/", "a:(", "www.", "mailto:", "{a,plural,", "{{", "{%", "12345678-", "%5$"),
    *(
        "\x00",
        "{田",
        "田 ",
        "1\ufe0f\u20e3",
        "::",
        "a.b.",
        "localhost",
        "a:",
        "f:",
        "a::",
        "Ctrl+",
        "%'",
        "f(a,",
        "$t(",
        "](",
    ),
    *(
        "&lt;b",
        "[%a",
        "data:a/b;",
        "tel:1",
        "a->",
        "-a=",
        "C:/a/",
        "@a/",
        "aBc",
        "a1",
        "0x",
        "12",
        "{a(",
        "{$a->",
        "{:",
    ),
]
EVERY_SIGN = "".join(shapes._SHAPES)
"""So that each shape is looked for."""


@pytest.mark.parametrize("part", REPEATED)
def test_no_text_takes_more_than_its_length(part: str) -> None:
    """Four times the text takes about four times as long, where trying anew from every place would take sixteen: in one
    of several measurements at least, as what else the processor does may come between.
    """
    recogniser = Recogniser(Protection(patterns=(r"a[^b]*b|a",)), Readable(_Everything()))
    recogniser.find(part * 100)

    def took_s(count: int) -> float:
        return _timed(lambda: recogniser.find(part * count + EVERY_SIGN))

    count = 4 * examples(300)
    assert any(took_s(count) < 9 * took_s(count // 4) + 0.02 for _ in range(6))


def _timed(do: Callable[[], object]) -> float:
    gc.disable()  # how long a collection takes depends on all other tests
    started_s = time.process_time()
    do()
    took_s = time.process_time() - started_s
    gc.enable()
    return took_s
