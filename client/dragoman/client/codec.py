"""Between the users' types and the wire: pure functions.

The mapping is not written out: names are the same on both sides (`dragoman.v1.values`). A field of `Options` goes to
the field of the same name in the one message of the request that has it. What is None is not set.
"""

import dataclasses
import math
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import grpc
from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.message import Message

from dragoman.client.errors import DragomanError, InvalidRequest, ServerFault, SomeTextsFailed, from_status
from dragoman.client.types import Hypothesis, Model, Options, Score, ScoreOptions, Translation
from dragoman.v1 import translation_pb2 as pb
from dragoman.v1.values import numbers, read

T = TypeVar("T")
Pair = tuple[str, str]
"""A text and a translation of it."""
Item = TypeVar("Item", str, Pair)
Done = TypeVar("Done", Translation, Score)

NO_OPTIONS = Options()
NO_SCORE_OPTIONS = ScoreOptions()
BATCH_SIZE = 32
"""Texts that travel in one call of many: about what a lane decodes side by side."""
BATCH_BYTES = 16_000
"""Bytes of UTF-8 in one call of many, so that all that is under way fits a server's backlog. One text may be longer."""
IN_FLIGHT = 4
"""Calls of many that are under way at once, so that no lane waits for the network."""

_CODES = {int(code.value[0]): code.name for code in grpc.StatusCode}


def request(texts: Sequence[str], options: Options) -> pb.TranslateRequest:
    """The message that asks for translations of `texts`."""
    message = pb.TranslateRequest()
    for index, text in enumerate(texts):
        wire_text = message.texts.add()
        _set(wire_text, "text", text, f"texts[{index}].text")
        if options.target_prefix is not None:
            _set(wire_text, "target_prefix", options.target_prefix, "target_prefix")
        if options.context is not None:
            _set(wire_text, "context", options.context, "context")
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if value is not None and field.name not in ("target_prefix", "context"):
            _set(_home(message, field.name), field.name, value, field.name)
    return message


def live_request(
    text: str, options: Options, wait: int | None, *, is_first: bool, is_whole: bool
) -> pb.TranslatePipeRequest:
    """The message that asks for the translation of a text as far as it is written; the first has the settings."""
    settings = request([text], options)
    message = pb.TranslatePipeRequest(texts=settings.texts, is_whole=is_whole)
    if is_first:
        del settings.texts[:]
        settings.live.SetInParent()
        if wait is not None:
            _set(settings.live, "wait", wait, "wait")
        message.settings.CopyFrom(settings)
    return message


def score_request(pairs: Sequence[Pair], options: ScoreOptions) -> pb.ScoreRequest:
    """The message that asks for the scores of `pairs`."""
    message = pb.ScoreRequest()
    for index, given in enumerate(pairs):
        # A text of two characters could be unpacked like a pair.
        if isinstance(given, str) or len(given) != 2:
            raise TypeError(f"pairs[{index}] must be a text and its translation, not {given!r:.80}")
        source, target = given
        pair = message.pairs.add()
        _set(pair, "source", source, f"pairs[{index}].source")
        _set(pair, "target", target, f"pairs[{index}].target")
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if value is not None:
            _set(message, field.name, value, field.name)
    return message


def outcomes(response: pb.TranslateResponse, count: int) -> list[Translation | DragomanError]:
    """What became of each of `count` texts, in their order."""
    if [result.index for result in response.results] != list(range(count)):
        raise ServerFault(f"{count} texts were sent and {len(response.results)} results came, or not in their order")
    return [outcome(result) for result in response.results]


def score_outcomes(response: pb.ScoreResponse, count: int) -> list[Score | DragomanError]:
    """What became of each of `count` pairs, in their order."""
    if [result.index for result in response.results] != list(range(count)):
        raise ServerFault(f"{count} pairs were sent and {len(response.results)} results came, or not in their order")
    return [_score(result) for result in response.results]


def all_or_raise(outcomes: Sequence[Done | DragomanError]) -> list[Done]:
    """The translations or scores, if all are there. Raises SomeTextsFailed, which has those that there are."""
    done = [outcome for outcome in outcomes if not isinstance(outcome, DragomanError)]
    if len(done) < len(outcomes):
        raise SomeTextsFailed(tuple(outcomes))
    return done


def single(outcomes: Sequence[Translation | DragomanError]) -> Translation:
    """The translation of the only text, or its error raised."""
    [only] = outcomes
    if isinstance(only, DragomanError):
        raise only
    return only


def batches(texts: Iterable[Item], size: int, max_bytes: int = BATCH_BYTES) -> Iterator[list[Item]]:
    """The texts, or pairs of them, in lists of at most `size` and `max_bytes` of UTF-8, and of one at least."""
    if size < 1:
        raise ValueError(f"batch_size is {size}, below 1")
    return _batches(iter(texts), size, max_bytes)


