"""Strict JSON for the manifest's types."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Literal

import pytest

from dragoman.bundle import codec
from dragoman.bundle.manifest import Manifest, Texts


@dataclass(frozen=True)
class Leaf:
    size: int | str
    kind: Literal["a", "b"] = "a"


@dataclass(frozen=True)
class Root:
    leaves: tuple[Leaf, ...]
    named: dict[str, Leaf]
    weight: float
    note: str | None
    flag: bool = False


GOOD = {
    "leaves": [{"size": 1, "kind": "a"}, {"size": "S", "kind": "b"}],
    "named": {"x": {"size": 0, "kind": "a"}},
    "weight": 1,
    "note": None,
    "flag": True,
}


def problems_of(document: object, kind: type = Root) -> tuple[str, ...]:
    with pytest.raises(codec.DecodeError) as error:
        codec.decode(kind, document)
    return error.value.problems


def test_a_manifest_survives_the_round_trip(manifest):
    """What is written is read back equal, and writes the same bytes again."""
    text = codec.to_json(manifest)

    again = codec.from_json(Manifest, text)

    assert again == manifest
    assert codec.to_json(again) == text
    assert text.endswith("}\n")


def test_order_of_keys_does_not_show():
    """The same value has one text, whatever order its dictionaries were filled in."""
    forwards = Root((), {"a": Leaf(1), "b": Leaf(2)}, 0.5, None)
    backwards = Root((), {"b": Leaf(2), "a": Leaf(1)}, 0.5, None)

    assert codec.to_json(forwards) == codec.to_json(backwards)


def test_integers_may_stand_for_floats_and_become_floats():
    """JSON writers that drop `.0` are understood."""
    root = codec.decode(Root, GOOD)

    assert (root.weight, type(root.weight)) == (1.0, float)
    assert root.leaves == (Leaf(1, "a"), Leaf("S", "b"))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"extra": 1}, "extra: unknown key"),
        ({"weight": True}, "weight: expected a number, found true"),
        ({"weight": "1"}, "weight: expected a number, found '1'"),
        ({"weight": 10**400}, "weight: expected a finite number, found a huge integer"),
        ({"flag": 1}, "flag: expected true or false, found 1"),
        ({"note": 3}, "note: expected a string, found 3"),
        ({"note": "a\nb"}, "note: 'a\\nb' holds characters that cannot be printed"),
        ({"note": "\ud800"}, "note: '\\ud800' holds characters that cannot be printed"),
        ({"leaves": {}}, "leaves: expected an array, found an object"),
        ({"leaves": [{"size": 1.5, "kind": "a"}]}, "leaves[0].size: expected an integer or a string, found 1.5"),
        ({"leaves": [{"size": 1, "kind": "c"}]}, "leaves[0].kind: expected one of 'a', 'b', found 'c'"),
        ({"leaves": [7]}, "leaves[0]: expected an object, found 7"),
        ({"leaves": [{"size": 1}]}, "leaves[0].kind: missing"),
        ({"named": []}, "named: expected an object, found an array"),
        ({"named": {"a b": None}}, "named.'a b': expected an object, found null"),
    ],
)
def test_a_wrong_value_is_named_by_its_path(change, expected):
    """The message is the path, what was expected and what was found."""
    assert problems_of(GOOD | change) == (expected,)


@pytest.mark.parametrize("document", [None, [], 3, "text"])
def test_a_document_of_another_kind_is_refused(document):
    """The root has no path, and is called what it is."""
    assert problems_of(document)[0].startswith("the document: expected an object")


def test_every_problem_is_told_at_once():
    """Unknown, missing and mistyped keys at three depths, in one error."""
    document = {"leaves": [{"size": None, "kind": 1, "odd": 0}], "named": {"n": {}}, "weight": 0.5, "wait": 1}

    assert set(problems_of(document)) == {
        "wait: unknown key",
        "note: missing",
        "flag: missing",
        "leaves[0].odd: unknown key",
        "leaves[0].size: expected an integer or a string, found null",
        "leaves[0].kind: expected one of 'a', 'b', found 1",
        "named.n.size: missing",
        "named.n.kind: missing",
    }


@pytest.mark.parametrize("index", range(len(dataclasses.fields(Manifest))))
def test_every_field_of_the_manifest_is_required(manifest, index):
    """No key is optional in the file, not even one whose field has a default, but what older bundles lack."""
    name = dataclasses.fields(Manifest)[index].name
    document = json.loads(codec.to_json(manifest))
    del document[name]

    absent = {"forms": (), "texts": Texts(), "siblings": {}, "searcher": None}
    if name in absent:
        assert getattr(codec.decode(Manifest, document), name) == absent[name]
    else:
        assert problems_of(document, Manifest) == (f"{name}: missing",)


def test_the_path_of_a_tensor_type_is_exact(manifest):
    """Deep in the manifest, the path leads to the very value."""
    document = json.loads(codec.to_json(manifest))
    document["graphs"]["step"]["outputs"][1]["dtype"] = "float64"

    (problem,) = problems_of(document, Manifest)

    kinds = "'float32', 'float16', 'int64', 'uint8'"
    assert problem == f"graphs.step.outputs[1].dtype: expected one of {kinds}, found 'float64'"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "not JSON"),
        ('{"a": NaN}', "NaN is not a number of JSON"),
        ('{"a": -Infinity}', "-Infinity is not a number of JSON"),
        ('{"a": 1, "b": 2, "a": 3}', "keys that come twice in one object: 'a'"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a": ' + "9" * 5000 + "}", "not JSON"),
        ("\ufeff{}", "not JSON"),
    ],
)
def test_text_that_is_not_strict_json_is_refused(text, expected):
    """Python's parser allows more than JSON, and a hostile file more than the stack."""
    with pytest.raises(codec.DecodeError, match=expected):
        codec.parse(text)


def test_not_a_number_is_never_written():
    """A value that could not be read back is not written either."""
    with pytest.raises(ValueError, match="JSON compliant"):
        codec.to_json(Root((), {}, float("nan"), None))
