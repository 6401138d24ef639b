"""Labels as a tree of their tokens: what may follow when a translation is to be one of them, or several, none twice.

A place in the tree knows the labels below it, so nothing leads to where only labels are that were said already, and
whatever is allowed can be ended.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from dragoman.server.core.phrasing import Allowed

Ids = tuple[int, ...]
MANY = 1 << 30
"""Of words that may not follow, there are always more than of those that may."""


class _Place(NamedTuple):
    """A place in the tree."""

    below: dict[int, "_Place"]
    labels: set[int]
    """Those that this place leads to, its own among them."""
    ends: list[int]
    """The label that is complete here, if there is one."""


class _State(NamedTuple):
    """One way to read what was said."""

    said: frozenset[int]
    place: _Place
    between: int
    """How many tokens of a separator were said; 0 within a label."""


@dataclass(frozen=True)
class LabelTree:
    """Up to `most` of the labels, with a separator between them, then the end."""

    labels: tuple[Ids, ...]
    separator: Ids
    most: int
    eos_id: int
    _root: _Place = field(init=False, repr=False, compare=False)
    _known: dict[Ids, list[_State]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        root = _Place({}, set(), [])
        for number, ids in enumerate(self.labels):
            place = root
            place.labels.add(number)
            for index in ids:
                place = place.below.setdefault(index, _Place({}, set(), []))
                place.labels.add(number)
            place.ends.append(number)
        object.__setattr__(self, "_root", root)
        object.__setattr__(self, "_known", {(): [_State(frozenset(), root, 0)]})

    @property
    def longest(self) -> int:
        """Tokens of the longest translation there can be, its end included."""
        lengths = sorted(map(len, self.labels), reverse=True)[: self.most]
        return sum(lengths) + len(self.separator) * (len(lengths) - 1) + 1

    def walk(self) -> "LabelWalk":
        """A way from the beginning."""
        return LabelWalk(self)

    def allowed(self, tokens: Sequence[int]) -> set[int]:
        """What may follow; nothing where the tokens are no beginning of labels."""
        return {index for state in self._states(tuple(tokens)) for index, _ in self._steps(state)}

    def _states(self, tokens: Ids) -> list[_State]:
        known = self._known.get(tokens)
        if known is None:
            before = self._states(tokens[:-1])
            known = [after for state in before for index, after in self._steps(state) if index == tokens[-1] and after]
            self._known[tokens] = known
        return known

    def _steps(self, state: _State) -> Iterator[tuple[int, _State | None]]:
        """Each token that may follow, and what it leads to: to nothing behind the end."""
        said, place, between = state
        if between:
            yield self._separated(said, between)
            return
        for index, below in place.below.items():
            if not below.labels <= said:
                yield index, _State(said, below, 0)
        complete = said.union(place.ends)
        if len(complete) > len(said):
            yield self.eos_id, None
            if len(complete) < min(self.most, len(self.labels)):
                yield self._separated(complete, 0)

    def _separated(self, said: frozenset[int], between: int) -> tuple[int, _State]:
        reached = between + 1
        after = _State(said, self._root, 0 if reached == len(self.separator) else reached)
        return self.separator[between], after


class LabelWalk:
    """The way of one search through a tree, which looks up what it is asked."""

    def __init__(self, tree: LabelTree) -> None:
        self._tree = tree

    def expect(self, beginnings: Sequence[Sequence[int]], left: int) -> None:
        """Nothing has to be prepared."""

    def allowed(self, said: Sequence[int]) -> Allowed:
        """What may follow."""
        return Allowed(np.array(sorted(self._tree.allowed(said)), np.int64), MANY)

    def fitting(self, said: Sequence[int], words: Sequence[int]) -> set[int]:  # noqa: ARG002
        """All of the words: there is room for the longest of the translations."""
        return set(words)
