"""What the frozen teacher makes of a corpus, computed once and kept in files; picked up where it was stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dragoman.export.distill.corpus import DECODED_FILE, ENCODED_FILE, Ints, Ragged, read_ids
from dragoman.export.network import MASKED, Network

CHUNK = 4096
"""Pairs that are computed between two marks of how far it is."""
MOST_PLACES = 4096
DONE_FILE = "states.done"
Note = Callable[[int, int], None]


def source_mask(lengths: Tensor, longest: int) -> Tensor:
    """[G, 1, 1, S]: padding is masked."""
    padding = torch.arange(longest, device=lengths.device) >= lengths.unsqueeze(-1)
    return padding[:, None, None].float() * MASKED


def compute_states(teacher: Network, start_id: int, directory: Path, note: Note) -> None:
    """Fill the corpus's two files of rows."""
    sources, targets = read_ids(directory)
    width, mark = teacher.arch.d_model, directory / DONE_FILE
    done = int(mark.read_text()) if mark.exists() else 0
    encoded = _rows(directory / ENCODED_FILE, len(sources.ids), width)
    decoded = _rows(directory / DECODED_FILE, len(targets.ids), width)
    while done < len(sources):
        end = min(done + CHUNK, len(sources))
        for chosen in _by_length(sources.lengths, done, end):
            hidden, kept = forced(teacher, start_id, sources, targets, chosen)
            for index, own_hidden, own_kept in zip(chosen, hidden, kept, strict=True):
                encoded[sources.of_row(int(index))] = own_hidden
                decoded[targets.of_row(int(index))] = own_kept
        encoded.flush()
        decoded.flush()
        done = end
        part = mark.with_suffix(".part")
        part.write_text(str(done))
        part.replace(mark)
        note(done, len(sources))


def _rows(path: Path, count: int, width: int) -> np.memmap[tuple[int, int], np.dtype[np.float16]]:
    size = count * width * 2
    if not path.exists() or path.stat().st_size != size:
        with path.open("wb") as file:
            file.truncate(size)
    return np.memmap(path, np.float16, "r+", shape=(count, width))


def _by_length(lengths: Ints, start: int, end: int) -> Iterator[Ints]:
    order = start + np.argsort(lengths[start:end], kind="stable")
    while len(order):
        count = max(1, MOST_PLACES // int(lengths[order[0]]))
        while count > 1 and count * int(lengths[order[min(count, len(order)) - 1]]) > MOST_PLACES:
            count -= 1
        yield order[:count]
        order = order[count:]


@torch.inference_mode()
def forced(
    teacher: Network, start_id: int, sources: Ragged, targets: Ragged, chosen: Ints
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Rows of the encoder, and of the decoder that reads each target, for some pairs."""
    device = teacher.source_embedding.device
    source = _pad(sources, chosen).to(device)
    target = _pad(targets, chosen).to(device)
    source_lengths = torch.from_numpy(sources.lengths[chosen]).to(device)
    target_lengths = torch.from_numpy(targets.lengths[chosen])
    mask = source_mask(source_lengths, source.shape[1])
    is_word = (mask[:, 0, 0] == 0).flatten()
    rows = is_word.nonzero().flatten()
    places = (is_word.cumsum(0) - 1).clamp(min=0).reshape(source.shape)
    depth = torch.arange(source.shape[1], device=device).expand_as(source).flatten()[rows]
    hidden = teacher.encode(source.flatten()[rows], depth, rows, places, mask)
    read = torch.cat([torch.full_like(target[:, :1], start_id), target[:, :-1]], 1)
    kept = teacher.forced(read, teacher.cross(hidden, places), mask).reshape(*target.shape, -1)
    encoded = hidden.half().cpu().split(source_lengths.tolist())
    decoded = [own[:length].half().cpu().numpy() for own, length in zip(kept, target_lengths.tolist(), strict=True)]
    return [own.numpy() for own in encoded], decoded


def _pad(side: Ragged, chosen: Ints) -> Tensor:
    lengths = side.lengths[chosen]
    ids = torch.zeros(len(chosen), int(lengths.max()), dtype=torch.long)
    for g, index in enumerate(chosen):
        ids[g, : lengths[g]] = torch.from_numpy(side.ids[side.of_row(int(index))])
    return ids
