"""Where fairseq keeps each canonical weight, under today's names and those of earlier versions.

Matrices that a layer keeps in one (`in_proj_weight`) are taken apart, norms that were numbered get their names, and
matrices between words and the decoder's width (`project_in_dim`, `project_out_dim`) are multiplied into the words.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from dragoman.bundle.manifest import Tying
from dragoman.export.core.reasons import Reasons, some
from dragoman.export.importers.fairseq.dictionary import PAD_ID
from dragoman.export.importers.fairseq.options import Model, Side, alignment_head
from dragoman.export.importers.fairseq.pickle import FairseqFile
from dragoman.export.importers.files.name_tables import TRANSFORMER
from dragoman.export.importers.files.placed import Floats, Placed
from dragoman.export.network.load import canonical_shapes
from dragoman.export.network.network import Network
from dragoman.export.network.positions import sinusoid

NUMBERED_NORMS = {
    "encoder": {"0": "self_attn_layer_norm", "1": "final_layer_norm"},
    "decoder": {"0": "self_attn_layer_norm", "1": "encoder_attn_layer_norm", "2": "final_layer_norm"},
}
NUMBERED = re.compile(r"(encoder|decoder)(\.layers\.\d+)\.layer_norms\.(\d)\.(weight|bias)")
JOINED = re.compile(r"(.*_attn)\.in_proj_(weight|bias)")
LAYER = re.compile(r"(encoder|decoder)\.layers\.(\d+)\.(.*)")
NOT_READ = re.compile(
    r"(encoder|decoder)\.(version|embed_positions\.(weights|_float_tensor)|_future_mask)|"
    r"(encoder|decoder)\.embed_tokens\.weight|classification_heads\..*"
)
"""Tensors that no output depends on, and second copies of shared embeddings."""
SOURCE, TARGET = "encoder.embed_tokens.weight", "decoder.embed_tokens.weight"
OUTPUT, OLD_OUTPUT = "decoder.output_projection.weight", "decoder.embed_out"
PROJECT_IN, PROJECT_OUT = "decoder.project_in_dim.weight", "decoder.project_out_dim.weight"
LAST_WITHOUT_FINAL_NORM = {"encoder": 1, "decoder": 2}
"""Versions of a stack up to which no norm followed its last layer. Without a number it is 1."""


class Weights:
    """A file's tensors by today's names, each read when it is asked for; which were, and what stands against them."""

    def __init__(self, file: FairseqFile, model: Model, reasons: Reasons) -> None:
        self.reasons = reasons
        self.used: set[str] = set()
        self.notes: list[str] = []
        self._readers: dict[str, Callable[[], Floats]] = {}
        self._read: dict[str, Floats] = {}
        for name in sorted(file.tensors.names):
            self._add(name, partial(file.tensors.read, name, reasons))
        for side, of_side in (("encoder", model.encoder), ("decoder", model.decoder)):
            if of_side.kept:
                self._keep(side, of_side.kept)

    def _add(self, name: str, reader: Callable[[], Floats]) -> None:
        if (norm := NUMBERED.fullmatch(name)) and norm[3] in NUMBERED_NORMS[norm[1]]:
            name = f"{norm[1]}{norm[2]}.{NUMBERED_NORMS[norm[1]][norm[3]]}.{norm[4]}"
        if joined := JOINED.fullmatch(name):
            for n, part in enumerate("qkv"):
                self._readers[f"{joined[1]}.{part}_proj.{joined[2]}"] = partial(_third, reader, n)
            return
        self._readers[OUTPUT if name == OLD_OUTPUT else name] = reader

    def _keep(self, side: str, kept: tuple[int, ...]) -> None:
        """Leave only some layers. A model that was saved after that has no others."""
        layers = [match for name in self._readers if (match := LAYER.fullmatch(name)) and match[1] == side]
        numbers = {int(match[2]) for match in layers}
        if len(numbers) <= len(kept):
            return
        left = {str(old): new for new, old in enumerate(kept)}
        readers, self._readers = self._readers, {}
        for name, reader in readers.items():
            match = LAYER.fullmatch(name)
            if match is None or match[1] != side:
                self._readers[name] = reader
            elif match[2] in left:
                self._readers[f"{side}.layers.{left[match[2]]}.{match[3]}"] = reader

    def __contains__(self, name: str) -> bool:
        return name in self._readers

    @property
    def names(self) -> set[str]:
        """The names of all tensors."""
        return set(self._readers)

    def read(self, name: str, shape: tuple[int | None, ...]) -> Floats | None:
        """A tensor of this shape, None being any; None, with a reason, where it is missing or has another."""
        self.used.add(name)
        if name not in self._readers:
            self.reasons.add(f"{name} is missing")
            return None
        if name not in self._read:
            self._read[name] = self._readers[name]()
        tensor = self._read[name]
        if len(tensor.shape) != len(shape) or any(
            want not in (None, n) for n, want in zip(tensor.shape, shape, strict=True)
        ):
            wanted = ", ".join("any" if n is None else str(n) for n in shape)
            self.reasons.add(f"{name} has the shape {list(tensor.shape)}, the options call for [{wanted}]")
            return None
        return tensor

    def left(self) -> list[str]:
        """Tensors that nothing has asked for, and that something may depend on."""
        return sorted(name for name in self._readers.keys() - self.used if not NOT_READ.fullmatch(name))


def _third(reader: Callable[[], Floats], n: int) -> Floats:
    """Queries, keys or values of a matrix in which they lie one below the other."""
    whole = reader()
    rows = len(whole) // 3
    return whole[n * rows : (n + 1) * rows]


def place_weights(
    work: Weights, model: Model, file: FairseqFile, words: tuple[int | None, int | None]
) -> Placed | None:
    """All weights under canonical names; None when there is a reason against it. `words` counts the dictionaries'."""
    before = len(work.reasons)
    weights: dict[str, Floats] = {}
    tying = _embeddings(work, weights, model, words)
    if len(work.reasons) > before:
        return None
    rows = {side: len(weights.get(f"{side}_embedding", weights["source_embedding"])) for side in ("source", "target")}
    arch = replace(
        model.architecture(rows["source"], rows["target"]),
        tying=tying,
        encoder_final_norm=_has_final_norm(work, "encoder"),
        decoder_final_norm=model.decoder_final_norm and _has_final_norm(work, "decoder"),
        alignment_head=alignment_head(file.options, model.decoder.layers),
    )
    if not model.is_sinusoidal:
        for side, part in (("source", model.encoder), ("target", model.decoder)):
            weights[f"{side}_positions"] = _positions(work, side, part, model, arch.max_positions)
    with torch.device("meta"):
        shapes = canonical_shapes(Network(arch))
    place_matrices(work, weights, {n: s for n, s in shapes.items() if n.startswith(("encoder.", "decoder."))})
    if left := work.left():
        work.reasons.add(f"{some('tensor', left)} not known to a {model.arch} of these options")
    return Placed(arch, weights, tuple(work.notes)) if len(work.reasons) == before else None


