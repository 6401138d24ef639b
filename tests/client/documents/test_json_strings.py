"""JSON as a document."""

import json
from typing import Any

import pytest
from documents import translated
from hypothesis import given, settings
from hypothesis import strategies as st
from properties import examples

from dragoman.client.documents import DocumentError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_subnormal=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def capitals(value: Any) -> Any:
    """A value with its strings in capitals."""
    if isinstance(value, str):
        return value.upper()
    if isinstance(value, list):
        return [capitals(item) for item in value]
    return {key: capitals(item) for key, item in value.items()} if isinstance(value, dict) else value


@settings(max_examples=examples(100), deadline=None)
@given(VALUES, st.booleans(), st.sampled_from([None, 1, "\t"]), st.randoms())
def test_strings_are_translated_and_nothing_else(value: Any, is_ascii: bool, indent: Any, random: Any) -> None:
    """Keys, numbers, order and indentation are as before, and so is whether characters are escaped."""
    text = json.dumps(value, ensure_ascii=is_ascii, indent=indent)

    same, _, _ = translated(text, "json", str)
    written, _, _ = translated(text, "json")

    assert same == text.encode()
    assert json.dumps(json.loads(written)) == json.dumps(capitals(value))
    if is_ascii and not text.isascii():
        assert written.isascii()


def test_a_file_keeps_its_way_of_writing() -> None:
    """Line ends, odd spaces, numbers as they stand, escaped slashes and angle brackets, capital hexadecimal digits."""
    text = '{ "a" :\r\n\t[1.50, -0, 1E400, "x\\/y", "\\u003Cb\\u003E", "\\u00E9\\n\\ud83d\\ude00" , {}],"\\"k":"z"}\r\n'

    written, sent, _ = translated(text, "json", lambda text: text.replace("x", "w/ú").replace("z", "<\n>"))

    assert sent == ["x/y", "é\n😀", "z", "<b>"]
    assert written.decode() == text.replace("x", "w\\/\\u00FA").replace('"z"', '"\\u003C\\n\\u003E"')


@pytest.mark.parametrize(
    ("patterns", "sent"),
    [
        ((), ["t0", "b0", "t1", "b1", "m", "x"]),
        (("title",), ["t0", "t1", "m"]),
        (("posts.*.title",), ["t0", "t1"]),
        (("posts.1",), ["t1", "b1"]),
        (("**.title",), ["t0", "t1", "m"]),
        (("!posts",), ["m", "x"]),
        (("posts", "!title"), ["b0", "b1"]),
        (("t*", "tags"), ["t0", "t1", "m", "x"]),
        (("nothing",), []),
    ],
)
def test_keys_choose(patterns: tuple[str, ...], sent: list[str]) -> None:
    """By paths, from anywhere, or by what is left out."""
    value = {"posts": [{"title": f"t{i}", "body": f"b{i}"} for i in range(2)], "meta": {"title": "m"}, "tags": ["x"]}

    assert translated(json.dumps(value), "json", keys=patterns)[1] == sent


def test_keys_that_come_twice_are_both_translated() -> None:
    """What is legal in the file is no reason to lose a string."""
    assert translated('{"a":"x","a":"y"}', "json")[0] == b'{"a":"X","a":"Y"}'


def test_problems_name_the_path() -> None:
    """With half of a surrogate pair, which no wire can carry."""
    written, sent, report = translated('{"a": ["b", "c\\ud800"]}', "json")

    assert (written, sent) == (b'{"a": ["B", "c\\ud800"]}', ["b"])
    assert [problem.place for problem in report.problems] == ["a.1"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": }', "no JSON: Expecting value at line 1, column 7"),
        ("", "no JSON"),
        ('{"a": "b}', "Unterminated string"),
        ("[" * 100_000, "nested too deep"),
        ('["a"] x', "Extra data"),
    ],
)
def test_what_is_no_json_is_refused(text: str, said: str) -> None:
    """With the place, and before anything is sent."""
    with pytest.raises(DocumentError, match=said):
        translated(text, "json")
