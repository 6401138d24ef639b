"""Offsets in three units."""

import pytest

from dragoman.server.core.requests import OffsetUnit
from dragoman.server.core.spans import Span
from dragoman.server.text.offsets import Offsets

TEXTS = ["", "plain", "é", "a\U0001f469b", "\U0001f469\u200d\U0001f467\ufe0f", "日本\n", "e\u0301\uffff\U00010000"]
CODECS = {
    OffsetUnit.CODE_POINT: ("utf-32-le", 4),
    OffsetUnit.UTF8_BYTE: ("utf-8", 1),
    OffsetUnit.UTF16: ("utf-16-le", 2),
}


@pytest.mark.parametrize("unit", OffsetUnit)
@pytest.mark.parametrize("text", TEXTS)
def test_a_span_cuts_the_same_stretch_in_every_unit(text: str, unit: OffsetUnit) -> None:
    """Of the text as a program that counts in that unit holds it, for every stretch of it."""
    codec, size = CODECS[unit]
    data = text.encode(codec)
    offsets = Offsets(text, unit)

    for start in range(len(text) + 1):
        for end in range(start, len(text) + 1):
            first, last = offsets.of(Span(start, end))
            assert data[first * size : last * size].decode(codec) == text[start:end]