def place_matrices(work: Weights, weights: dict[str, Floats], shapes: dict[str, tuple[int, ...]]) -> None:
    """Place everything between the embeddings and the output layer."""
    names = {name: _theirs(name) for name in shapes}
    missing = [theirs for theirs in names.values() if theirs not in work]
    if missing:
        work.reasons.add(f"{some('tensor', missing)} missing, which the options call for")
    for name, theirs in names.items():
        if theirs in work:
            shape = shapes[name]
            tensor = work.read(theirs, shape[::-1])
            if tensor is not None:
                weights[name] = tensor.T if tensor.ndim == 2 else tensor


def _theirs(name: str) -> str:
    for pattern, text in TRANSFORMER:
        name = re.sub(pattern, text, name)
    return name


def _has_final_norm(work: Weights, side: str) -> bool:
    stored = work.read(f"{side}.version", (None,)) if f"{side}.version" in work else None
    version = 1.0 if stored is None or not stored.size else float(stored[0])
    return version > LAST_WITHOUT_FINAL_NORM[side]


def _embeddings(work: Weights, weights: dict[str, Floats], model: Model, words: tuple[int | None, int | None]) -> Tying:
    """Place source, target and output words; two are tied where they are the same numbers."""
    encoder, decoder = model.encoder, model.decoder
    source = work.read(SOURCE, (words[0], encoder.width))
    target_name = TARGET if TARGET in work or not model.shares_all else SOURCE
    width = None if PROJECT_IN in work else decoder.width
    target = work.read(target_name, (words[1], width))
    output_name = target_name if model.shares_output and OUTPUT not in work else OUTPUT
    output = work.read(output_name, (words[1], None if PROJECT_OUT in work else decoder.width))
    if source is None or target is None or output is None:
        return "none"
    for shared, first, second, name in (
        (model.shares_output, target, output, output_name),
        (model.shares_all, source, target, target_name),
    ):
        if shared and not _are_same(first, second):
            work.reasons.add(f"{name} is not what it is shared with (share_all_embeddings or the like)")
    if PROJECT_IN in work and (into := work.read(PROJECT_IN, (decoder.width, target.shape[1]))) is not None:
        target = target @ into.T
    if PROJECT_OUT in work and (out := work.read(PROJECT_OUT, (output.shape[1], decoder.width))) is not None:
        output = output @ out
    if model.source_scale != 1:
        source = source * np.float32(model.source_scale)
    weights["source_embedding"] = source
    if _are_same(target, output):
        if _are_same(source, target):
            return "all"
        weights["target_embedding"] = target
        return "decoder"
    weights |= {"target_embedding": target, "output_embedding": output}
    return "none"


def _are_same(first: Floats, second: Floats) -> bool:
    return first is second or (first.shape == second.shape and bool(np.array_equal(first, second)))


def _positions(work: Weights, side: str, of_side: Side, model: Model, rows: int) -> Floats:
    """What is added to each position [rows, d]: trained, computed, or nothing; beyond the last, zeros."""
    table = np.zeros((rows, of_side.width), np.float32)
    first = PAD_ID + 1
    if model.has_positions and of_side.is_learned:
        part = "encoder" if side == "source" else "decoder"
        stored = work.read(f"{part}.embed_positions.weight", (of_side.positions + first, of_side.width))
        if stored is not None:
            table[: of_side.positions] = stored[first:]
    elif model.has_positions:
        count = of_side.positions
        table[:count] = sinusoid(count, of_side.width, divisor_minus_one=True, offset=first).numpy()
    return table
