"""Integer products that are exact on every processor.

Activations are unsigned and weights signed, as processors have instructions for that add up four products at a time
(VNNI, AMX, Arm's dot products). An x86 processor without them adds up two products in 16 bits, where the sum of two
large ones has no room and is cut off: what a graph says then is not what its model says. Exact there, and a sixth
slower, are products of which both sides are unsigned, so right sides are turned over as the graph is loaded. ONNX
Runtime has an option for it (`session.x64quantprecision`); it does not reach what is within loops, nor right sides that
are computed, and does the same on processors that lack nothing.
"""

from collections.abc import Iterator

from dragoman.bundle.protobuf import Field, field, fields

PRODUCT = (
    b'\x08\x08:=\n\x18\n\x01a\n\x01b\x12\x01y"\rMatMulInteger\x12\x00Z\t\n\x01a\x12\x04\n\x02\x08\x02'
    b"Z\t\n\x01b\x12\x04\n\x02\x08\x03b\t\n\x01y\x12\x04\n\x02\x08\x06B\x04\n\x00\x10\r"
)
"""A graph: the product y of an unsigned matrix a and a signed one b."""

# Numbers of fields in onnx.proto, and ONNX's numbers of types.
GRAPH = 7
NODE, INITIALIZER = 1, 5
INPUT, OUTPUT, OP_TYPE, ATTRIBUTE = 1, 2, 4, 5
ATTRIBUTE_NAME, INTEGER, SUBGRAPH, SUBGRAPHS, ATTRIBUTE_TYPE = 1, 3, 6, 11, 20
DATA_TYPE, INTEGERS, TENSOR_NAME = 2, 5, 8
UINT8 = INT = 2

OP = b"MatMulIntegerToFloat"
RIGHT, RIGHT_ZERO = 1, 5
"""Places of its inputs."""
ZERO = b"unsigned.zero"
"""The name of 128, by which signed numbers are less than unsigned ones."""


def with_unsigned_sides(model: bytes) -> bytes:
    """The graph, in which right sides of products that are signed are unsigned. It must have no zero points for them,
    as symmetric weights have none.
    """
    parts = list(fields(memoryview(model)))
    rights = {name for each in parts if each.number == GRAPH for name in _rights(each.value)}
    if not rights:
        return model
    zero = field(INITIALIZER, field(DATA_TYPE, UINT8) + field(INTEGERS, 128) + field(TENSOR_NAME, ZERO))
    return b"".join(
        field(GRAPH, zero + _turned(each.value, rights)) if each.number == GRAPH else each.raw for each in parts
    )


def _rights(graph: memoryview) -> Iterator[bytes]:
    """Names of the right sides of products in a graph, and in graphs within its nodes."""
    for node in (list(fields(each.value)) for each in fields(graph) if each.number == NODE):
        if _texts(node, OP_TYPE) == [OP]:
            yield _texts(node, INPUT)[RIGHT]
        for attribute in (each for each in node if each.number == ATTRIBUTE):
            for part in fields(attribute.value):
                if part.number in (SUBGRAPH, SUBGRAPHS):
                    yield from _rights(part.value)


def _turned(graph: memoryview, rights: set[bytes]) -> bytes:
    """The graph with each right side turned over where it is made, once for all products."""
    parts = list(fields(graph))
    names = [_texts(list(fields(each.value)), TENSOR_NAME) for each in parts if each.number == INITIALIZER]
    first = [turn for [name] in names if name in rights for turn in _turn(name)]
    return b"".join([*first, *(written for each in parts for written in _written(each, rights))])


def _written(part: Field, rights: set[bytes]) -> Iterator[bytes | memoryview]:
    """A part of a graph, and what follows it."""
    if part.number != NODE:
        yield part.raw
        return
    node = list(fields(part.value))
    inputs = _texts(node, INPUT)
    if _texts(node, OP_TYPE) == [OP]:
        assert not any(inputs[RIGHT_ZERO : RIGHT_ZERO + 1]), "symmetric weights have no zero point"
        inputs[RIGHT] += b".unsigned"
        inputs[RIGHT_ZERO : RIGHT_ZERO + 1] = [ZERO]
    yield field(NODE, b"".join([*(field(INPUT, name) for name in inputs), *(_inner(each, rights) for each in node)]))
    yield from (turn for name in _texts(node, OUTPUT) if name in rights for turn in _turn(name))


def _inner(part: Field, rights: set[bytes]) -> bytes | memoryview:
    """What a node has besides its inputs."""
    if part.number == INPUT:
        return b""
    if part.number != ATTRIBUTE:
        return part.raw
    return field(
        ATTRIBUTE,
        b"".join(
            field(each.number, _turned(each.value, rights)) if each.number in (SUBGRAPH, SUBGRAPHS) else each.raw
            for each in fields(part.value)
        ),
    )


def _turn(name: bytes) -> Iterator[bytes]:
    """Nodes that make unsigned numbers of signed ones; of constants, ONNX Runtime runs them as it loads the graph."""
    to = field(ATTRIBUTE_NAME, b"to") + field(INTEGER, UINT8) + field(ATTRIBUTE_TYPE, INT)
    yield _node(b"Cast", [name], name + b".cast", field(ATTRIBUTE, to))
    yield _node(b"BitwiseXor", [name + b".cast", ZERO], name + b".unsigned")


def _node(op: bytes, inputs: list[bytes], output: bytes, rest: bytes = b"") -> bytes:
    named = b"".join(field(INPUT, name) for name in inputs)
    return field(NODE, named + field(OUTPUT, output) + field(OP_TYPE, op) + rest)


def _texts(parts: list[Field], number: int) -> list[bytes]:
    return [bytes(part.value) for part in parts if part.number == number]
