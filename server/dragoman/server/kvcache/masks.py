"""What nodes see, as the number that attention adds to a score."""

import numpy as np

from dragoman.server.decode.arrays import Bools, Floats32
from dragoman.server.runtime.padding import MASKED


def opening(read: Bools, among: Bools) -> Floats32:
    """The mask [G, 1, q, T + w] that opens to each of q nodes what of T slots they have `read` [G, 1 or q, T], and of
    the w nodes of the run those that it sees `among` them [q, w].

    It is made at every step; filled in place it takes a third of the time that putting parts together takes.
    """
    sources, _, slots = read.shape
    mask = np.full((sources, 1, len(among), slots + among.shape[1]), MASKED)
    np.copyto(mask[:, 0, :, :slots], 0, where=read)
    np.copyto(mask[:, 0, :, slots:], 0, where=among)
    return mask
