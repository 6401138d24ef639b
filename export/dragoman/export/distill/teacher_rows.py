"""The rows that the frozen teacher makes of a corpus, computed once and kept in files; goes on where it was stopped.

The encoder runs as a graph, since ONNX Runtime's int8 is several times as fast as torch on a processor; its rows are
then the very ones that an int8 bundle's decoders get to read.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from onnx_ir.passes.common import RemoveUnusedNodesPass

from dragoman.bundle.graphs import ENCODER, HIDDEN, PLACES, file_of
from dragoman.bundle.onnx_runtime import onnxruntime, open_graph
from dragoman.export.core.checkpoint import Checkpoint
from dragoman.export.distill.corpus import DECODED_FILE, ENCODED_FILE, Ints, Ragged, pad, read_ids
from dragoman.export.distill.work_folder import write_whole
from dragoman.export.graphs.running import packed
from dragoman.export.graphs.trace import trace
from dragoman.export.graphs.weights_file import save
from dragoman.export.network.network import MASKED, Network
from dragoman.export.passes.int8_weights import int8_weights
from dragoman.export.passes.quantize import to_int8

CHUNK = 4096
"""Pairs that are computed between two marks of progress."""
MOST_PLACES = 2048
DONE_FILE = "states.done"
Note = Callable[[int, int], None]
Floats = npt.NDArray[np.float32]
Encoder = Callable[[torch.Tensor, torch.Tensor], Floats]
"""Padded source ids [G, S] and their mask [G, 1, 1, S] -> the rows of the words among them [n, d]."""


def source_mask(lengths: torch.Tensor, longest: int) -> torch.Tensor:
    """The mask [G, 1, 1, S] of what is behind each source's length."""
    padding = torch.arange(longest, device=lengths.device) >= lengths.unsqueeze(-1)
    return padding[:, None, None].float() * MASKED


def graph_encoder(checkpoint: Checkpoint, teacher: Network, directory: Path, threads: int) -> Encoder:
    """The encoder as an int8 graph that gives its own rows, and not yet any decoder's keys and values of them."""
    model = trace(teacher, ENCODER)
    reader = next(
        node
        for node in model.graph
        if any(v is not None and v.name == "decoder.layers.0.cross.kv.weight" for v in node.inputs)
    )
    hidden = reader.inputs[0]
    assert hidden is not None
    model.graph.outputs[:] = [hidden]
    RemoveUnusedNodesPass()(model)
    kept = set(model.graph.initializers)
    matrices, embeddings = int8_weights(checkpoint, teacher, {})
    to_int8(
        model,
        {name: weight for name, weight in matrices.items() if name in kept},
        {name: weight for name, weight in embeddings.items() if name in kept},
        checkpoint.output_activation_scale,
    )
    directory.mkdir(exist_ok=True)
    save({HIDDEN: model}, directory)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = open_graph((directory / file_of(HIDDEN)).read_bytes(), directory, options)

    def encode(ids: torch.Tensor, mask: torch.Tensor) -> Floats:
        feed = {name: value.numpy() for name, value in packed(ids, mask).items()}
        rows: Floats = session.run(None, feed)[0]
        return rows

    return encode


def pairs_done(directory: Path) -> int:
    """How many pairs have their rows."""
    mark = directory / DONE_FILE
    return int(mark.read_text()) if mark.exists() else 0


def compute_rows(teacher: Network, encode: Encoder, start_id: int, directory: Path, note: Note) -> None:
    """Fill the corpus's two files of rows."""
    sources, targets = read_ids(directory)
    arch, done = teacher.arch, pairs_done(directory)
    encoded = _rows(directory / ENCODED_FILE, len(sources.ids), arch.of_encoder.d_model)
    decoded = _rows(directory / DECODED_FILE, len(targets.ids), arch.d_model)
    while done < len(sources):
        end = min(done + CHUNK, len(sources))
        for chosen in _by_length(sources.lengths, done, end):
            hidden, read = _forced(teacher, encode, start_id, (sources, targets), chosen)
            for index, source_rows, target_rows in zip(chosen, hidden, read, strict=True):
                encoded[sources.of_row(int(index))] = source_rows
                decoded[targets.of_row(int(index))] = target_rows
        encoded.flush()
        decoded.flush()
        done = end
        write_whole(directory / DONE_FILE, str(done).encode())
        note(done, len(sources))


def _rows(path: Path, count: int, width: int) -> np.memmap[tuple[int, int], np.dtype[np.float16]]:
    with path.open("ab") as file:
        file.truncate(count * width * 2)
    return np.memmap(path, np.float16, "r+", shape=(count, width))


def _by_length(lengths: Ints, start: int, end: int) -> Iterator[Ints]:
    order = start + np.argsort(lengths[start:end], kind="stable")
    while len(order):
        count = min(len(order), max(1, MOST_PLACES // int(lengths[order[0]])))
        while count > 1 and count * int(lengths[order[count - 1]]) > MOST_PLACES:
            count -= 1
        yield order[:count]
        order = order[count:]


@torch.inference_mode()
def _forced(
    teacher: Network, encode: Encoder, start_id: int, sides: tuple[Ragged, Ragged], chosen: Ints
) -> tuple[list[Floats], list[Floats]]:
    """Rows of the encoder, and of the decoder as it reads each target, for some pairs."""
    (source, source_lengths), (target, target_lengths) = (pad(side, chosen) for side in sides)
    ids, read = torch.from_numpy(source), torch.from_numpy(target)
    mask = source_mask(torch.from_numpy(source_lengths), ids.shape[1])
    rows = encode(ids, mask)
    read = torch.cat([torch.full_like(read[:, :1], start_id), read[:, :-1]], 1)
    memory = teacher.cross(torch.from_numpy(rows), packed(ids, mask)[PLACES])
    kept = teacher.forced(read, memory, mask).reshape(*read.shape, -1).numpy()
    encoded = np.split(rows, np.cumsum(source_lengths)[:-1])
    return encoded, [rows[:length] for rows, length in zip(kept, target_lengths, strict=True)]
