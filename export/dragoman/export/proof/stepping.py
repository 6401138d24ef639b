"""A bundle's graphs, stepped through target words one by one: what a proof needs of decoding, and no more."""

from pathlib import Path

import numpy as np
import torch

from dragoman.bundle.graphs import DEPTH, EXTENDED, IDS, MASK, SELF, SLOT_DEPTH, SRC_MASK, STATE, STEP, signature
from dragoman.bundle.manifest import Architecture
from dragoman.export.graphs.arguments import example
from dragoman.export.graphs.running import Floats, Ints, encoded, packed, padded, run, session
from dragoman.export.network.network import MASKED


class Stepper:
    """One hypothesis of each source, whose next word the caller chooses."""

    def __init__(self, directory: Path, arch: Architecture, sources: list[list[int]], longest: int, top: int) -> None:
        ids, mask = padded(sources)
        given = packed(torch.from_numpy(ids), torch.from_numpy(mask))
        self._step = session(directory, STEP)
        sizes = {"G": len(sources), "S": ids.shape[1], "T": longest, "q": 1, "m": 1, "k": top}
        self._feed = {n: v.numpy() for n, v in example(signature(arch, STEP).inputs, sizes).items()}
        source = {name: value.numpy() for name, value in given.items()}
        self._feed |= encoded(directory, arch, source)
        self._feed[SRC_MASK] = mask
        if EXTENDED in self._feed:
            self._feed[EXTENDED] = ids
        self._kept = [n for n in self._feed if n.startswith((STATE, SELF))]
        self._depth = 0
        if MASK in self._feed:
            self._feed[MASK][..., :longest] = MASKED
        if SLOT_DEPTH in self._feed:
            self._feed[SLOT_DEPTH][:] = np.arange(longest)

    def read(self, words: Ints) -> tuple[Floats, Ints]:
        """Read one word a source [G]; log-probabilities and ids [G, k] of the best that may follow."""
        t = self._depth
        self._feed |= {IDS: words[:, None], DEPTH: np.full((len(words), 1), t)}
        logp, ids, *rest = run(self._step, None, self._feed)
        for name, new in zip(self._kept, rest[-len(self._kept) :], strict=True):
            if name.startswith(STATE):
                self._feed[name] = new[:, None]
            else:
                self._feed[name][:, :, t : t + 1] = new
        if MASK in self._feed:
            self._feed[MASK][..., t] = 0
        self._depth += 1
        return logp, ids
