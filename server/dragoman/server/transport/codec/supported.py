"""What of a message is honoured, path by path.

Whatever else is set is refused by name, so that a field added to the protocol is refused until this server does what it
says. Field paths are those of the request message.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from dragoman.server.core.errors import InvalidRequest, UnsupportedOption
from dragoman.v1 import translation_pb2 as pb


@dataclass(frozen=True)
class Fields:
    """What a kind of message may set."""

    supported: frozenset[str]
    """Every field that may be set, as paths without indices."""
    values: Mapping[str, frozenset[int]] = field(default_factory=dict)
    """Every enum among them, and its values that may be chosen."""


def _every(enum: Any) -> frozenset[int]:
    return frozenset(enum.values())


TRANSLATE = Fields(
    frozenset(
        {
            "request_id",
            "texts.text",
            "texts.target_prefix",
            "source_language",
            "target_language",
            "model",
            "model_version",
            "format",
            "splitting",
            "on_too_long",
            *(
                f"decoding.{name}"
                for name, one in pb.DecodingOptions.DESCRIPTOR.fields_by_name.items()
                if one.message_type is None
            ),
            *(f"decoding.sampling.{name}" for name in pb.Sampling.DESCRIPTOR.fields_by_name),
            *(f"decoding.diversity.{name}" for name in pb.Diversity.DESCRIPTOR.fields_by_name),
            *(f"nat.{name}" for name in pb.NatOptions.DESCRIPTOR.fields_by_name),
            "speculation.draft",
            "speculation.draft_tokens",
            *(f"speculation.lossy.{name}" for name in pb.LossyVerification.DESCRIPTOR.fields_by_name),
            *(f"decoding.alternatives.{name}" for name in pb.Alternatives.DESCRIPTOR.fields_by_name),
            "engine",
            "priority",
            "output.scores",
            "output.token_scores",
            "output.alignments",
            "output.sentence_spans",
            "output.offset_unit",
            "output.timings",
            "cache",
        }
    ),
    {
        "format": frozenset({pb.INPUT_FORMAT_UNSPECIFIED, pb.INPUT_FORMAT_PLAIN}),
        "splitting": _every(pb.Splitting),
        "on_too_long": frozenset({pb.ON_TOO_LONG_UNSPECIFIED, pb.ON_TOO_LONG_SPLIT, pb.ON_TOO_LONG_REJECT}),
        "decoding.length_penalty_kind": _every(pb.LengthPenaltyKind),
        "decoding.early_stopping": _every(pb.EarlyStopping),
        "decoding.unknown_handling": _every(pb.UnknownHandling),
        # Those that no model has are refused as such, with those that it has.
        "engine": _every(pb.EnginePreference),
        "speculation.draft": _every(pb.DraftSource),
        "priority": _every(pb.Priority),
        "output.offset_unit": _every(pb.OffsetUnit),
        # Nothing is remembered, so every mode of use gets what it asks for.
        "cache": _every(pb.CacheMode),
    },
)

SCORE = Fields(
    frozenset(
        {
            "request_id",
            "pairs.source",
            "pairs.target",
            "source_language",
            "target_language",
            "model",
            "model_version",
            "token_scores",
            "length_penalty",
            "length_penalty_kind",
            "priority",
        }
    ),
    {"length_penalty_kind": _every(pb.LengthPenaltyKind), "priority": _every(pb.Priority)},
)


def check(message: Message, fields: Fields = TRANSLATE, *, path: str = "", shown: str = "") -> None:
    """Refuse the first field or value that a request sets and this server does not honour.

    `path` is where `message` stands without indices, `shown` with them.
    """
    refuse_unknown(message, shown)
    for one, value in message.ListFields():
        name = f"{path}{one.name}"
        if name in fields.supported:
            if one.enum_type is not None:
                _check_value(name, one.enum_type, value, fields.values[name])
        elif one.message_type is not None and any(other.startswith(f"{name}.") for other in fields.supported):
            items = enumerate(value) if one.is_repeated else [(None, value)]
            for index, item in items:
                place = f"{shown}{one.name}" if index is None else f"{shown}{one.name}[{index}]"
                check(item, fields, path=f"{name}.", shown=f"{place}.")
        else:
            raise UnsupportedOption(f"{shown}{one.name}", "this server does not implement it: leave it unset")


def refuse_unknown(message: Message, shown: str = "") -> None:
    """Refuse a field that a newer version of the protocol has; of this message alone, not of those within."""
    found: Any = UnknownFieldSet(message)
    for unknown in found:
        where = f"{shown}field number {unknown.field_number}"
        raise UnsupportedOption(where, "not known to this server, which speaks an older version of the protocol")


def _check_value(name: str, enum: Any, value: int, able: frozenset[int]) -> None:
    known = enum.values_by_number.get(value)
    if known is None:
        raise InvalidRequest(name, f"{value} is no value of {enum.name}")
    if value not in able:
        names = ", ".join(one.name for one in enum.values if one.number in able)
        raise UnsupportedOption(name, f"this server does not implement {known.name}; it implements {names}")
