"""Typographic signs that a vocabulary lacks."""

from dragoman.server.text.lookalikes import lookalikes


def test_a_sign_is_read_as_the_plain_one() -> None:
    """Only where the vocabulary lacks it and has the plain one; nothing becomes longer. What ends a line is a space."""
    table = lookalikes(lambda char: char in '"-\u2014x')

    assert "\u201cx\u201d \u2013 \u2014 \u2019".translate(table) == '"x" - \u2014 \u2019'
    assert "a\vb\u2028c\n".translate(table) == "a b c\n"
    assert all(len(plain) == 1 for plain in table.values())
