"""A bundle back to a checkpoint: graphs hold all weights of the network, under the names that the network has.

What was rounded stays rounded: integers are multiplied out, and nothing is made up. So a bundle of int8 becomes one of
fp16 for a GPU that says what the int8 one says, but for what that rounds as it runs.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import torch

from dragoman.bundle.reader import Bundle, open_bundle
from dragoman.export.core.checkpoint import Checkpoint, Shortlist, Sibling
from dragoman.export.core.errors import ExportError
from dragoman.export.network.load import checkpoint_weights
from dragoman.export.network.nat import attach
from dragoman.export.network.recurrent import network_of

ZERO = 128
"""What stands for zero where embeddings are integers without a sign."""

Floats = npt.NDArray[np.float32]


def read_bundle(source: Path, source_language: str | None, target_language: str | None) -> Checkpoint:  # noqa: ARG001
    """Read a bundle with all its decoders; its languages are its own."""
    whole = open_bundle(source)
    bundle = whole.of(None)
    manifest, facts = bundle.manifest, bundle.manifest.tokenizer
    words = {facts.source, facts.target, facts.source_vocabulary, facts.target_vocabulary} - {None}
    provenance = manifest.provenance
    return Checkpoint(
        name=manifest.name,
        pairs=manifest.pairs,
        architecture=manifest.architecture,
        weights=_weights(bundle),
        quantized={},
        tokenizer=facts,
        tokenizer_files={name: bundle.path(name) for name in sorted(map(str, words))},
        decoding=manifest.decoding,
        limits=manifest.limits,
        source_format=f"{provenance.source_format}, by way of a bundle in {manifest.precision}",
        source_files=(source / "manifest.json",),
        licence=manifest.licence,
        texts=manifest.texts,
        shortlist=_shortlist(bundle),
        nat=dict(manifest.nat),
        history={key: value for key, value in provenance.options.items() if key != "precision"},
        siblings={
            name: Sibling(architecture, _weights(whole.of(name)))
            for name, architecture in whole.manifest.siblings.items()
        },
        searcher=whole.manifest.searcher,
    )


def _weights(bundle: Bundle) -> dict[str, Floats]:
    """All weights of a network of one autoregressive decoder, and of those without autoregression beside it."""
    network = network_of(bundle.manifest.architecture)
    attach(network, bundle.manifest.nat)
    stored, missing = _stored(bundle), []
    for name, parameter in network.named_parameters():
        weight = _weight(stored, name)
        if weight is None or weight.shape != tuple(parameter.shape):
            missing.append(name)
        else:
            parameter.data = torch.from_numpy(np.ascontiguousarray(weight))
    if missing:
        names = ", ".join(sorted(missing))
        raise ExportError(f"{bundle.directory}: its graphs do not hold {names} as the network has them")
    return checkpoint_weights(network)


def _stored(bundle: Bundle) -> dict[str, npt.NDArray[np.generic]]:
    """The constants of all graphs, by name."""
    found: dict[str, npt.NDArray[np.generic]] = {}
    for graph in bundle.manifest.graphs.values():
        model = ir.load(bundle.path(graph.file))
        found |= {
            name: value.const_value.numpy()
            for name, value in model.graph.initializers.items()
            if value.const_value is not None and name not in found
        }
    return found


def _weight(stored: dict[str, npt.NDArray[np.generic]], name: str) -> Floats | None:
    """A parameter in float32, in whichever form it is there; None where it is not."""
    for form, zero in (("", 0), (".half", 0), (".int8", 0), (".uint8", ZERO)):
        if (values := stored.get(name + form)) is None:
            continue
        real: Floats = values.astype(np.float32) - np.float32(zero)
        if "int8" not in form:
            return real
        scale = stored.get(f"{name}.scale")
        if scale is None:
            return None
        factor = scale.astype(np.float32)
        real *= factor[:, None] if zero and factor.ndim else factor  # one for each word, or for each column
        return real
    return None


def _shortlist(bundle: Bundle) -> Shortlist | None:
    if bundle.manifest.shortlist is None:
        return None
    with np.load(bundle.path(bundle.manifest.shortlist)) as arrays:
        offsets = arrays["offsets"].astype(np.int64)
        return Shortlist(int(arrays["first"]), offsets, arrays["ids"].astype(np.int32))
