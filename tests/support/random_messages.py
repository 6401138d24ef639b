"""Messages of any kind, made from their descriptors: mostly sensible, so that they get beyond the first check."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from callers import SENTENCES
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import strategies as st

LARGEST = 2**32 - 1
MOST_FIELDS, MOST_ITEMS, DEEPEST = 4, 4, 3
COUNTS = (0, 1, 2, 3, 4, 5, 8, 16, 17, 32, 33, 150, 511, 512, 513, 1024, 2**31 - 1, 2**31, LARGEST)
REALS = (
    0.0,
    -0.0,
    0.1,
    0.5,
    1.0,
    2.0,
    10.0,
    100.0,
    101.0,
    1e-30,
    1e30,
    -1.0,
    float("inf"),
    float("-inf"),
    float("nan"),
)
WORDS = (
    "",
    " ",
    "\n",
    "House",
    "Nothing is cut.",
    *SENTENCES,
    "a" * 300,
    "." * 200,
    "</s>",
    ">>pt<<",
    "▁casa",
    "\0",
    "\ufeff",
)
WORDS += (
    "x\ny\r\nz\u2028w",
    "👩‍👩‍👧‍👦 é\u0301",
    "مرحبا بالعالم.",
    "日本語の文です。次の文です。",
    "https://example.org/?q=1#x",
    "<b>bold</b>",
)

REQUESTS = ("TranslateRequest", "ScoreRequest")
UNFINISHED = ("format", "terms", "cache", "model_version", "model")
"""Fields that are refused whatever stands in them, and would hide what comes behind; seldom set."""

NAMED: dict[str, st.SearchStrategy[Any]] = {
    "source_language": st.sampled_from(("", "en", "en", "en", "EN", "en-GB", "pt", "xx", "mul", "-")),
    "target_language": st.sampled_from(("", "pt", "pt", "pt", "pt-BR", "en", "zz", "pt_PT")),
    "model": st.sampled_from(("", "", "en-pt", "en-pt", "pt-en", "../en-pt", "model/en-pt")),
    "name": st.sampled_from(("", "en-pt", "none")),
    "profile": st.sampled_from(("", "marian", "fairseq", "hf", "ct2", "other")),
    "decoder": st.sampled_from(("", "ctc", "other")),
    "suppressed_tokens": st.sampled_from(("▁casa", "</s>", "<unk>", "▁a", "", "nothing")),
    "tokens": st.sampled_from(("▁House", "</s>", "<unk>", "▁", "")),
}
"""Values of fields by their names: what a model knows, and what it nearly knows."""


def text() -> st.SearchStrategy[str]:
    """Ordinary and extraordinary texts."""
    return st.one_of(
        st.sampled_from(WORDS), st.text(max_size=200), st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join)
    )


def scalar(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    """A value of a field that is no message."""
    if field.name in NAMED:
        return NAMED[field.name]
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_ENUM:
        return st.sampled_from([*(value.number for value in field.enum_type.values), 99])
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return st.booleans()
    if kind in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        return st.one_of(st.sampled_from(REALS), st.floats(width=32))
    if kind == FieldDescriptor.CPPTYPE_STRING:
        return text() if field.type == FieldDescriptor.TYPE_STRING else st.binary(max_size=50)
    lowest = 0 if kind in (FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64) else -(2**31)
    highest = LARGEST if lowest == 0 else 2**31 - 1
    return st.one_of(st.sampled_from([n for n in COUNTS if n <= highest]), st.integers(lowest, highest))


@st.composite
def messages(draw: Callable[[Any], Any], descriptor: Descriptor, parent: str = "", depth: int = 0) -> Message:
    """A message with some of its fields set; most requests begin with what would be answered."""
    message = message_factory.GetMessageClass(descriptor)()
    if descriptor.name in REQUESTS and draw(st.integers(0, 7)):
        message.source_language, message.target_language = "en", "pt"
        if descriptor.name == "ScoreRequest":
            message.pairs.add(source=draw(text()), target=draw(text()))
        elif parent != "TranslatePipeRequest":
            message.texts.add(text=draw(text()))
    if descriptor.name == "TranslatePipeRequest":
        message.settings.source_language, message.settings.target_language = "en", "pt"
        message.texts.add(text=draw(text()))
    fields = [field for field in descriptor.fields if depth < DEEPEST or field.message_type is None]
    if descriptor.name in REQUESTS and draw(st.integers(0, 7)):
        fields = [field for field in fields if field.name not in UNFINISHED]
    most = MOST_FIELDS if depth == 0 else MOST_FIELDS - 1
    chosen = draw(st.lists(st.sampled_from(fields), max_size=most, unique_by=lambda f: f.name)) if fields else []
    for field in chosen:
        fill(draw, message, field, depth)
    return message


def fill(draw: Callable[[Any], Any], message: Message, field: FieldDescriptor, depth: int) -> None:
    """Set one field."""
    if field.message_type is not None:
        inner = messages(field.message_type, message.DESCRIPTOR.name, depth + 1)
        if field.is_repeated:
            getattr(message, field.name).extend(draw(st.lists(inner, max_size=MOST_ITEMS)))
        else:
            getattr(message, field.name).CopyFrom(draw(inner))
    elif field.is_repeated:
        getattr(message, field.name).extend(draw(st.lists(scalar(field), max_size=MOST_ITEMS)))
    else:
        setattr(message, field.name, draw(scalar(field)))


@st.composite
def broken(draw: Callable[[Any], Any], descriptor: Descriptor) -> bytes:
    """A message's bytes with some of them changed, or no message's at all."""
    if draw(st.integers(0, 3)) == 0:
        return draw(st.binary(max_size=300))
    data = bytearray(draw(messages(descriptor)).SerializeToString())
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(("flip", "cut", "insert", "repeat"))):
            case "flip" if at < len(data):
                data[at] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del data[at:]
            case "insert":
                data[at:at] = draw(st.binary(max_size=10))
            case "repeat":
                data[at:at] = data[:at]
    return bytes(data[:1_000_000])


@st.composite
def frames(draw: Callable[[Any], Any]) -> bytes:
    """Frames of HTTP/2: kinds, flags, streams and lengths that may or may not fit together."""
    said = bytearray()
    for _ in range(draw(st.integers(1, 12))):
        kind = draw(st.integers(0, 12))
        payload = draw(st.binary(max_size=60))
        if kind == 1 and draw(st.booleans()):
            payload = HEADERS
        if kind == 8:
            payload = draw(st.sampled_from((b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\0\1\0\0", payload)))
        length = draw(st.sampled_from((len(payload), len(payload), len(payload), 0, 5, 2**24 - 1)))
        flags, stream = draw(st.integers(0, 255)), draw(st.sampled_from((0, 1, 1, 1, 2, 3, 5, 2**31 - 1, 2**32 - 1)))
        said += length.to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload
    return bytes(said)


def _headers() -> bytes:
    import hpack

    names = {":method": "POST", ":scheme": "http", ":path": "/dragoman.v1.TranslationService/Translate"}
    names |= {":authority": "localhost", "content-type": "application/grpc", "te": "trailers"}
    return bytes(hpack.Encoder().encode(list(names.items())))


HEADERS = _headers()
