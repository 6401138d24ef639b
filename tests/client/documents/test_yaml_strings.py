"""YAML as a document."""

from typing import Any

import pytest
import yaml
from documents import translated
from hypothesis import given, settings
from hypothesis import strategies as st
from properties import examples

from dragoman.client.documents import DocumentError

HARD = """\
# Comments stay, "quotes" in them, too.
%s
en: &anchor   # behind
  greeting: Hello, world!
  'quoted key': 'It''s  here'
  "escaped": "a\\tb \\u00e9 \\"c\\""
  number: 12
  float: 1.5e3
  yes: no
  date: 2024-01-31
  nothing:
  empty: ''
  tagged: !symbol name
  text: !!str 12 monkeys
  anchored: &here some text
  alias: *here
  list: [one, "two", {three: four}]
  ? key
  : value
  ? [a key, that is a list]
  : for it
  several: one line
    and another
  block: |
    First line.
      indented

    # no comment
  folded: >-
    A paragraph that is
    wrapped.

    Another one.
      kept as it is

  kept: |2+
      two more

other: *anchor
"""

HARD_TEXTS = [
    "Hello, world!",
    "It's  here",
    'a\tb é "c"',
    "12 monkeys",
    "some text",
    "one",
    "two",
    "four",
    "value",
    "for it",
    "one line and another",
    "First line.",
    "indented",
    "# no comment",
    "A paragraph that is wrapped.",
    "Another one.",
    "kept as it is",
    "two more",
]


def capitals(value: Any) -> Any:
    """A value with its strings in capitals."""
    if isinstance(value, str):
        return value.upper()
    if isinstance(value, list):
        return [capitals(item) for item in value]
    return {key: capitals(item) for key, item in value.items()} if isinstance(value, dict) else value


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_strings_are_texts_and_all_else_is_kept(line_end: str, mark: str) -> None:
    """In every style; what is no string, or says that it is another kind of thing, is not sent."""
    data = (mark + HARD.replace("\n", line_end)).replace("%s", "# é").encode()

    same, sent, _ = translated(data, "yaml", str)

    assert same == data
    assert sent == HARD_TEXTS


def test_translations_keep_the_style() -> None:
    """Quotes, indentation, comments behind them; a folded paragraph is wrapped as wide as it was."""
    text = (
        "a: &x one # two\nb: 'it''s'\nc: >\n    one two\n    three\n\n    four\nd: |\n  one\n\n  two\ne: [one, 'two']\n"
    )

    written, _, _ = translated(text, "yaml")

    assert written.decode() == text.replace("one", "ONE").replace(": 'it''s'", ": 'IT''S'").replace(
        "two", "TWO"
    ).replace("# TWO", "# two").replace("three", "THREE").replace("four", "FOUR")


@pytest.mark.parametrize(
    ("source", "translation", "written"),
    [
        ("a: one", "yes", 'a: "yes"'),
        ("a: one", "1.5", 'a: "1.5"'),
        ("a: one", "0o17", 'a: "0o17"'),
        ("a: one", "a: b", 'a: "a: b"'),
        ("a: one", "a:b #c", 'a: "a:b #c"'),
        ("a: one", "a#b:c,", "a: a#b:c,"),
        ("a: one", "- b", 'a: "- b"'),
        ("a: one", "x\ny", 'a: "x\\ny"'),
        ("a: one", "@x", 'a: "@x"'),
        ("a: one", "", 'a: ""'),
        ("a: one", "\x07\x85\u2028\U0001f389", 'a: "\\x07\\x85\\u2028\U0001f389"'),
        ("[one]", "a, b", '["a, b"]'),
        ("a: 'one'", "it's", "a: 'it''s'"),
        ("a: 'one'", "x\ny", 'a: "x\\ny"'),
        ('a: "one"', 'b\\"\t', 'a: "b\\\\\\""'),
        ("a: one\n  two # c", "x", "a: x # c"),
        ("a: |\n one", "x\ny", "a: |\n x y"),
        ("a: >\n one two\n three\n", "x y z w v u", "a: >\n x y z w\n v u\n"),
    ],
)
def test_what_a_style_cannot_hold_gets_another(source: str, translation: str, written: str) -> None:
    """So that the file means what was translated, whatever that is."""
    assert translated(source, "yaml", lambda text: translation)[0].decode() == written


def test_a_block_that_cannot_hold_a_translation_keeps_its_own() -> None:
    """And says so."""
    written, _, report = translated("a: |\n one\nb: two\n", "yaml", lambda text: text.upper() + "\x07")

    assert written == b'a: |\n one\nb: "TWO\\x07"\n'
    assert [problem.place for problem in report.problems] == ["a"]


STRINGS = st.text(st.sampled_from("aby :#-'\"\n\t\\,[{}|>%@!&*~?=.19\u2028\x85é\x07\U0001f389"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | STRINGS, lambda inner: st.lists(inner) | st.dictionaries(STRINGS, inner)
)


@settings(max_examples=examples(100), deadline=None)
@given(VALUES, st.sampled_from(["'", '"', "|", ">", None]), st.booleans(), st.sampled_from([20, 1000]))
def test_any_value_in_any_style_means_its_translation(value: Any, style: Any, is_flow: bool, width: int) -> None:
    """As PyYAML writes it, and as PyYAML reads it."""
    text = yaml.safe_dump(value, default_style=style, default_flow_style=is_flow, width=width, allow_unicode=True)
    is_block = style in ("|", ">")

    same, _, _ = translated(text, "yaml", str)
    written, _, report = translated(text, "yaml", lambda text: text.replace("a", ": b"))

    assert same == text.encode()
    if not report.problems and not is_block:
        assert yaml.safe_load(written) == _replaced(yaml.safe_load(text))
    elif is_block:
        yaml.safe_load(written)


def _replaced(value: Any) -> Any:
    if isinstance(value, str):
        core = value.strip()
        replaced = core.replace("a", ": b") if any(map(str.isalpha, core)) else core
        start = value.find(core)
        return value[:start] + replaced.strip() + value[start + len(core) :] if core else value
    if isinstance(value, list):
        return [_replaced(item) for item in value]
    return {key: _replaced(item) for key, item in value.items()} if isinstance(value, dict) else value


def test_keys_choose() -> None:
    """Through lists and several documents."""
    text = "a: {t: one, u: two}\n---\na:\n- t: three\n- u: four\n"

    assert translated(text, "yaml", keys=("a.t", "a.*.t"))[1] == ["one", "three"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "no YAML: while parsing a flow"),
        ("a: b: c", "line 1, column 5"),
        ("\ta: b", "no YAML"),
        ("a: \x07", "no YAML"),
        ("*x", None),
        ("[" * 5000, "nested too deep"),
        ("- " * 5000, "nested too deep"),
    ],
)
def test_what_is_no_yaml_is_refused(text: str, said: str | None) -> None:
    """With the place; what an alias stands for does not matter."""
    if said is None:
        assert translated(text, "yaml")[0] == text.encode()
        return
    with pytest.raises(DocumentError, match=said):
        translated(text, "yaml")
