"""Pairs of BERT-like stacks: what is refused, and names that files have."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CONFIG_MAPPING, EncoderDecoderConfig, EncoderDecoderModel

from dragoman.export.core.errors import UnsupportedModel
from dragoman.export.core.reasons import Reasons
from dragoman.export.importers.hf.bert import KINDS
from dragoman.export.importers.hf.config import Config, read_architecture
from dragoman.export.importers.hf.importer import read_model

SIDE = {
    "model_type": "bert",
    "hidden_size": 12,
    "num_hidden_layers": 1,
    "num_attention_heads": 3,
    "intermediate_size": 8,
    "max_position_embeddings": 20,
    "vocab_size": 30,
}
DECODER = {**SIDE, "is_decoder": True, "add_cross_attention": True}
PAIR = {"model_type": "encoder-decoder", "encoder": SIDE, "decoder": DECODER}


def refusals(options) -> list[str]:
    """Every reason against these options."""
    reasons = Reasons()
    assert read_architecture(Config(options, reasons), reasons) is None
    with pytest.raises(UnsupportedModel) as refused:
        reasons.raise_if_any("here")
    return list(refused.value.reasons)


@pytest.mark.parametrize(
    ("side", "options", "reason"),
    [
        ("decoder", {"model_type": "gpt2"}, "decoder.model_type must be one of bert, roberta, "),
        ("decoder", {"model_type": "distilbert"}, "decoder.model_type must be one of bert, roberta, "),
        ("encoder", {"model_type": "albert"}, "distilbert, config.json says 'albert'"),
        ("encoder", {"hidden_size": 0}, "encoder.hidden_size must be a whole number from 1"),
        ("encoder", {"hidden_act": "mish"}, "the activation of encoder must be one of"),
        ("encoder", {"layer_norm_eps": 0}, "encoder.layer_norm_eps must be above 0"),
        ("decoder", {"num_attention_heads": 5}, "decoder.num_attention_heads must divide decoder.hidden_size"),
        ("decoder", {"is_decoder": False}, "decoder.is_decoder must be true"),
        ("decoder", {"add_cross_attention": False}, "decoder.add_cross_attention must be true"),
        ("encoder", {"is_decoder": True}, "encoder.is_decoder must be false"),
        ("encoder", {"position_embedding_type": "relative_key"}, "position_embedding_type 'relative_key' is not"),
        ("encoder", {"model_type": "electra", "embedding_size": 6}, "encoder.embedding_size must be encoder."),
        ("decoder", {"model_type": "roberta", "pad_token_id": 19}, "decoder.max_position_embeddings leaves no"),
    ],
)
def test_what_is_not_supported_of_a_side_is_named(side, options, reason):
    """With the side that it is said of."""
    assert any(reason in each for each in refusals({**PAIR, side: {**PAIR[side], **options}}))


def test_reasons_against_both_sides_come_at_once():
    """A pair is refused once."""
    found = refusals({**PAIR, "encoder": {**SIDE, "vocab_size": 0}, "decoder": None})

    assert any(each.startswith("encoder.vocab_size must") for each in found)
    assert any(each.startswith("decoder must be a configuration of its own") for each in found)


@pytest.mark.parametrize("name", KINDS)
def test_transformers_has_every_kind_and_its_defaults(name):
    """No kind is made up, and what may be absent is transformers' own."""
    theirs, kind = CONFIG_MAPPING[name](), KINDS[name]

    assert theirs.pad_token_id == kind.pad
    assert getattr(theirs, (kind.options or {}).get("hidden_act", "hidden_act")) == "gelu"
    assert getattr(theirs, "layer_norm_eps", kind.epsilon) == 1e-12


def test_stacks_that_share_their_weights_are_read_from_the_encoders_names(tmp_path):
    """Old models keep such weights once; what only a decoder has is its own."""
    torch.manual_seed(5)
    model = EncoderDecoderModel(EncoderDecoderConfig(encoder=SIDE, decoder=DECODER, decoder_start_token_id=2))
    model.generation_config.eos_token_id = 3
    model.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    stack = "decoder.bert."
    shared = {n for n in tensors if n.startswith(stack) and "encoder." + n.removeprefix(stack) in tensors}
    save_file({n: t for n, t in tensors.items() if n not in shared}, tmp_path / "model.safetensors")
    reasons = Reasons()
    assert read_model(tmp_path, reasons) is None
    assert "missing, which config.json calls for" in repr(reasons._unmet)

    config = json.loads((tmp_path / "config.json").read_text("utf-8")) | {"tie_encoder_decoder": True}
    (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
    found = read_model(tmp_path, Reasons())

    query = "layers.0.self.q.weight"
    assert found is not None
    assert (found.weights[f"decoder.{query}"] == found.weights[f"encoder.{query}"]).all()
    assert len(shared) > 15


def test_tensors_that_nobody_knows_are_named(tmp_path):
    """A pooler is not read; anything else may mean another network."""
    model = EncoderDecoderModel(EncoderDecoderConfig(encoder=SIDE, decoder=DECODER, decoder_start_token_id=2))
    model.generation_config.eos_token_id = 3
    model.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    assert any("pooler" in name for name in tensors)
    save_file(tensors | {"encoder.adapter.weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    reasons = Reasons()

    assert read_model(tmp_path, reasons) is None

    with pytest.raises(UnsupportedModel, match=r"encoder\.adapter\.weight is not known to an encoder-decoder"):
        reasons.raise_if_any(tmp_path)
