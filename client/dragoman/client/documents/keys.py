"""Which strings of a tree of values are translated, by the paths of their keys."""

import re
from collections.abc import Callable, Sequence

Path = tuple[str, ...]


def chosen(patterns: Sequence[str]) -> Callable[[Path], bool]:
    """Whether the string at a path is translated.

    A pattern names a string, or something that it lies in, by keys with dots between them: `menu.*.title`. `*` is any
    part of one key, `**` any number of keys, a number an item of a list. A pattern without a dot matches at any depth.
    One with `!` before it excludes; without any other, all that is not excluded is translated.
    """
    including = [_matcher(pattern) for pattern in patterns if not pattern.startswith("!")]
    excluding = [_matcher(pattern[1:]) for pattern in patterns if pattern.startswith("!")]

    def is_chosen(path: Path) -> bool:
        name = ".".join(path)
        included = not including or any(pattern.match(name) for pattern in including)
        return included and not any(pattern.match(name) for pattern in excluding)

    return is_chosen


def _matcher(pattern: str) -> re.Pattern[str]:
    parts = {"**": ".*", "*": r"[^.]*", "?": r"[^.]"}
    body = "".join(parts.get(part, re.escape(part)) for part in re.split(r"(\*\*|\*|\?)", pattern))
    anywhere = "" if "." in pattern else r"(?:.*\.)?"
    return re.compile(rf"{anywhere}(?:{body})(?:\..*)?\Z", re.DOTALL)
