"""A distilled network as a checkpoint, which an export makes a bundle of like of any other."""

from __future__ import annotations

from dataclasses import replace

from dragoman.export.core.checkpoint import Checkpoint
from dragoman.export.network.load import checkpoint_weights
from dragoman.export.network.nat import decoders
from dragoman.export.network.network import Network


def student_checkpoint(teacher: Checkpoint, network: Network, history: dict[str, str]) -> Checkpoint:
    """The teacher with other decoders: encoder, words, tokenizer, shortlist and licence are its own.

    So are the integers of what was not trained. The scale that the teacher's output layer was calibrated with says
    nothing of what other decoders give it.
    """
    weights = checkpoint_weights(network)
    trained = ("decoder.", "nat.") if network.arch.decoder != teacher.architecture.decoder else ("nat.",)
    kept = {n: q for n, q in teacher.quantized.items() if n in weights and not n.startswith(trained)}
    for name in kept:
        weights[name] = teacher.weights[name]
    return replace(
        teacher,
        architecture=network.arch,
        weights=weights,
        quantized=kept,
        output_activation_scale=None,
        nat=decoders(network),
        history={**teacher.history, **history},
        oracle=None,
        notes=(),
    )
