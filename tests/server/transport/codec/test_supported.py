"""What is honoured of a message; above all, that nothing of it is ignored."""

from collections.abc import Iterator
from typing import Any

import pytest

from dragoman.server.core.errors import InvalidRequest, UnsupportedOption
from dragoman.server.transport.codec.supported import FEW, SCORE, TRANSLATE, Fields, check
from dragoman.v1 import translation_pb2 as pb


def leaves(descriptor: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every field of a message that holds a value, at any depth, with its path."""
    for field in descriptor.fields:
        if field.message_type is None:
            yield f"{path}{field.name}", field
        else:
            yield from leaves(field.message_type, f"{path}{field.name}.")


def with_field(kind: Any, path: str, value: Any = None) -> Any:
    """A message in which one field is set, to something that is not its default."""
    message = request = kind()
    *parents, name = path.split(".")
    for parent in parents:
        field = message.DESCRIPTOR.fields_by_name[parent]
        message = getattr(message, parent).add() if field.is_repeated else getattr(message, parent)
    field = message.DESCRIPTOR.fields_by_name[name]
    if value is None:
        value = "x" if field.cpp_type == field.CPPTYPE_STRING else field.cpp_type == field.CPPTYPE_BOOL or 1
    if field.is_repeated:
        getattr(message, name).append(value)
    else:
        setattr(message, name, value)
    return request


def paths(fields: Fields, path: str = "") -> Iterator[tuple[str, frozenset[int]]]:
    """Every supported field that holds a value, at any depth, with its path."""
    for name, known in fields.items():
        if isinstance(known, frozenset):
            yield f"{path}{name}", known
        else:
            yield from paths(known, f"{path}{name}.")


KINDS: dict[str, tuple[Any, Fields]] = {
    "translate": (pb.TranslateRequest, TRANSLATE),
    "score": (pb.ScoreRequest, SCORE),
}
SUPPORTED = {name: dict(paths(fields)) for name, (_, fields) in KINDS.items()}
PATHS = {name: dict(leaves(kind.DESCRIPTOR)) for name, (kind, _) in KINDS.items()}


@pytest.mark.parametrize(("name", "path"), [(name, path) for name, paths in PATHS.items() for path in paths])
def test_every_field_is_supported_or_refused(name: str, path: str) -> None:
    """A field that this server does not declare as supported is refused by its name: none is ignored."""
    kind, fields = KINDS[name]
    request = with_field(kind, path, max(SUPPORTED[name].get(path, ()), default=None))

    if path in SUPPORTED[name]:
        check(request, fields)
    else:
        with pytest.raises(UnsupportedOption) as refused:
            check(request, fields)
        assert f"{path}.".startswith(f"{refused.value.violations[0].field.replace('[0]', '')}.")


@pytest.mark.parametrize("name", KINDS)
def test_what_is_declared_exists(name: str) -> None:
    """No path or value is declared that the protocol does not have, and every supported enum declares its values."""
    fields, paths = SUPPORTED[name], PATHS[name]
    enums = {path for path, field in paths.items() if field.enum_type is not None}

    assert paths.keys() >= fields.keys()
    assert {path for path, values in fields.items() if values} == enums & fields.keys()
    for path, values in fields.items():
        assert not values or values <= set(paths[path].enum_type.values_by_number)


def test_all_of_decoding_is_honoured() -> None:
    """Whatever the protocol can ask of a search."""
    decoding = {path for path in PATHS["translate"] if path.startswith("decoding.")}

    assert len(decoding) > 20
    assert decoding <= SUPPORTED["translate"].keys()


@pytest.mark.parametrize(
    ("name", "path", "number"),
    [
        (name, path, number)
        for name, fields in SUPPORTED.items()
        for path in sorted(path for path, values in fields.items() if values)
        for number in [*PATHS[name][path].enum_type.values_by_number, 99, -1]
    ],
)
def test_every_enum_value_is_supported_or_refused(name: str, path: str, number: int) -> None:
    """A known value that is not implemented is unsupported and the others are listed; an unknown one is invalid."""
    kind, fields = KINDS[name]
    request = with_field(kind, path, number)
    is_list = PATHS[name][path].is_repeated
    place, listed = (rf"{path}\[0\]", "") if is_list else (path, "UNSPECIFIED")

    if number in SUPPORTED[name][path]:
        check(request, fields)
    elif number in PATHS[name][path].enum_type.values_by_number:
        with pytest.raises(UnsupportedOption, match=f"{place}: .* does not implement .* it implements .*{listed}"):
            check(request, fields)
    else:
        with pytest.raises(InvalidRequest, match=f"{place}: {number} is no value of"):
            check(request, fields)


@pytest.mark.parametrize("within", [b"", b"\x5a\x03"])
def test_fields_of_a_newer_protocol_are_refused(within: bytes) -> None:
    """Also inside of a message: what a newer client asks for is not dropped in silence."""
    unknown = b"\xf8\x07\x01"  # field 127, a number
    message = pb.TranslateRequest.FromString(within + unknown)

    with pytest.raises(UnsupportedOption, match=r"(decoding\.)?field number 127: not known to this server"):
        check(message)


def test_the_place_in_a_list_is_named() -> None:
    """Which of the texts has the unsupported field."""
    texts = [pb.Text(text="a"), pb.Text(text="b", tokens=["c"])]

    with pytest.raises(UnsupportedOption) as refused:
        check(pb.TranslateRequest(texts=texts))

    assert refused.value.violations[0].field == "texts[1].tokens"


@pytest.mark.parametrize("number", [FEW, FEW + 1])
@pytest.mark.parametrize("at", [0, -1])
def test_a_newer_field_within_many_messages_is_found(number: int, at: int) -> None:
    """In one of them, and in a message within it; where there are none, all are honoured."""
    form = pb.TermForm(source="dogs", target="cães")
    newer = pb.TermForm.FromString(form.SerializeToString() + b"\xf2\x7f\x01x")
    terms = [pb.Term(source="dog", target="cão", forms=[form]) for _ in range(number)]
    check(pb.TranslateRequest(terms=terms))
    terms[at].forms[0].CopyFrom(newer)

    with pytest.raises(UnsupportedOption, match="field number"):
        check(pb.TranslateRequest(terms=terms))
