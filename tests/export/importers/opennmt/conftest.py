"""A small checkpoint as OpenNMT-py 3 saves one, spelt out by names and shapes."""

import argparse

import converted
import pytest
import torch

WORDS = converted.tokens(40)
D, FFN = 6, 10


def linear(name, rows, columns, *, bias):
    return {f"{name}.weight": (rows, columns)} | ({f"{name}.bias": (rows,)} if bias else {})


def shapes():
    table = "embeddings.make_embedding.emb_luts.0.weight"
    found = {f"{side}.{table}": (len(WORDS), D) for side in ("encoder", "decoder")}
    found |= {f"{side}.embeddings.make_embedding.pe.pe": (30, 1, D) for side in ("encoder", "decoder")}
    for side, layer, norms in (
        ("encoder", "encoder.transformer.0", ["layer_norm"]),
        ("decoder", "decoder.transformer_layers.0", ["layer_norm_1", "layer_norm_2"]),
    ):
        attentions = ["self_attn"] if side == "encoder" else ["self_attn", "context_attn"]
        for name in attentions:
            for part in ("linear_query", "linear_keys", "linear_values", "final_linear"):
                found |= linear(f"{layer}.{name}.{part}", D, D, bias=False)
        found |= linear(f"{layer}.feed_forward.w_1", FFN, D, bias=True)
        found |= linear(f"{layer}.feed_forward.w_2", D, FFN, bias=True)
        for norm in (*(f"{layer}.{each}" for each in norms), f"{layer}.feed_forward.layer_norm", f"{side}.layer_norm"):
            found |= {f"{norm}.weight": (D,), f"{norm}.bias": (D,)}
    return found


OPTIONS = {
    "encoder_type": "transformer",
    "decoder_type": "transformer",
    "src_word_vec_size": D,
    "enc_hid_size": D,
    "enc_layers": 1,
    "dec_layers": 1,
    "heads": 2,
    "transformer_ff": FFN,
    "position_encoding": True,
}


@pytest.fixture
def saved(tmp_path):
    """Writes one, with other options, without some tensors or with more of them."""

    def write(*, without=(), more=None, vocabulary=None, **changes):
        torch.manual_seed(2)
        model = {name: torch.randn(shape) for name, shape in shapes().items() if name not in without}
        generator = {"weight": torch.randn(len(WORDS), D), "bias": torch.randn(len(WORDS))}
        lists = {"src": WORDS, "tgt": WORDS, "decoder_start_token": "<s>"} if vocabulary is None else vocabulary
        options = argparse.Namespace(**{**OPTIONS, **changes})
        whole = {
            "model": {**model, **(more or {})},
            "generator": generator,
            "vocab": lists,
            "opt": options,
            "optim": {},
        }
        torch.save(whole, tmp_path / "model_step_9.pt")
        converted.pieces(tmp_path)
        return tmp_path

    return write
