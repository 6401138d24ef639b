"""Placeholders that take their values in order, such as `%s` and `{}`: exchanged, each would show the other's."""

import re

_ORDERED = re.compile(
    r"(?<!%)(?:%%)*%(?![A-Za-z_]\w++%)[-+ #0]*+(?:[0-9]++|\*)?+(?:\.(?:[0-9]++|\*)?+)?+"
    r"(?:hh?|ll?|[Lqjzt])?+[diouxXeEfFgGaAcsrp@]"
    r"|(?<!\{)\{(?:![a-z])?(?::[^{}]*+)?\}(?!\})"
)
"""Without a name, as `%name%` has one, and without a number."""


def takes_next(text: str) -> bool:
    """Whether a stretch of a program's text takes the next of its values."""
    return ("%" in text or "{" in text) and _ORDERED.search(text) is not None
