"""What of a message is honoured: above all the fields that a request's values are read from.

Whatever else is set is refused by name, so that a field added to the protocol is refused until this server does what it
says. Fields are named by their path in the request message.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from dragoman.server.core.errors import InvalidRequest, UnsupportedOption
from dragoman.server.core.protection import RECOGNISED, SpanKind
from dragoman.server.core.requests import DecodingOverrides, Grammar, Output, Request
from dragoman.server.decode.strategies.methods import METHODS
from dragoman.v1 import translation_pb2 as pb
from dragoman.v1.values import kinds, members

Fields = Mapping[str, "Fields | frozenset[int]"]
"""What a message may set, by name: an inner message's fields, or an enum's values, which are none for other fields."""


FEW = 32
"""Messages that are looked at one by one, whatever they have."""


def plain(*names: str) -> Fields:
    """Fields that are neither messages nor enums."""
    return dict.fromkeys(names, frozenset())


def _read(kind: Any, descriptor: Any) -> dict[str, Fields | frozenset[int]]:
    """The fields of a message that a value is read from."""
    fields: dict[str, Fields | frozenset[int]] = {}
    for name, inner in kinds(kind).items():
        field = descriptor.fields_by_name.get(name)
        if field is not None and dataclasses.is_dataclass(inner):
            fields[name] = _read(inner, field.message_type)
        elif field is not None and field.message_type is None:
            fields[name] = frozenset({0, *members(inner, field.enum_type)} if field.enum_type else ())
    return fields


_DECODING = pb.DecodingOptions.DESCRIPTOR
_CALL = plain("request_id", "source_language", "target_language", "model", "model_version")
_SPAN_KINDS = members(SpanKind, pb.SpanKind.DESCRIPTOR)
_LENGTH_PENALTY_KIND = frozenset(pb.LengthPenaltyKind.values())  # the server's own lacks NONE, which is a penalty of 0

TRANSLATE: Fields = {
    **_CALL,
    **_read(Request, pb.TranslateRequest.DESCRIPTOR),
    "texts": plain("text", "target_prefix", "context"),
    "protection": {
        **plain("patterns", "off"),
        "kinds": frozenset(number for number, kind in _SPAN_KINDS.items() if kind in RECOGNISED),
    },
    "decoding": {
        **plain("suppressed_tokens"),
        "grammar": _read(Grammar, pb.Grammar.DESCRIPTOR),
        **_read(DecodingOverrides, _DECODING),
        **{name: _read(kind, _DECODING.fields_by_name[name].message_type) for name, kind in METHODS.items()},
        "length_penalty_kind": _LENGTH_PENALTY_KIND,
    },
    "output": {**plain("scores", "timings"), **_read(Output, pb.OutputOptions.DESCRIPTOR)},
}

SCORE: Fields = {
    **_CALL,
    **_read(Request, pb.ScoreRequest.DESCRIPTOR),
    **_read(Output, pb.ScoreRequest.DESCRIPTOR),
    **_read(DecodingOverrides, pb.ScoreRequest.DESCRIPTOR),
    "pairs": plain("source", "target"),
    "length_penalty_kind": _LENGTH_PENALTY_KIND,
}


def check(message: Message, fields: Fields = TRANSLATE, path: str = "") -> None:
    """Refuse the first field or value that a message sets and this server does not honour. `path` leads to it."""
    refuse_unknown(message, path)
    for field, value in message.ListFields():
        name, known = f"{path}{field.name}", fields.get(field.name)
        if known is None:
            raise UnsupportedOption(name, "this server does not implement it: leave it unset")
        if isinstance(known, Mapping):
            if field.is_repeated and len(value) > FEW and _is_whole(field.message_type, known) and _is_known(value):
                continue
            inner = (
                [(f"{name}[{i}].", item) for i, item in enumerate(value)]
                if field.is_repeated
                else [(f"{name}.", value)]
            )
            for inner_path, item in inner:
                check(item, known, inner_path)
        elif field.enum_type is not None and field.is_repeated:
            for i, item in enumerate(value):
                _check_value(f"{name}[{i}]", field.enum_type, item, known)
        elif field.enum_type is not None:
            _check_value(name, field.enum_type, value, known)


def _is_whole(descriptor: Any, fields: Fields) -> bool:
    """Whether every field of a message, and of those within it, is honoured, whatever its value."""
    for field in descriptor.fields:
        known = fields.get(field.name)
        if known is None or field.enum_type is not None:
            return False
        if field.message_type is not None and not (isinstance(known, Mapping) and _is_whole(field.message_type, known)):
            return False
    return True


def _is_known(messages: Sequence[Message]) -> bool:
    """Whether none of many messages, nor any within them, has a field of a newer version."""
    size = 0
    for message in messages:
        known = type(message)()
        known.CopyFrom(message)
        known.DiscardUnknownFields()
        size += message.ByteSize() - known.ByteSize()
    return not size


def refuse_unknown(message: Message, path: str = "") -> None:
    """Refuse a field that only a newer version of the protocol has; in this message itself, not in those within."""
    unknown: Any = UnknownFieldSet(message)
    for field in unknown:
        name = f"{path}field number {field.field_number}"
        raise UnsupportedOption(name, "not known to this server, which speaks an older version of the protocol")


def _check_value(name: str, enum: Any, number: int, supported: frozenset[int]) -> None:
    value = enum.values_by_number.get(number)
    if value is None:
        raise InvalidRequest(name, f"{number} is no value of {enum.name}")
    if number not in supported:
        names = ", ".join(other.name for other in enum.values if other.number in supported)
        raise UnsupportedOption(name, f"this server does not implement {value.name}; it implements {names}")
