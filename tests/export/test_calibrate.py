"""Measured scales: what a matrix reads on texts is covered by them, and by no more than is needed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dragoman.bundle.manifest import Architecture, Decoding, LanguagePair, Limits, Tokenizer
from dragoman.export.calibrate import OUTPUT, measure_scales
from dragoman.export.checkpoint import Checkpoint
from dragoman.export.command import CALIBRATION_LINES, calibration_ids
from dragoman.export.errors import ExportError
from dragoman.export.layers import Linear
from dragoman.export.network import Network
from dragoman.server.testing import write_vocabulary

VOCABULARY, EOS = 40, 0
SOURCES = [[5, 6, 7, EOS], [EOS], [9, 8, 7, 6, 5, 4, EOS]]


def a_network(**changes) -> Network:
    torch.manual_seed(3)
    network = Network(Architecture(16, 4, 24, 2, 2, VOCABULARY, VOCABULARY, **changes)).eval().requires_grad_(False)
    for name, weight in network.named_parameters():
        weight.normal_(1.0 if "norm.weight" in name else 0.0, 0.3)
    return network


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"decoder": "ssru"},
        {"activation": "swish", "norm": "pre"},
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
    for name, peak in read.items():
        steps = 255 if name.endswith("ffn.down") and network.arch.activation == "relu" else 127
        assert scales[f"{name}.weight"] == pytest.approx(peak / steps)


def test_the_network_is_left_as_it_was():
    """No hook stays behind, or every later run would pay for it."""
    network = a_network()

    measure_scales(network, SOURCES, start_id=VOCABULARY, eos_id=EOS)

    assert not any(module._forward_pre_hooks for module in network.modules())


def a_checkpoint(directory: Path, kind: str = "sentencepiece") -> Checkpoint:
    write_vocabulary(directory / "words.spm")
    return Checkpoint(
        name="toy",
        pairs=(LanguagePair("en", "pt"),),
        architecture=Architecture(16, 4, 24, 2, 2, VOCABULARY, VOCABULARY),
        weights={},
        quantized={},
        tokenizer=Tokenizer(kind, "words.spm", "words.spm", EOS, 1, VOCABULARY),  # type: ignore[arg-type]
        tokenizer_files={"words.spm": directory / "words.spm"},
        decoding=Decoding(),
        limits=Limits(8, 8),
        source_format="toy",
        source_files=(),
    )


def test_texts_become_sources_that_the_model_can_read(tmp_path):
    """Blank lines are passed over, long ones cut to the model's limit, each ends with the end token, few are enough."""
    file = tmp_path / "texts"
    file.write_text("The dog.\n\n   \n" + "The quick brown fox. " * 20 + "\n" + "A box.\n" * 500, encoding="utf-8")

    found = calibration_ids(a_checkpoint(tmp_path), file)

    assert len(found) == CALIBRATION_LINES
    assert all(ids[-1] == EOS and 2 <= len(ids) <= 8 for ids in found)
    assert len(found[1]) == 8


@pytest.mark.parametrize(
    ("content", "kind", "said"),
    [
        (b"", "sentencepiece", "no text in it"),
        (b"\xff\xfe", "sentencepiece", "not UTF-8"),
        (b"text", "tokenizers", "SentencePiece alone"),
    ],
)
def test_what_cannot_be_measured_on_is_refused(tmp_path, content, kind, said):
    """An empty file, one that is no text, and a tokenizer of another kind are refused in words."""
    file = tmp_path / "texts"
    file.write_bytes(content)

    with pytest.raises(ExportError, match=said):
        calibration_ids(a_checkpoint(tmp_path, kind), file)
