"""Long texts in pieces: as large as travels well, and cut where nothing is in the middle of something."""

from collections.abc import Iterable, Iterator

from dragoman.client import codec

SIZE = codec.BATCH_BYTES
"""Characters of a piece at most, where there are places to cut."""


def pieces(cuts: Iterable[int], length: int, size: int = SIZE) -> Iterator[tuple[int, int]]:
    """Stretches from 0 to `length` that begin at cuts, which are in order; none is longer than it has to be."""
    start = last = 0
    for cut in (*cuts, length):
        if cut - start > size and last > start:
            yield start, last
            start = last
        last = cut
    if last > start:
        yield start, last
