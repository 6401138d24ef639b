"""Import a folder in the project's own plain format: for models that no other importer knows.

    dragoman.json        what the model is; see below
    model.safetensors    its weights (or in parts with an index, as Hugging Face has them)
    ...                  the tokenizer's files, as dragoman.json names them

`dragoman.json` is an object with `architecture` and `tokenizer`, which are those of a bundle's manifest, and, where
they are wanted, `pairs`, `decoding`, `limits`, `texts`, `name` and `licence`. What is left out has the manifest's
default.

Weights have the canonical names of `dragoman.export.core.checkpoint`, and matrices are as torch's `nn.Linear` stores
them, [out, in]: `X.weight` is turned here. Cells of a recurrent decoder may keep the names that torch's `nn.LSTMCell`
and `nn.GRUCell` give them (`decoder.layers.0.weight_ih`), as the encoder's always do. A norm with `X.running_phi`,
the mean of squares that PowerNorm ends training with, becomes an affine: its scale is divided by the root of it. So is
one with `X.running_mean` and `X.running_var`, as BatchNorm has them, whose mean is taken off its bias.
"""

from collections.abc import Iterator
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dragoman.bundle.codec import DecodeError, decode
from dragoman.bundle.manifest import (
    Approximation,
    Architecture,
    Decoding,
    LanguagePair,
    Limits,
    Recurrent,
    Texts,
    Tokenizer,
    Window,
)
from dragoman.bundle.rules import name_problem, shape_problems
from dragoman.export.core.checkpoint import Checkpoint
from dragoman.export.core.reasons import Reasons
from dragoman.export.importers.files.json_files import model_folder, read_json
from dragoman.export.importers.files.name_tables import canonical_cell
from dragoman.export.importers.files.tensors import Tensors, open_tensors
from dragoman.export.importers.plain.folder import DESCRIPTION

