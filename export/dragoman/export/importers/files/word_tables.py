"""A `tokenizer.json` of a table of words, for models whose dictionaries have whole words or characters."""

import json
import re
from collections.abc import Iterable
from typing import Any, Literal

Cut = Literal["spaces", "characters"]
"""Where words end: at white space, or each character is one."""
SPACE = " "
SPACES = (SPACE, "\u2581", "|", "<space>", "_")
"""What models of characters write for a space, the surest first."""


def space_of(words: Iterable[str], cut: Cut) -> str | None:
    """The word of a table that stands for white space; None where there is none, or words end there."""
    listed = {*words}
    return next((sign for sign in SPACES if sign in listed), None) if cut == "characters" else None


def word_table(
    ids: dict[str, int], unknown: str, cut: Cut, *, space: str | None = None, normalizers: Iterable[dict[str, Any]] = ()
) -> bytes:
    """The file. What `ids` lacks is `unknown`, which it has; of characters, `space` is what stands for white space,
    which is left out where that is None. The file calls it a space, whatever it is: a sign may be several characters.
    """
    steps = list(normalizers)
    decoders: list[dict[str, Any]] = []
    if cut == "characters":
        steps.append(replaced(r"\s+", "" if space is None else SPACE))
        if space is not None and len(space) == 1:  # a text that has the sign itself has that word
            steps.append(replaced(re.escape(space), SPACE))
        ids = {SPACE if word == space else word: index for word, index in ids.items()}
        before: dict[str, Any] = {"type": "Split", "pattern": {"Regex": "."}, "behavior": "Isolated", "invert": False}
        decoders.append({"type": "Fuse"})
    else:
        before = {"type": "WhitespaceSplit"}
    document: dict[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": {"type": "Sequence", "normalizers": steps} if steps else None,
        "pre_tokenizer": before,
        "post_processor": None,
        "decoder": {"type": "Sequence", "decoders": decoders} if decoders else None,
        "model": {"type": "WordLevel", "vocab": ids, "unk_token": unknown},
    }
    return json.dumps(document, ensure_ascii=False).encode()


def replaced(pattern: str, content: str) -> dict[str, Any]:
    """A normaliser that puts `content` in the place of what a regular expression finds."""
    return {"type": "Replace", "pattern": {"Regex": pattern}, "content": content}


def words_but(words: Iterable[str]) -> str:
    """A regular expression that finds words between spaces which are none of these."""
    known = "|".join(re.escape(word) for word in sorted(words))
    return rf"(?<!\S)(?!(?:{known})(?!\S))\S+"


def characters_but(characters: Iterable[str]) -> str:
    """A regular expression that finds characters which are none of these."""
    return f"[^{''.join(re.escape(each) for each in sorted(characters))}]"
