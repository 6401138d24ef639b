"""What each id adds to a text, for vocabularies that only tell what several ids together are."""

from collections.abc import Callable, Sequence


def surfaces_of(decode: Callable[[Sequence[int]], str], ids: Sequence[int]) -> list[str]:
    """The text of `ids`, cut: each id has what its text and that of all before it agree upon with the whole.

    What an id changes in what stands before it (a half character becomes whole, a space goes) is its own.
    """
    whole, reached = decode(ids), 0
    parts: list[str] = []
    for number in range(1, len(ids) + 1):
        so_far = decode(ids[:number]) if number < len(ids) else whole
        pairs = enumerate(zip(so_far, whole, strict=False))
        agreed = next((position for position, (a, b) in pairs if a != b), min(len(so_far), len(whole)))
        parts.append(whole[reached : max(reached, agreed)])
        reached = max(reached, agreed)
    return parts
