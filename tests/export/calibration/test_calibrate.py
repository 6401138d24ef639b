"""Measured scales: what a matrix reads on texts is covered by them, and by no more than is needed."""

from dataclasses import replace

import pytest
import torch

from dragoman.bundle.manifest import Architecture, Nat
from dragoman.export.calibration.calibrate import OUTPUT, measure_scales
from dragoman.export.network.layers import Linear
from dragoman.export.network.nat import attach
from dragoman.export.network.network import Network

VOCABULARY, EOS = 40, 0


SOURCES = [[5, 6, 7, EOS], [EOS], [9, 8, 7, 6, 5, 4, EOS]]


NAT = {
    "ctc": Nat("ctc", 1, 64, "late", upsample=2, blank_id=VOCABULARY, refines=True),
    "mask-predict": Nat("mask-predict", 1, 64, "shown", mask_id=VOCABULARY, length_classes=8),
}


SPLIT = {"ctc": replace(NAT["ctc"], canvas="split")}


def a_network(*, nat: dict[str, Nat] | None = None, **changes) -> Network:
    torch.manual_seed(3)
    network = Network(Architecture(16, 4, 24, 2, 2, VOCABULARY, VOCABULARY, **changes)).eval().requires_grad_(False)
    attach(network, nat or {})
    network.requires_grad_(False)
    for name, weight in network.named_parameters():
        weight.normal_(1.0 if "norm.weight" in name else 0.0, 0.3)
    return network


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"decoder": "ssru"},
        {"activation": "swish", "norm": "pre"},
        {"nat": NAT},
        {"nat": SPLIT},
        {"positions": "relative", "relative_buckets": 6, "relative_distance": 5},
    ],
)
def test_every_matrix_has_the_scale_of_the_largest_number_it_read(changes):
    """Each matrix of either side has a scale, positive, and the encoder's first is that of the embedded texts."""
    network = a_network(**changes)
    read: dict[str, float] = {}
    for name, module in network.named_modules():
        if isinstance(module, Linear):
            module.register_forward_pre_hook(
                lambda _, inputs, name=name: read.update({name: max(read.get(name, 0), float(inputs[0].abs().max()))})
            )

    scales = measure_scales(network, SOURCES, start_id=VOCABULARY, eos_id=EOS)

    assert set(scales) == {*(f"{name}.weight" for name in read), OUTPUT}
    assert len(read) == sum(isinstance(module, Linear) for module in network.modules()), "a matrix was not used"
    for name, peak in read.items():
        steps = 255 if name.endswith("ffn.down") and network.arch.activation == "relu" else 127
        assert scales[f"{name}.weight"] == pytest.approx(peak / steps)


def test_the_network_is_left_as_it_was():
    """No hook stays behind, or every later run would pay for it."""
    network = a_network()

    measure_scales(network, SOURCES, start_id=VOCABULARY, eos_id=EOS)

    assert not any(module._forward_pre_hooks for module in network.modules())
