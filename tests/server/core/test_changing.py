"""Values that are like others but for some fields."""

from dataclasses import replace

from dragoman.bundle.manifest import Decoding
from dragoman.server.core.changing import changed
from dragoman.server.core.requests import Request
from dragoman.server.core.segments import Segment


def test_a_changed_value_is_what_replacing_fields_makes_of_it() -> None:
    """It is equal to it, of the same kind, and the first value stays as it was."""
    segment = Segment((1, 2), Decoding(), copies=(3,))

    made = changed(segment, ids=(4,), bulk=True)

    assert made == replace(segment, ids=(4,), bulk=True)
    assert type(made) is Segment
    assert segment == Segment((1, 2), Decoding(), copies=(3,))


def test_what_a_value_has_remembered_of_itself_goes_along() -> None:
    """So the kind of a request is worked out once for all that differ in their texts alone."""
    first = Request(("a",), seed=1)
    kind = first.kind

    second = first.of_texts(("b", "c"), ("", "x"), ("y", ""), seed=2, deadline_s=3.0)

    assert second.kind is kind
    assert second == replace(first, texts=("b", "c"), prefixes=("", "x"), contexts=("y", ""), seed=2, deadline_s=3.0)
