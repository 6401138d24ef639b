"""Texts that forms are tried in."""

import pytest

from dragoman.export.core.errors import ExportError
from dragoman.export.probe.carriers import _CARRIERS, MOST, carriers_from, carriers_of, places


@pytest.mark.parametrize("language", _CARRIERS)
def test_the_texts_of_a_language_take_forms(language: str) -> None:
    """From one to three, numbered from 0, each once; and no text stands twice."""
    texts = carriers_of(language)

    assert 20 <= len(texts) == len({*texts}) <= MOST
    for text in texts:
        assert text.format("", "", "").count("{") == 0
        assert all(text.count(f"{{{number}}}") == (number < places(text)) for number in range(3))


def test_a_language_without_texts_gets_english_ones() -> None:
    """A region or script changes nothing."""
    assert carriers_of("pt-BR") == carriers_of("PT") != carriers_of("en")
    assert carriers_of("ja") == carriers_of("mul") == carriers_of("en")


def test_texts_of_a_user_become_carriers() -> None:
    """Forms take the place of words; what is short or has braces is left out."""
    texts = ["too short", "one two three four five", "  one two three four five, six  ", "a {b} c d e f"]

    assert carriers_from(texts) == ("one {0} three {1} five", "one two three {0} five, six")
    assert len(carriers_from(["a b c d"] * 100)) == MOST
    with pytest.raises(ExportError, match="none of the texts has 4 words"):
        carriers_from(["short"])
