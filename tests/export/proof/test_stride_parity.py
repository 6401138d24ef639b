"""A stride beside single steps."""

from dataclasses import replace

import pytest
import torch

from dragoman.bundle.graphs import ENCODER, STEP, STRIDE
from dragoman.bundle.manifest import Architecture
from dragoman.export.graphs.trace import trace
from dragoman.export.graphs.weights_file import save
from dragoman.export.network.network import Network
from dragoman.export.passes.stride import looped, widened
from dragoman.export.proof.parity import ParityError
from dragoman.export.proof.stride_parity import prove_stride

ARCH = Architecture(16, 2, 24, 1, 1, 96, 96)


def write(directory, arch: Architecture, last_place: int) -> Network:
    """The graphs of a random network, with a stride whose positions end at `last_place`."""
    torch.manual_seed(1)
    network = Network(arch)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    network = network.eval().requires_grad_(False)
    models = {graph: trace(network, graph) for graph in (ENCODER, STEP)}
    models[STRIDE] = widened(models[STEP])
    looped(models[STRIDE], last_place)
    save(models, directory)
    return network


@pytest.mark.parametrize("decoder", ["self-attention", "ssru"])
def test_a_stride_says_what_single_steps_say(tmp_path, decoder):
    """Of scores, words, and what is kept of new nodes."""
    network = write(tmp_path, replace(ARCH, decoder=decoder), 1023)

    lines = prove_stride(network, tmp_path, "fp32")

    assert {"topk_logp", "chosen_logp"} < {line.tensor for line in lines}
    assert len(lines) == (4 if decoder == "self-attention" else 3)
    assert max(line.max_difference for line in lines) < 1e-4


def test_a_stride_with_other_positions_is_refused(tmp_path):
    """From the second round on, it reads its words at the place of the first."""
    network = write(tmp_path, ARCH, 0)

    with pytest.raises(ParityError, match="stride and steps: topk_logp differs"):
        prove_stride(network, tmp_path, "fp32")