def _batches(texts: Iterator[Item], size: int, max_bytes: int) -> Iterator[list[Item]]:
    batch: list[Item] = []
    num_bytes = 0
    for text in texts:
        # What is no text or has no UTF-8 counts roughly: `request` refuses it.
        sides = text if isinstance(text, tuple) else (text,)
        text_bytes = sum(len(side.encode(errors="replace")) for side in sides if isinstance(side, str))
        if batch and num_bytes + text_bytes > max_bytes:
            yield batch
            batch, num_bytes = [], 0
        batch.append(text)
        num_bytes += text_bytes
        if len(batch) == size:
            yield batch
            batch, num_bytes = [], 0
    if batch:
        yield batch


def listed(texts: Sequence[Item]) -> Sequence[Item]:
    """The texts or pairs, if they are a list of something. Raises TypeError for what only looks like one."""
    if not isinstance(texts, Sequence) or isinstance(texts, bytes | bytearray):
        raise TypeError(f"texts must be a str or a list of str, not {type(texts).__name__}")
    return texts


def outcome(result: pb.TextResult) -> Translation | DragomanError:
    """What became of one text."""
    if result.HasField("status"):
        return _error(result.status)
    # A server that sends the best text alone is within the contract.
    best_alone = {} if result.hypotheses else {"hypotheses": (read(Hypothesis, result),)}
    return read(Translation, result, **best_alone)


def _score(result: pb.ScoreResult) -> Score | DragomanError:
    return _error(result.status) if result.HasField("status") else read(Score, result)


def _error(status: pb.TextStatus) -> DragomanError:
    return from_status(_CODES.get(status.code, "UNKNOWN"), status.message)


def model(message: pb.Model) -> Model:
    """A model's description."""
    return read(Model, message, defaults=_shortened(read(Options, message.defaults)))


def _home(message: pb.TranslateRequest, name: str) -> Message:
    """The message of the request that has this field."""
    homes: tuple[Message, ...] = (message, message.decoding, message.output)
    return next(home for home in homes if name in home.DESCRIPTOR.fields_by_name)


def _set(message: Message, name: str, value: Any, path: str) -> None:
    """Set a field to a user's value. Raises InvalidRequest naming `path` for what the field cannot hold."""
    enum = _enum(message.DESCRIPTOR.fields_by_name[name])
    if dataclasses.is_dataclass(value):
        inner = getattr(message, name)
        inner.SetInParent()
        _fill(inner, value, path)
        return
    if isinstance(value, tuple) and any(map(dataclasses.is_dataclass, value)):
        for index, item in enumerate(value):
            _fill(getattr(message, name).add(), item, f"{path}[{index}]")
        return
    try:
        if isinstance(value, tuple):
            getattr(message, name).extend(value if enum is None else [numbers(enum)[item.upper()] for item in value])
        elif enum is not None:
            setattr(message, name, numbers(enum)[value.upper()])
        else:
            setattr(message, name, value)
    except (TypeError, ValueError, KeyError) as error:
        raise InvalidRequest(f"{path}: {_why(enum, value, error)}") from error


def _fill(message: Message, value: Any, path: str) -> None:
    """Set the fields of a message to those of a user's value."""
    for part in dataclasses.fields(value):
        part_value = getattr(value, part.name)
        if part_value is not None:
            _set(message, part.name, part_value, f"{path}.{part.name}")


def _why(enum: EnumDescriptor | None, value: object, error: Exception) -> str:
    if enum is not None:
        known = (name.lower() for name in numbers(enum) if name != "UNSPECIFIED")
        return f"{value!r} is not one of {', '.join(known)}"
    if isinstance(error, UnicodeError):
        return "the text holds a lone surrogate, which UTF-8 cannot carry; decode it with errors='replace' first"
    return f"{value!r} does not fit: {error}"


def _enum(field: Any) -> EnumDescriptor | None:
    """A field's enum, if it has one. (The stubs know two kinds of descriptors; there is one at a time.)"""
    enum: EnumDescriptor | None = field.enum_type
    return enum


def _shortened(value: T) -> T:
    """A value whose 32-bit numbers, and those of the values in it, are the shortest decimals."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.replace(value, **{name: _shortened(inner) for name, inner in vars(value).items()})
    return _shortest(value) if isinstance(value, float) else value  # type: ignore[return-value]


def _shortest(value: float) -> float:
    """The shortest decimal that is the same 32-bit number: 0.6, not 0.6000000238418579."""
    if not math.isfinite(value):
        return value
    shown = (float(f"{value:.{digits}g}") for digits in range(6, 10))  # nine digits tell all of them apart
    return next(short for short in shown if struct.pack("f", short) == struct.pack("f", value))
