"""Between messages and frozen values, by names: nowhere is a mapping written out.

A message's field and a value's attribute of the same name hold the same. A value of an enum is the member, or the word,
that its name ends in: `PRIORITY_BATCH` is `Priority.BATCH`, and `EARLY_STOPPING_FIRST` the word "first".
"""

import dataclasses
import functools
import operator
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

from google.protobuf.message import Message

V = TypeVar("V")
M = TypeVar("M", bound=Message)
Convert = Callable[[Any], Any]


def read(kind: type[V], message: Message, **given: Any) -> V:
    """The value of a dataclass, of the fields that a message sets. `given` replace what the message says.

    A field that is not set has the dataclass's default, or the message's where the dataclass has none.
    """
    required, optional = _reading(cast(Any, kind), message.DESCRIPTOR)
    values = {name: convert(getattr(message, name)) for name, convert in required if name not in given}
    if optional:
        for field, value in message.ListFields():
            if field.name in optional and field.name not in given:
                values[field.name] = optional[field.name](value)
    return kind(**values, **given)


def write(kind: type[M], *values: object, **given: Any) -> M:
    """A message of what the values have under its fields' names; None is not set. `given` replace what they say."""
    fields: dict[str, Any] = {}
    for value in values:
        fields |= _plain(kind.DESCRIPTOR, value)
    make: Callable[..., M] = kind
    return make(**fields | given)


@functools.cache
def numbers(enum: Any) -> Mapping[str, int]:
    """Numbers of an enum's values, by their names without the prefix that all of them have: `BATCH`."""
    return {value.name.removeprefix(prefix(enum)): value.number for value in enum.values}


def prefix(enum: Any) -> str:
    """What the names of all of an enum's values begin with."""
    name: str = enum.values[0].name
    return name.removesuffix("UNSPECIFIED")


@functools.cache
def members(kind: Any, enum: Any) -> Mapping[int, Any]:
    """The members of an Enum, or words of a Literal, that an enum's values stand for, by their numbers."""
    known = dict(getattr(kind, "__members__", ())) or {word.upper(): word for word in get_args(kind)}
    return {number: known[name] for name, number in numbers(enum).items() if name in known}


@functools.cache
def kinds(kind: Any) -> Mapping[str, Any]:
    """What each field of a dataclass holds: None left out, and of a tuple or a set what its items are."""
    hints = get_type_hints(kind)
    return {field.name: _item(_not_none(hints[field.name])) for field in dataclasses.fields(kind)}


def _not_none(hint: Any) -> Any:
    others = [one for one in get_args(hint) if one is not type(None)]
    return others[0] if len(others) == 1 and type(None) in get_args(hint) else hint


def _item(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) in (tuple, frozenset) else hint


@functools.cache
def _reading(kind: Any, descriptor: Any) -> tuple[list[tuple[str, Convert]], dict[str, Convert]]:
    """How the fields that a dataclass and a message share are read: those without a default, and the others."""
    required, optional = list[tuple[str, Convert]](), dict[str, Convert]()
    for field in dataclasses.fields(kind):
        if field.name in descriptor.fields_by_name:
            convert = _reader(kinds(kind)[field.name], descriptor.fields_by_name[field.name])
            if field.default is field.default_factory is dataclasses.MISSING:
                required.append((field.name, convert))
            else:
                optional[field.name] = convert
    return required, optional


def _reader(kind: Any, field: Any) -> Convert:
    one: Convert = _same
    if field.enum_type is not None:
        known = members(kind, field.enum_type)
        # A number that only a newer contract has: the member UNKNOWN, where there is one.
        one = functools.partial(_member, known, getattr(kind, "UNKNOWN", None))
    elif dataclasses.is_dataclass(kind):
        one = _inner(kind, field.message_type)
    return (lambda items: tuple(map(one, items))) if field.is_repeated else one


def _inner(kind: Any, descriptor: Any) -> Convert:
    """How a value of a value is read: tokens, which come by the hundred, without looking at what is set."""
    required, optional = _reading(kind, descriptor)
    names = [name for name, convert in required if convert is _same]
    if optional or not len(dataclasses.fields(kind)) == len(names) > 1:
        return functools.partial(read, kind)
    get = operator.attrgetter(*names)
    return lambda message: kind(*get(message))


def _same(value: Any) -> Any:
    return value


def _member(known: Mapping[int, Any], unknown: Any, number: int) -> Any:
    return known[number] if unknown is None else known.get(number, unknown)


def _plain(descriptor: Any, value: object) -> dict[str, Any]:
    """What a message's constructor takes for a value. What says no more than the message does by itself is left out."""
    kind: Any = type(value)
    get, fields = _writing(descriptor, kind)
    made: dict[str, Any] = {}
    for (name, convert, nothing), item in zip(fields, get(value), strict=True):
        if item is not None and (nothing is None or item != nothing):
            made[name] = item if convert is None else convert(item)
    return made


@functools.cache
def _writing(
    descriptor: Any, kind: Any
) -> tuple[Callable[[Any], tuple[Any, ...]], list[tuple[str, Convert | None, Any]]]:
    """How fields are written: what they are read with, and of each its name, what makes a message's value of an item
    (None: it is one), and which item is as good as none (None: no item is).
    """
    known = {*dir(kind), *getattr(kind, "__dataclass_fields__", ())}
    fields = [field for field in descriptor.fields if field.name in known]
    names = [field.name for field in fields]
    get = operator.attrgetter(*names) if len(names) > 1 else lambda value: tuple(getattr(value, name) for name in names)
    return get, [(field.name, _writer(field), _nothing(field)) for field in fields]


def _nothing(field: Any) -> Any:
    """What a field says that is not set, as an item; None where no item says it: of floats, as -0.0 is not 0.0."""
    if field.is_repeated:
        return ()
    is_item = field.has_presence or field.enum_type is not None or isinstance(field.default_value, float)
    return None if is_item else field.default_value


def _writer(field: Any) -> Convert | None:
    """What makes a message's value of an item that is not None; None where it is one."""
    if field.enum_type is not None:
        one: Convert = functools.partial(_name, prefix(field.enum_type))
    elif field.message_type is not None:
        one = functools.partial(_plain, field.message_type)
    else:
        return None
    return (lambda items: list(map(one, items))) if field.is_repeated else one


def _name(prefix: str, member: Enum | str) -> str:
    return f"{prefix}{member.name if isinstance(member, Enum) else member.upper()}"
