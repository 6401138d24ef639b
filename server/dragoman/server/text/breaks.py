"""White space within a segment that is more than a space, such as the ends of lines: models read and write spaces.

Each such run takes the place of a space of the translation, in order: where most of what the model attended to is on
the same side of both, or without attention at the same share of the text; and rather behind the mark that it stands
behind in the source. What finds no space stands at the end, so none is lost.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dragoman.server.core.spans import Span
from dragoman.server.core.translations import Alignment
from dragoman.server.text.spaces import LAYOUT
from dragoman.server.text.splitting import WIDE_CLAUSE_ENDS

_RUN = re.compile(r"\s+")
_GAP = re.compile(rf"\s+|(?<=[{''.join(sorted(WIDE_CLAUSE_ENDS))}])(?=\S)")
_MARK = 0.1
"""What it counts, beside all of the attention, that the same mark stands before two places."""
_NEAR = 0.05
"""What it counts at most, beside attention, that two places are at other shares of their texts."""
_NEAR_ALONE = 0.3
"""And without."""
_END = -1.0
"""What it counts that a run is at the end of the translation."""


class Break(NamedTuple):
    """A run of white space in a source."""

    at: Span
    written: str


def line_breaks(source: str, fixed: Sequence[Span] = ()) -> list[Break]:
    """The runs of a segment that are more than spaces, but within what is `fixed`, in stretches that are in order."""
    if source.isprintable():
        return []
    runs = (match for match in _RUN.finditer(source) if not LAYOUT.isdisjoint(match[0]))
    return [Break(Span(*match.span()), match[0]) for match in _apart(runs, fixed)]


def placed(
    breaks: Sequence[Break], source: str, target: str, links: Sequence[Alignment] = (), fixed: Sequence[Span] = ()
) -> list[tuple[Span, str]]:
    """Where in a translation the runs of its source are written, in order and not within what is `fixed` there. `links`
    are those between their words.
    """
    gaps = [Span(*match.span()) for match in _apart(_GAP.finditer(target), fixed)]
    gaps = [gap for gap in gaps if gap.start > 0 and gap.end < len(target)]
    gains = _gains(breaks, gaps, source, target, links)
    # As many places at the end as there are runs: each place takes one.
    gains = np.hstack((gains, np.full((len(breaks), len(breaks)), _END)))
    end = Span(len(target), len(target))
    chosen = ((gaps[place] if place < len(gaps) else end) for place in _in_order(gains))
    return [(gap, each.written) for gap, each in zip(chosen, breaks, strict=True)]


def _apart(matches: Iterable[re.Match[str]], fixed: Sequence[Span]) -> Iterator[re.Match[str]]:
    """Those of the matches, which are in order, that do not touch what is fixed from within."""
    number = 0
    for match in matches:
        start, end = match.span()
        while number < len(fixed) and fixed[number].end <= start:
            number += 1
        if number == len(fixed) or end <= fixed[number].start:
            yield match


def _gains(
    breaks: Sequence[Break], gaps: Sequence[Span], source: str, target: str, links: Sequence[Alignment]
) -> npt.NDArray[np.float64]:
    """What speaks for each break being at each gap."""
    ours = np.array([each.at.start for each in breaks], dtype=np.float64)
    theirs = np.array([gap.start for gap in gaps], dtype=np.float64)
    away = np.abs(ours[:, None] / max(1, len(source)) - theirs[None, :] / max(1, len(target)))
    before = [source[each.at.start - 1 : each.at.start] for each in breaks]
    marks = [target[gap.start - 1 : gap.start] for gap in gaps]
    same = np.array([[mark == other and not mark.isalnum() for other in marks] for mark in before], dtype=np.float64)
    gains: npt.NDArray[np.float64] = _MARK * same.reshape(away.shape)
    if not links:
        return gains - _NEAR_ALONE * away
    shares = np.zeros((len(breaks) + 1, len(gaps) + 1))
    rows = np.searchsorted(ours, [link.source.start for link in links], side="right")
    columns = np.searchsorted(theirs, [link.target.start for link in links], side="right")
    np.add.at(shares, (rows, columns), [link.weight for link in links])
    shares /= max(1e-9, shares.sum())
    before_both = shares.cumsum(axis=0).cumsum(axis=1)
    behind_both = shares[::-1, ::-1].cumsum(axis=0).cumsum(axis=1)[::-1, ::-1]
    gains += before_both[:-1, :-1] + behind_both[1:, 1:] - _NEAR * away
    return gains


def _in_order(gains: npt.NDArray[np.float64]) -> list[int]:
    """For each row the column, each further right than the one before, with which all of them gain the most."""
    rows, columns = gains.shape
    total = np.full((rows + 1, columns + 1), -np.inf)
    total[0, :] = 0.0
    for row in range(rows):
        total[row + 1, 1:] = np.maximum.accumulate(gains[row] + total[row, :-1])
    chosen, column = list[int](), columns
    for row in range(rows, 0, -1):
        while total[row, column - 1] == total[row, column] and column > 1:
            column -= 1
        column -= 1
        chosen.append(column)
    return chosen[::-1]
