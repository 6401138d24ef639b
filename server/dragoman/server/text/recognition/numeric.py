"""Placeholders that a program puts a number in place of: `%d`, `{count}`, `{0:.2f}`, `%(max_length)s`.

In `100 messages` a model reads a plural, in `X1 messages` the messages of something. What a placeholder is called says
what it stands for, and these names are English in programs of any language.
"""

import functools
import re

_LONGEST = 64
"""Characters of a placeholder that may be one."""
_FLAGS = r"[-+ #0]*+[0-9]*+(?:\.[0-9]++)?+"
_PRINTF = re.compile(
    rf"%(?:\(\w++\)|[0-9]++\$)?+{_FLAGS}(?:hh?|ll?|[Lqjzt])?+[diufFeEgG](?:%%|[kKMGT]?i?B|px|ms|s|min|h|x)?"
)
"""With the unit that is glued to it."""
_BRACES = re.compile(rf"[%$#]?\{{+[\w.]*+\s*+(?::[<>=^,_]?{_FLAGS}[,_]?[bdeEfFgGnoxX%]|,\s*+number\b[^{{}}]*+)\}}+")
_NAME = r"[A-Za-z][\w.]*+"
_NAMED = re.compile(
    rf"%\({_NAME}\){_FLAGS}[A-Za-z]|[%$#]?\{{+\s*+{_NAME}\s*+(?:\|[^{{}}]*+)?+\}}+|\[+{_NAME}\]+|[:$]{_NAME}|%{_NAME}%"
)
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_COUNT = re.compile(
    r"age|amount|attempts|count|counter|days|hours|index|len|length|limit|max|maximum|min|minimum|minutes|months|n|nb|"
    r"nr|num|number|pages|percent|percentage|points|position|qty|quantity|rank|score|seconds|size|sum|times|total|"
    r"weeks|years"
)
"""What names of numbers end with."""
_FIRST = re.compile(r"count|limit|max|maximum|min|minimum|n|nb|num|number|total")
"""What they begin with, unless they end otherwise."""
_OTHERWISE = re.compile(r"code|date|email|id|label|link|name|path|text|time|title|type|unit|url|user")


def takes_number(placeholder: str) -> bool:
    """Whether a program puts a number there, as far as its looks tell."""
    return len(placeholder) <= _LONGEST and _takes_number(placeholder)


@functools.lru_cache(maxsize=1024)
def _takes_number(placeholder: str) -> bool:
    if _PRINTF.fullmatch(placeholder) or _BRACES.fullmatch(placeholder):
        return True
    if not _NAMED.fullmatch(placeholder):
        return False
    [name] = re.findall(_NAME, placeholder)[:1]
    words = [word.lower() for word in _WORD.findall(name)]
    return _is_number(words[0], words[-1])


def _is_number(first: str, last: str) -> bool:
    """By the first and the last word of a name."""
    if _COUNT.fullmatch(last):
        return True
    return _FIRST.fullmatch(first) is not None and not _OTHERWISE.fullmatch(last)
