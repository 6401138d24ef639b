"""What a bundle translates, and which pair a request's two tags mean.

A bundle lists its pairs, or, where it is multilingual, the languages of both sides: each source into each target but
itself. Tags are compared without regard to case, and a tag that is not there falls back to a shorter one: `pt-BR` to
`pt`. A source `mul` takes any language.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dragoman.bundle.manifest import LanguagePair, Manifest

ANY = "mul"
"""BCP 47's own tag for content in several languages."""
MOST_LISTED = 8


class Match(NamedTuple):
    """The pairs that fit two tags best."""

    closeness: int
    """How many subtags of the request they have; -1 where none fits."""
    pairs: tuple[LanguagePair, ...]
    """The pairs; only the first few where a tag was left open."""


@dataclass(frozen=True)
class Directions:
    """Sources and targets, in blocks within which every source is translated into every target but itself."""

    blocks: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]

    @classmethod
    def of(cls, manifest: Manifest) -> "Directions":
        """The manifest's pairs, each a block of its own, or all languages of its tokenizer."""
        if manifest.pairs:
            return cls(tuple(((pair.source,), (pair.target,)) for pair in manifest.pairs))
        languages = manifest.tokenizer
        return cls(((tuple(languages.source_languages), tuple(languages.target_languages)),))

    def __str__(self) -> str:
        return ", ".join(self.names)

    @property
    def names(self) -> tuple[str, ...]:
        """A name for each block, `en-pt` where it is a single pair."""
        return tuple(map(_shown, self.blocks))

    @property
    def first(self) -> LanguagePair:
        """The pair that stands for all of them, as in an example."""
        return self.closest("", "").pairs[0]

    def closest(self, source: str, target: str) -> Match:
        """The pairs that fit these tags best; an empty tag fits any."""
        fitting: dict[int, list[LanguagePair]] = {-1: []}
        for sources, targets in self.blocks:
            only_pair = len(sources) == len(targets) == 1
            both = itertools.product(_fitting(source, sources), _fitting(target, targets))
            for (near, first), (close, second) in both:
                if first != second or only_pair:
                    fitting.setdefault(near + close, []).append(LanguagePair(first, second))
        best = max(fitting)
        return Match(best, tuple(fitting[best]))


def _fitting(tag: str, served: Sequence[str]) -> list[tuple[int, str]]:
    """The served tags that fit, each with how many subtags of `tag` it has; the first few where `tag` is empty."""
    if not tag:
        return [(0, offered) for offered in served[:MOST_LISTED]]
    asked = tag.lower().split("-")
    split = ((offered, offered.lower().split("-")) for offered in served)
    fitting = [(len(parts), offered) for offered, parts in split if asked[: len(parts)] == parts]
    return fitting or [(0, tag) for offered in served if offered == ANY]


def _shown(block: tuple[tuple[str, ...], tuple[str, ...]]) -> str:
    sources, targets = block
    if len(sources) == len(targets) == 1:
        return f"{sources[0]}-{targets[0]}"
    return f"{_side(sources)} into {_side(targets)}"


def _side(tags: tuple[str, ...]) -> str:
    return "/".join(tags) if len(tags) <= MOST_LISTED else f"any of {len(tags)} languages"
