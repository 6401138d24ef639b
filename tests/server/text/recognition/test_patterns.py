"""Patterns of a request."""

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from properties import examples

from dragoman.server.core.errors import InvalidRequest
from dragoman.server.text.recognition.patterns import MAX_MATCH_BYTES, MAX_PATTERNS, Patterns


def found(text: str, *patterns: str) -> list[str]:
    """What is in the spans."""
    return [text[span.start : span.end] for span in Patterns(patterns, "patterns").spans(text)]


def test_patterns_are_looked_for_together() -> None:
    """In characters, not bytes; matches side by side are one."""
    assert found("é ABC-12 田 xx7, ABC-13ABC-14", r"[A-Z]+-\d+", "x+") == ["ABC-12", "xx", "ABC-13ABC-14"]


def test_ends_and_words_are_the_texts() -> None:
    """Not those of the stretch that is looked at."""
    text = "foo " * MAX_MATCH_BYTES

    assert found(text, r"\Afoo") == ["foo"]
    assert found(text + "foot", r"foo\b") == ["foo"] * MAX_MATCH_BYTES


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("a(b", "is no pattern of RE2: missing \\)"),
        (r"(a)\1", "invalid escape sequence"),
        ("(?=a)", "invalid perl operator"),
        ("a*", "matches the empty text"),
        ("", "matches the empty text"),
        ("x" * 501, "501 characters, the limit is 500"),
        ("\ud800", "is no pattern of RE2"),
    ],
)
def test_what_is_no_pattern_is_refused_by_name(pattern: str, reason: str) -> None:
    """With its field and the reason, beside all others that are wrong."""
    with pytest.raises(InvalidRequest, match=r"patterns\[1\]: .*" + re.escape(reason).replace(r"\\\)", r"\)")) as error:
        Patterns(["ok", pattern, "b*"], "patterns")

    assert [violation.field for violation in error.value.violations] == ["patterns[1]", "patterns[2]"]


def test_too_many_and_too_large_patterns_are_refused() -> None:
    """They would be compiled for every request."""
    with pytest.raises(InvalidRequest, match="65 patterns, the limit is 64"):
        Patterns(["a"] * (MAX_PATTERNS + 1), "patterns")
    with pytest.raises(InvalidRequest, match=r"the patterns make .* instructions"):
        Patterns([r"\pL{100}"], "patterns")


@settings(max_examples=examples(100), deadline=None)
@given(
    st.text(alphabet="ab é田", max_size=200), st.sampled_from(["a+", "ab|b", "é", "[^ ]+ [^ ]+", "(?i)A", "a[^b]*b|a"])
)
def test_the_matches_are_those_of_another_engine(text: str, pattern: str) -> None:
    """Of texts shorter than a window."""
    expected = [match[0] for match in re.finditer(f"(?:{pattern})+" if "(?i)" not in pattern else "(?i:a)+", text)]

    assert found(text, pattern) == expected


def test_a_match_across_windows_is_found() -> None:
    """Wherever it begins; one that is longer than the longest match, in parts that touch."""
    for before in range(MAX_MATCH_BYTES - 5, MAX_MATCH_BYTES + 5):
        assert found("é" * before + "x" * 50 + "é" * 3000 + "x", "x{50}|x") == ["x" * 50, "x"]
    spans = [*Patterns(["a[^b]*b"], "patterns").spans("a" + "c" * 10 + "b" + "a" * 5000)]
    assert spans == [(0, 12)]
    parts = [*Patterns(["y+"], "patterns").spans("x" + "y" * 5000)]
    assert parts[0].start == 1
    assert parts[-1].end == 5001
    assert all(one.end == two.start for one, two in itertools.pairwise(parts))
