"""Fields of messages, beside protobuf's own package."""

from onnx import AttributeProto, NodeProto, helper

from dragoman.bundle.protobuf import field, fields

NUMBERS = (0, 1, 127, 128, 300, 2**31, 2**63 - 1)


def test_fields_are_what_the_package_writes() -> None:
    """Each has its number and what it holds, and a message is its fields one after the other."""
    node = helper.make_node("Op", ["a", "", "ß" * 200], ["y"], epsilon=0.5, axes=[1, 2], to=3)
    written = node.SerializeToString()

    found = list(fields(memoryview(written)))

    assert b"".join(each.raw for each in found) == written
    assert [bytes(each.value).decode() for each in found if each.number == 1] == list(node.input)
    attributes = [AttributeProto.FromString(each.value) for each in found if each.number == 5]
    assert attributes == list(node.attribute)


def test_numbers_of_fixed_width_are_kept_unread() -> None:
    """As an attribute's floating-point number is."""
    written = helper.make_attribute("epsilon", 0.5).SerializeToString()

    found = list(fields(memoryview(written)))

    assert b"".join(each.raw for each in found) == written
    assert [each.value for each in found if each.number == 2] == [None]


def test_a_field_is_written_as_the_package_writes_it() -> None:
    """Numbers of any size, and texts of any length."""
    for number in NUMBERS:
        assert AttributeProto.FromString(field(3, number)).i == number
    for length in NUMBERS[:5]:
        assert NodeProto.FromString(field(1, b"x" * length)).input == ["x" * length]
