"""What each word of a target vocabulary adds to a text, in bytes: found by asking the tokenizer, and checked by it.

A word is put between two others, and what it adds there is its bytes; what it adds at the beginning of a text may be
less (a space is left out). Where texts are put together otherwise, words have no bytes of their own.
"""

import random
from collections.abc import Generator, Sequence
from dataclasses import dataclass

from dragoman.server.text.tokenizer import Tokenizer

TRIALS, TRIAL_WORDS = 300, 12
LEAST = 0.9
"""Of the words, so many must have bytes."""
BROKEN = "\ufffd"


@dataclass(frozen=True)
class WordBytes:
    """By id. Empty: a word that no grammar may ask for, such as the end."""

    words: tuple[bytes, ...]
    first: tuple[bytes, ...]
    """At the beginning of a text."""
    blanks: tuple[int, ...]
    """Words that add nothing at the beginning of a text, and a space elsewhere."""
    strips: bool
    """Whether white space at the end of a text is left out."""


def word_bytes(tokenizer: Tokenizer, size: int) -> Generator[None, None, WordBytes | None]:
    """The bytes of all words, of which there are `size`; None where they have none. Yields after each."""
    ids = [index for index in range(size) if tokenizer.is_word(index)]
    words, first, blanks = [b""] * size, [b""] * size, list[int]()
    whole = []
    for index in ids:
        raw = tokenizer.raw_bytes(index)
        words[index] = first[index] = raw or b""
        whole += [index] if raw is None else []
    anchor = _anchor(tokenizer, whole)
    if anchor is None and whole:
        return None
    beside = [] if anchor is None else [anchor]
    before = tokenizer.decode(beside)
    behind = tokenizer.decode([*beside, *beside])[len(before) :]
    for index in whole:
        yield
        between, leading = tokenizer.decode([*beside, index, *beside]), tokenizer.decode([index, *beside])
        if not (between.startswith(before) and between.endswith(behind) and leading.endswith(behind)):
            continue
        text = between[len(before) : len(between) - len(behind)]
        opening = leading[: len(leading) - len(behind)]
        if BROKEN in text or len(between) < len(before) + len(behind):
            continue
        words[index], first[index] = text.encode(), opening.encode()
        if not opening and text.isspace():
            blanks.append(index)
    if sum(bool(words[index]) for index in whole) < LEAST * len(whole):
        return None
    return (yield from _checked(tokenizer, words, first, blanks))


def _anchor(tokenizer: Tokenizer, ids: Sequence[int]) -> int | None:
    """A word of letters, one that stands without a space if there is any."""
    spaced = None
    for index in ids:
        text = tokenizer.decode([index])
        if text.isascii() and text.isalpha():
            double = tokenizer.decode([index, index])
            if double == text * 2:
                return index
            if double == f"{text} {text}" and spaced is None:
                spaced = index
    return spaced


def _checked(
    tokenizer: Tokenizer, words: Sequence[bytes], first: Sequence[bytes], blanks: Sequence[int]
) -> Generator[None, None, WordBytes | None]:
    """The bytes, if random texts are what they say."""
    rng, strips = random.Random(0), False  # noqa: S311 - nothing is kept secret by it
    known = [index for index, text in enumerate(words) if text and tokenizer.raw_bytes(index) is None]
    opening = [index for index in known if first[index]]
    if not opening:
        known = [index for index, text in enumerate(words) if text.isascii() and text]
        opening = known
    for _ in range(TRIALS if opening else 0):
        yield
        ids = [rng.choice(opening), *rng.choices(known, k=TRIAL_WORDS)]
        said = (first[ids[0]] + b"".join(words[index] for index in ids[1:])).decode("utf-8", "replace")
        heard = tokenizer.decode(ids)
        if said != heard and said.rstrip() == heard:
            strips = True
        elif said != heard:
            return None
    return WordBytes(tuple(words), tuple(first), tuple(blanks), strips) if opening else None
