"""Placeholders in braces."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from properties import examples

from dragoman.server.text.recognition.braces import MAX_CHARACTERS, brace_spans


def found(text: str) -> list[str]:
    """What is in the spans."""
    return [text[span.start : span.end] for span in brace_spans(text)]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("{a|title} {{b}} {{{c}}}", ["{a|title}", "{{b}}", "{{{c}}}"]),
        (
            "{n, plural, =0 {none} one {{n} item} other {# items}}!",
            ["{n, plural, =0 {none} one {{n} item} other {# items}}"],
        ),
        ("{ {a} {b}", ["{a}", "{b}"]),
        ("{a} } {b}", ["{a}", "{b}"]),
        ("{some words with {a} in them}", ["{a}"]),
        ("{see below} {See below} {First Name}", ["{First Name}"]),
        ("{:e} {f(x, y) words (z)}", ["{:e}"]),
        ("${a} #{b} %{c} x{d}", ["${a}", "#{b}", "%{c}", "{d}"]),
        ("{% if a %}{{ b }}{% endif %}", ["{% if a %}", "{{ b }}", "{% endif %}"]),
        ("{", []),
        ("}{", []),
    ],
)
def test_groups_are_found_by_balance(text: str, parts: list[str]) -> None:
    """The outermost that is a placeholder; a brace without its fellow hides none."""
    assert found(text) == parts


def test_a_long_stretch_is_no_placeholder() -> None:
    """It is a program."""
    assert found("{{" + "x" * MAX_CHARACTERS + "}}") == []


@settings(max_examples=examples(100), deadline=None)
@given(st.text(alphabet="{}a ,%#$\n", max_size=40))
def test_spans_are_in_order_apart_and_balanced(text: str) -> None:
    """Whatever the text."""
    spans = [*brace_spans(text)]

    assert all(a.end <= b.start for a, b in itertools.pairwise(spans))
    assert all(text[s.start : s.end].count("{") == text[s.start : s.end].count("}") > 0 for s in spans)
