"""Drafts from a text that is at hand: what follows in it where the translation so far is found again.

A draft costs nothing when it is wrong but the rows that verify it, which are computed in any case: so there always is a
guess where one can be made.
"""

from collections.abc import Sequence

LONGEST_MATCH = 3
"""Words of the translation's end that are looked for, at most."""


def follow(text: Sequence[int], prefix: Sequence[int], count: int) -> tuple[int, ...]:
    """What `text` says after the last words of `prefix`: up to `count` words.

    A text that the prefix follows from its beginning is read on. Otherwise the longest end of the prefix, of up to
    three words, that is found in the text decides; of several places, the nearest to where the prefix ends.
    """
    at = len(prefix)
    if list(text[:at]) == list(prefix):
        return tuple(text[at : at + count])
    for size in range(min(LONGEST_MATCH, at), 0, -1):
        end = list(prefix[at - size :])
        places = [i + size for i in range(len(text) - size + 1) if list(text[i : i + size]) == end]
        if places:
            start = min(places, key=lambda place: abs(place - at))
            return tuple(text[start : start + count])
    return ()


def copied(source: Sequence[int], prefix: Sequence[int], count: int) -> tuple[int, ...]:
    """As `follow`, of a source: it has another language's beginning, so that nothing is read before a word is found."""
    return follow(source, prefix, count) if prefix else ()
