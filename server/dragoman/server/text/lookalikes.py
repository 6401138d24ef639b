"""Typographic signs that a vocabulary lacks, and the plain ones that its model reads in their place; also what ends
lines, as it is dropped as a control character otherwise: one word would be made of two.
"""

from collections.abc import Callable

_GROUPS = {
    "'": "\u2018\u2019\u201a\u201b\u2032\u2039\u203a\u02bc\u00b4",
    '"': "\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb",
    "-": "\u2010\u2011\u2012\u2013\u2014\u2015\u2212",
}
"""By the plain sign, what is written for it."""
_LINE_ENDS = "\v\f\x1c\x1d\x1e\x85\u2028\u2029"


def lookalikes(reads: Callable[[str], bool]) -> dict[int, str]:
    """What to read signs as that `reads` says cannot be read: a table for `str.translate`, character for character."""
    pairs = ((sign, plain) for plain, signs in _GROUPS.items() if reads(plain) for sign in signs)
    signs = {ord(sign): plain for sign, plain in pairs if not reads(sign)}
    return signs | {ord(end): " " for end in _LINE_ENDS}