NOT_CAUSAL = {
    "linformer": "each of its keys is a sum over all positions, those after a word among them",
    "compressed": "a stretch's key holds words after the one that asks, or is missing until the stretch is whole",
    "sinkhorn": "blocks are sorted by the sums of whole blocks, and change places as words come",
    "lsh": "words are sorted anew as they come, and a hypothesis' new word would change what its earlier ones saw",
    "routing": "a cluster's words are the nearest of all, and later words push earlier ones out",
    "linear": 'of a decoder it is called "decoder": "linear-attention"',
}
"""Why a decoder, which says one word behind another, does not have an encoder's approximations."""
PHI, MEAN, VARIANCE, BATCHES = ".running_phi", ".running_mean", ".running_var", ".num_batches_tracked"
Weights = dict[str, npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Description:
    """What `dragoman.json` holds."""

    architecture: Architecture
    tokenizer: Tokenizer
    pairs: tuple[LanguagePair, ...] = ()
    decoding: Decoding = field(default_factory=Decoding)
    limits: Limits | None = None
    """The longest texts; None: as many tokens as the architecture has positions, on both sides."""
    name: str = ""
    """Empty: the pair's name."""
    licence: str = ""
    texts: Texts = Texts()  # noqa: RUF009 - frozen


def read_plain(path: Path, source_language: str | None, target_language: str | None) -> Checkpoint:
    """Read the model in the folder `path`. Raises `ExportError`."""
    reasons, folder = Reasons(), model_folder(path)
    description = read_description(folder, reasons)
    tensors = open_tensors(folder, reasons)
    reasons.raise_if_any(path)
    assert description is not None, "a description that is not read has a reason"
    assert tensors is not None, "weights that are not read have a reason"
    for problem in shape_problems(description.architecture):
        reasons.add(f"{DESCRIPTION}: {problem}")
    files = dict(_tokenizer_files(folder, description.tokenizer, reasons))
    pairs = description.pairs
    if source_language is not None and target_language is not None:
        pairs = (LanguagePair(source_language, target_language),)
    reasons.require(
        pairs or (description.tokenizer.source_languages and description.tokenizer.target_languages),
        f"{DESCRIPTION} names no pairs: say them there, or one with --from and --to",
    )
    weights = read_weights(tensors, description.architecture.norm_epsilon, reasons)
    reasons.raise_if_any(path)
    shape = description.architecture
    return Checkpoint(
        name=description.name or "-".join(map(str, pairs)),
        pairs=pairs,
        architecture=shape,
        weights=weights,
        quantized={},
        tokenizer=description.tokenizer,
        tokenizer_files=files,
        decoding=description.decoding,
        limits=description.limits or Limits(shape.source_positions, shape.max_positions),
        source_format="plain",
        source_files=(folder / DESCRIPTION, *tensors.files, *files.values()),
        licence=description.licence,
        texts=description.texts,
    )


def read_description(folder: Path, reasons: Reasons) -> Description | None:
    """`dragoman.json`, with defaults for what it leaves out; None when there is a reason against it."""
    before = len(reasons)
    given = read_json(folder / DESCRIPTION, reasons)
    shape = given.get("architecture")
    if isinstance(shape, dict) and "decoder_attention" in shape:
        wanted = shape["decoder_attention"]
        kind = wanted.get("kind") if isinstance(wanted, dict) else wanted
        why = NOT_CAUSAL.get(str(kind), "only an encoder's words may see others so")
        reasons.add(f"{DESCRIPTION}: architecture.decoder_attention: {kind!a}: {why}")
    if len(reasons) > before:
        return None
    try:
        return decode(Description, _filled(Description, given))
    except DecodeError as error:
        for problem in error.problems:
            reasons.add(f"{DESCRIPTION}: {problem}")
        return None


_PARTS = {
    "architecture": Architecture,
    "tokenizer": Tokenizer,
    "decoding": Decoding,
    "limits": Limits,
    "texts": Texts,
    "recurrent": Recurrent,
    "encoder_window": Window,
    "encoder_attention": Approximation,
}


def _filled(kind: type[Any], given: dict[str, Any]) -> dict[str, Any]:
    """A JSON object with the defaults of a dataclass, and of those in it, for keys that it lacks."""
    whole = dict(given)
    for each in fields(kind):
        value = each.default if each.default_factory is MISSING else each.default_factory()
        if each.name not in whole and each.name in _PARTS and value is not None and value is not MISSING:
            whole[each.name] = {}
        elif each.name not in whole and value is not MISSING:
            whole[each.name] = list(value) if isinstance(value, tuple) else value
        if each.name in _PARTS and isinstance(whole.get(each.name), dict):
            whole[each.name] = _filled(_PARTS[each.name], whole[each.name])
    return whole


def _tokenizer_files(folder: Path, tokenizer: Tokenizer, reasons: Reasons) -> Iterator[tuple[str, Path]]:
    named = (tokenizer.source, tokenizer.target, tokenizer.source_vocabulary, tokenizer.target_vocabulary)
    for name in dict.fromkeys(name for name in named if name is not None):
        if "/" in name or name_problem(name) is not None:
            reasons.add(f"{DESCRIPTION} names the tokenizer's file {name!a}, which is no file of its own folder")
        elif not (folder / name).is_file():
            reasons.add(f"the tokenizer's file {name}, which {DESCRIPTION} names, is not in the folder")
        else:
            yield name, folder / name


def read_weights(tensors: Tensors, epsilon: float, reasons: Reasons) -> Weights:
    """Canonical weights of a plain folder's tensors."""
    weights: Weights = {}
    for name in sorted(name for name in tensors.names if not name.endswith(BATCHES)):
        value, name = tensors.read(name, reasons), canonical_cell(name) or name
        weights[name] = np.ascontiguousarray(value.T) if name.endswith(".weight") and value.ndim == 2 else value
    for name in [name for name in weights if name.endswith(PHI)]:
        scale, squares = name.removesuffix(PHI) + ".weight", weights.pop(name).reshape(-1)
        if scale not in weights or weights[scale].shape != squares.shape or not (squares >= 0).all():
            reasons.add(f"{name} is not the mean of squares of a norm: it needs a {scale} of its length")
        else:
            weights[scale] = (weights[scale] / np.sqrt(squares + epsilon)).astype(np.float32)
    for norm in [name.removesuffix(VARIANCE) for name in weights if name.endswith(VARIANCE)]:
        _fold(weights, norm, epsilon, reasons)
    return weights


def _fold(weights: Weights, norm: str, epsilon: float, reasons: Reasons) -> None:
    """What BatchNorm computes after training, as a scale and a bias."""
    variance, mean = weights.pop(norm + VARIANCE).reshape(-1), weights.pop(norm + MEAN, np.zeros(0)).reshape(-1)
    scale, bias = (weights.get(f"{norm}.{part}", np.zeros(0)) for part in ("weight", "bias"))
    if not (scale.shape == bias.shape == variance.shape == mean.shape) or not (variance >= 0).all():
        reasons.add(f"{norm}{VARIANCE} is not of a BatchNorm: it needs a mean, a weight and a bias of its length")
        return
    weights[f"{norm}.weight"] = (scale / np.sqrt(variance + epsilon)).astype(np.float32)
    weights[f"{norm}.bias"] = (bias - mean * weights[f"{norm}.weight"]).astype(np.float32)
