"""Strict JSON for frozen dataclasses.

A dataclass is an object with exactly its fields as keys: an unknown key, a missing key (even one whose field has a
default: a file never leaves open what it means) and a value of another type are problems. Only a field whose metadata
say `may_be_absent` may be missing, because files are older than it. Every problem is found in
one pass and names its path, as in `graphs.step.inputs[2].dtype`. Tuples are arrays, `dict[str, X]` is an object with
free keys, `Literal` is one of its values, unions are tried in order. `true` is not a number, numbers are finite, and
no key comes twice. The same value always gives the same bytes.
"""

import json
import math
from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


class DecodeError(ValueError):
    """A document does not have the form of its type. All the problems at once."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


def to_json(value: object) -> str:
    """JSON text of a dataclass: sorted keys, two spaces, a newline at the end."""
    return json.dumps(_plain(value), sort_keys=True, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def from_json(kind: type[T], text: str) -> T:
    """Build the dataclass `kind` from JSON text, or raise `DecodeError`."""
    return decode(kind, parse(text))


def parse(text: str) -> object:
    """Parse JSON, without the extensions that Python's parser allows."""
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    except RecursionError:
        raise DecodeError(["not JSON that can be read: nested too deeply"]) from None
    except ValueError as error:
        raise DecodeError([f"not JSON that can be read: {error}"]) from None


def decode(kind: type[T], value: object) -> T:
    """Build the dataclass `kind` from parsed JSON, or raise `DecodeError`."""
    problems: list[str] = []
    result = _decode(kind, value, "", problems)
    if problems:
        raise DecodeError(problems)
    assert isinstance(result, kind)
    return result


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        raise ValueError(f"keys that come twice in one object: {', '.join(map(repr, twice))}")
    return result


def _constant(name: str) -> object:
    raise ValueError(f"{name} is not a number of JSON")


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _decode(hint: Any, value: object, path: str, problems: list[str]) -> object:
    origin = get_origin(hint)
    if is_dataclass(hint):
        return _decode_dataclass(hint, value, path, problems)
    if origin is tuple:
        return _decode_tuple(hint, value, path, problems)
    if origin is dict:
        return _decode_dict(hint, value, path, problems)
    if origin in (Union, UnionType):
        return _decode_union(hint, value, path, problems)
    if origin is Literal:
        options = get_args(hint)
        # Compared with the type, because True == 1.
        if not any(type(value) is type(option) and value == option for option in options):
            problems.append(f"{_at(path)}: expected one of {', '.join(map(_shown, options))}, found {_shown(value)}")
        return value
    return _decode_scalar(hint, value, path, problems)


def _decode_scalar(hint: Any, value: object, path: str, problems: list[str]) -> object:
    if hint is float and type(value) in (int, float):
        return _finite(value, path, problems)
    if hint not in (bool, int, float, str, NoneType):
        raise TypeError(f"{_at(path)}: the codec does not know the type {hint!r}")
    if type(value) is not hint:
        problems.append(f"{_at(path)}: expected {_name(hint)}, found {_shown(value)}")
    elif isinstance(value, str) and not value.isprintable():
        # Also refuses lone surrogates, which could not be written or printed again.
        problems.append(f"{_at(path)}: {ascii(value)[:60]} holds characters that cannot be printed")
    return value


def _finite(value: Any, path: str, problems: list[str]) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        problems.append(f"{_at(path)}: expected a finite number, found {_shown(value)}")
    return number


def _decode_dataclass(kind: Any, value: object, path: str, problems: list[str]) -> object:
    if not isinstance(value, dict):
        problems.append(f"{_at(path)}: expected an object, found {_shown(value)}")
        return None
    before = len(problems)
    hints = get_type_hints(kind)
    names = [field.name for field in fields(kind)]
    problems.extend(f"{_at(_join(path, key))}: unknown key" for key in sorted(value.keys() - set(names)))
    needed = [field.name for field in fields(kind) if not field.metadata.get("may_be_absent")]
    problems.extend(f"{_at(_join(path, name))}: missing" for name in needed if name not in value)
    items = {name: _decode(hints[name], value[name], _join(path, name), problems) for name in names if name in value}
    return kind(**items) if len(problems) == before else None


def _decode_tuple(hint: Any, value: object, path: str, problems: list[str]) -> object:
    item, ellipsis = get_args(hint)
    assert ellipsis is Ellipsis, "only tuples of any length are used"
    if not isinstance(value, list):
        problems.append(f"{_at(path)}: expected an array, found {_shown(value)}")
        return ()
    return tuple(_decode(item, element, f"{path}[{index}]", problems) for index, element in enumerate(value))


def _decode_dict(hint: Any, value: object, path: str, problems: list[str]) -> object:
    key_hint, item = get_args(hint)
    assert key_hint is str, "JSON keys are strings"
    if not isinstance(value, dict):
        problems.append(f"{_at(path)}: expected an object, found {_shown(value)}")
        return {}
    for key in value:
        _decode_scalar(str, key, f"{path} (key)", problems)
    return {key: _decode(item, value[key], _join(path, key), problems) for key in value}


def _decode_union(hint: Any, value: object, path: str, problems: list[str]) -> object:
    members = [member for member in get_args(hint) if member is not NoneType]
    if value is None and len(members) < len(get_args(hint)):
        return None
    if len(members) == 1:
        return _decode(members[0], value, path, problems)
    for member in members:
        attempt: list[str] = []
        result = _decode(member, value, path, attempt)
        if not attempt:
            return result
    problems.append(f"{_at(path)}: expected {' or '.join(map(_name, members))}, found {_shown(value)}")
    return None


def _join(path: str, key: str) -> str:
    shown = key if key.isidentifier() else ascii(key)
    return f"{path}.{shown}" if path else shown


def _at(path: str) -> str:
    return path or "the document"


_NAMES = {bool: "true or false", int: "an integer", float: "a number", str: "a string", NoneType: "null"}


def _name(hint: Any) -> str:
    return _NAMES.get(hint, getattr(hint, "__name__", str(hint)))


def _shown(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case dict():
            return "an object"
        case list():
            return "an array"
        case float():
            return f"{value:g}"
        case int():
            return str(value) if abs(value) < 10**12 else "a huge integer"
        case _:
            text = ascii(value)
            return text if len(text) <= 60 else text[:57] + "..."
