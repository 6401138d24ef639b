"""What float16 cannot hold is told before anything is written."""

import pytest
import torch

from dragoman.bundle.manifest import Architecture, Nat
from dragoman.export.calibration.ranges import LARGEST, check_range
from dragoman.export.core.errors import ExportError
from dragoman.export.network.nat import attach
from dragoman.export.network.network import Network

VOCABULARY, EOS = 40, 0
SOURCES = [[5, 6, 7, EOS], [EOS], [9, 8, 7, 6, 5, 4, EOS]]
NAT = {"ctc": Nat("ctc", 1, 64, "late", upsample=2, blank_id=VOCABULARY, refines=True)}


def a_network(**changes) -> Network:
    torch.manual_seed(3)
    network = Network(Architecture(16, 4, 24, 2, 2, VOCABULARY, VOCABULARY, **changes)).eval()
    attach(network, NAT)
    network.requires_grad_(False)
    for name, weight in network.named_parameters():
        weight.normal_(1.0 if "norm.weight" in name else 0.0, 0.3)
    return network


def check(network: Network) -> None:
    check_range(network, SOURCES, start_id=VOCABULARY, eos_id=EOS)


@pytest.mark.parametrize(
    "changes",
    [{}, {"norm": "pre"}, {"decoder": "ssru"}, {"decoder": "linear-attention"}, {"norm": "pre", "norm_kind": "rms"}],
)
def test_plain_numbers_pass_and_leave_no_trace(changes):
    """No hook stays behind."""
    network = a_network(**changes)

    check(network)

    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.parametrize(
    "name", ["encoder.layers.1.ffn.down.weight", "decoder.layers.0.cross.o.weight", "nat.ctc.layers.0.ffn.down.weight"]
)
def test_a_stream_that_grows_too_large_is_refused_by_name(name):
    """Norms come first there: what one layer adds goes through all that follow. The way out is said."""
    network = a_network(norm="pre")
    dict(network.named_parameters())[name].mul_(LARGEST)

    with pytest.raises(
        ExportError, match=r"numbers in [\w.]+ get as large as [\d,]+, .* no more than 65,504: export as fp32"
    ):
        check(network)


@pytest.mark.parametrize("factor", [1e38, float("nan")])
def test_numbers_that_are_none_are_refused(factor):
    """As are those that are infinite already in float32."""
    network = a_network(norm="pre")
    dict(network.named_parameters())["encoder.layers.0.ffn.down.weight"].mul_(factor)

    with pytest.raises(ExportError, match="export as fp32"):
        check(network)
