"""What a student is trained on: pairs of ids, and what the frozen teacher computed for them, mapped from files.

A corpus lies in a folder as flat arrays: ids of all sources one after the other, those of all targets, where each
begins, and one row of float16 numbers for each id: what the encoder made of a source's, what the teacher's decoder,
forced along the target, would have given to the output layer for a target's.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dragoman.export.distill.work_folder import write_whole

Ints = npt.NDArray[np.int64]
Halves = npt.NDArray[np.float16]
IDS_FILE, ENCODED_FILE, DECODED_FILE = "ids.npz", "encoded.f16", "decoded.f16"
CALIBRATED_ON = 100
POOL_BATCHES = 64
"""Pairs of so many batches are sorted by length together: little padding, and other batches in each epoch."""


@dataclass(frozen=True)
class Ragged:
    """Rows of several sequences, one after the other."""

    ids: npt.NDArray[np.int32]
    offsets: Ints
    """[sequences + 1]: sequence n owns rows `offsets[n]` to `offsets[n + 1]`."""

    @classmethod
    def of(cls, sequences: Sequence[Sequence[int]]) -> "Ragged":
        """The rows of some lists."""
        offsets = np.cumsum([0, *map(len, sequences)], dtype=np.int64)
        flat = np.fromiter((index for sequence in sequences for index in sequence), np.int32, count=int(offsets[-1]))
        return cls(flat, offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Ints:
        """How many rows each sequence has."""
        return np.diff(self.offsets)

    def of_row(self, index: int) -> slice:
        """The rows of one sequence."""
        return slice(int(self.offsets[index]), int(self.offsets[index + 1]))


@dataclass(frozen=True)
class Corpus:
    """Pairs, and what the teacher made of them."""

    sources: Ragged
    targets: Ragged
    encoded: Halves
    """[source ids, d]"""
    decoded: Halves
    """[target ids, d]"""
    used: int
    """How many pairs, from the first on, are learnt from; the others are held out."""

    def __len__(self) -> int:
        return self.used

    @property
    def lengths(self) -> Ints:
        """How long the longer side of each pair is, of those that are learnt from."""
        longer: Ints = np.maximum(self.sources.lengths, self.targets.lengths)[: self.used]
        return longer


@dataclass(frozen=True)
class Batch:
    """Some pairs, padded on the right."""

    sources: Ints
    """[G, S]"""
    source_lengths: Ints
    """[G]"""
    targets: Ints
    """[G, T]: each ends with the end token."""
    target_lengths: Ints
    """[G]"""
    encoded: Halves
    """[G, S, d]"""
    decoded: Halves
    """[G, T, d]"""


def calibration_sources(corpus: Corpus) -> list[list[int]]:
    """Sources from all over the corpus, to measure int8 scales on."""
    chosen = np.linspace(0, len(corpus) - 1, min(CALIBRATED_ON, len(corpus))).astype(int)
    return [corpus.sources.ids[corpus.sources.of_row(n)].tolist() for n in chosen.tolist()]


def write_ids(directory: Path, sources: Ragged, targets: Ragged) -> None:
    """Write the ids; what the teacher makes of them comes after."""
    content = io.BytesIO()
    np.savez(
        content,
        source_ids=sources.ids,
        source_offsets=sources.offsets,
        target_ids=targets.ids,
        target_offsets=targets.offsets,
    )
    write_whole(directory / IDS_FILE, content.getvalue())


def read_ids(directory: Path) -> tuple[Ragged, Ragged]:
    """The ids of all sources and of all targets."""
    with np.load(directory / IDS_FILE) as arrays:
        return (
            Ragged(arrays["source_ids"], arrays["source_offsets"]),
            Ragged(arrays["target_ids"], arrays["target_offsets"]),
        )


def open_corpus(directory: Path, encoder_width: int, width: int) -> Corpus:
    """A corpus whose files are complete; the encoder's rows may be of another width than the decoder's."""
    sources, targets = read_ids(directory)
    encoded = np.memmap(directory / ENCODED_FILE, np.float16, "r", shape=(len(sources.ids), encoder_width))
    decoded = np.memmap(directory / DECODED_FILE, np.float16, "r", shape=(len(targets.ids), width))
    return Corpus(sources, targets, encoded, decoded, used=len(sources))


def batches_of(lengths: Ints, most: int, seed: tuple[int, int]) -> list[Ints]:
    """One epoch: every pair once, in batches of at most `most` padded places, of similar lengths, in random order."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(lengths))
    pool = max(1, POOL_BATCHES * most * len(lengths) // max(1, int(lengths.sum())))
    batches: list[Ints] = []
    for start in range(0, len(order), pool):
        chosen = order[start : start + pool]
        batches += _cut(chosen[np.argsort(lengths[chosen], kind="stable")], lengths, most)
    return [batches[index] for index in random.permutation(len(batches))]


def _cut(ordered: Ints, lengths: Ints, most: int) -> Iterator[Ints]:
    """Pairs in the order of their lengths, cut into batches."""
    start = 0
    for end in range(1, len(ordered) + 1):
        longest = lengths[ordered[min(end, len(ordered) - 1)]]
        if end == len(ordered) or (end + 1 - start) * longest > most:
            yield ordered[start:end]
            start = end


def collate(corpus: Corpus, chosen: Ints) -> Batch:
    """The chosen pairs as padded arrays."""
    sources, source_lengths, encoded = _padded(corpus.sources, corpus.encoded, chosen)
    targets, target_lengths, decoded = _padded(corpus.targets, corpus.decoded, chosen)
    return Batch(sources, source_lengths, targets, target_lengths, encoded, decoded)


def pad(side: Ragged, chosen: Ints) -> tuple[Ints, Ints]:
    """Ids of the chosen sequences [G, T], and their lengths."""
    lengths = side.lengths[chosen]
    ids = np.zeros((len(chosen), int(lengths.max())), np.int64)
    for g, index in enumerate(chosen):
        ids[g, : lengths[g]] = side.ids[side.of_row(int(index))]
    return ids, lengths


def _padded(side: Ragged, rows: Halves, chosen: Ints) -> tuple[Ints, Ints, Halves]:
    ids, lengths = pad(side, chosen)
    states = np.zeros((*ids.shape, rows.shape[1]), np.float16)
    for g, index in enumerate(chosen):
        states[g, : lengths[g]] = rows[side.of_row(int(index))]
    return ids, lengths, states
