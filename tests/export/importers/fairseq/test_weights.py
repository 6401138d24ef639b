"""Weights that contradict the options."""

import pytest
import torch

from dragoman.export.core.errors import UnsupportedModel
from dragoman.export.importers.fairseq.importer import read_fairseq


def reasons_of(path, source=None, target=None) -> tuple[str, ...]:
    with pytest.raises(UnsupportedModel) as caught:
        read_fairseq(path, source, target)
    return caught.value.reasons


def spoil_shape(model):
    model.tensors["encoder.layers.1.fc1.weight"] = torch.zeros(18, 13)
    return "encoder.layers.1.fc1.weight has the shape [18, 13], the options call for [18, 12]"


def spoil_missing(model):
    del model.tensors["decoder.layers.0.encoder_attn.k_proj.bias"]
    return "decoder.layers.0.encoder_attn.k_proj.bias is missing, which the options call for"


def spoil_unknown(model):
    model.tensors["encoder.quant_noise.weight"] = torch.zeros(12, 12)
    return "encoder.quant_noise.weight is not known to a transformer_tiny"


def spoil_final_norm(model):
    for kind in ("weight", "bias"):
        model.tensors[f"decoder.layer_norm.{kind}"] = torch.ones(12)
    return "2 tensors, decoder.layer_norm.bias, decoder.layer_norm.weight, are not known"


def spoil_shared(model):
    model.options["share_decoder_input_output_embed"] = True
    return "decoder.output_projection.weight is not what it is shared with"


def spoil_numbers(model):
    model.tensors["decoder.layers.0.fc1.bias"][3] = float("nan")
    return "decoder.layers.0.fc1.bias holds numbers that are not finite"


def spoil_layers(model):
    model.options["encoder_layers"] = 3
    return "tensors, such as encoder.layers.2."


def spoil_positions(model):
    model.options["encoder_learned_pos"] = True
    model.tensors["encoder.embed_positions.weight"] = torch.zeros(40, 12)
    return "encoder.embed_positions.weight has the shape [40, 12], the options call for [42, 12]"


def spoil_dictionary(model):
    with (model.folder / "dict.de.txt").open("a") as file:
        file.write("more 1\n")
    return "encoder.embed_tokens.weight has the shape [31, 12], the options call for [32, 12]"


@pytest.mark.parametrize(
    "spoil",
    [
        spoil_shape,
        spoil_missing,
        spoil_unknown,
        spoil_final_norm,
        spoil_shared,
        spoil_numbers,
        spoil_layers,
        spoil_positions,
        spoil_dictionary,
    ],
)
def test_weights_that_contradict_the_options(fairseq, spoil):
    """What is wrong, with both sides of the contradiction."""
    model = fairseq()
    said = spoil(model)

    reasons = reasons_of(model.write())

    assert any(said in reason for reason in reasons), reasons
