"""OpenNMT-py itself, without what it asks for besides torch: its own code makes, saves and runs random models."""

import argparse
import importlib.abc
import importlib.machinery
import sys
import warnings
from pathlib import Path
from unittest import mock

import torch

ABSENT = (
    "pyonmttok",
    "tensorboard",
    "flask",
    "waitress",
    "spacy",
    "rapidfuzz",
    "ahocorasick",
    "fasttext",
    "sacrebleu",
    "bitsandbytes",
)
WORDS = ("<unk>", "<blank>", "<s>", "</s>", *(f"\u2581w{n}" for n in range(36)))
COMMON = {
    "model_type": "text",
    "model_task": "seq2seq",
    "src_word_vec_size": 12,
    "tgt_word_vec_size": 12,
    "enc_hid_size": 12,
    "dec_hid_size": 12,
    "enc_layers": 2,
    "dec_layers": 2,
    "freeze_word_vecs_enc": False,
    "freeze_word_vecs_dec": False,
    "position_encoding": False,
    "position_encoding_type": "SinusoidalInterleaved",
    "feat_merge": "concat",
    "feat_vec_exponent": 0.7,
    "feat_vec_size": -1,
    "dropout": [0.0],
    "attention_dropout": [0.0],
    "optim": "adam",
    "share_embeddings": False,
    "share_decoder_embeddings": False,
    "copy_attn": False,
    "reuse_copy_attn": False,
    "copy_attn_type": "general",
    "coverage_attn": False,
    "context_gate": None,
    "global_attention": "general",
    "global_attention_function": "softmax",
    "quant_layers": [],
    "lora_layers": [],
    "lora_embedding": False,
    "freeze_encoder": False,
    "freeze_decoder": False,
}
RNN = {"encoder_type": "rnn", "decoder_type": "rnn", "rnn_type": "LSTM", "brnn": True, "bridge": False, "input_feed": 1}
TRANSFORMER = {
    "encoder_type": "transformer",
    "decoder_type": "transformer",
    "position_encoding": True,
    "heads": 3,
    "transformer_ff": 20,
    "self_attn_type": "scaled-dot",
    "max_relative_positions": 0,
    "relative_positions_buckets": 0,
    "aan_useffn": False,
    "full_context_alignment": False,
    "alignment_layer": -1,
    "alignment_heads": 0,
    "pos_ffn_activation_fn": "relu",
    "add_qkvbias": False,
    "num_kv": 0,
    "add_ffnbias": True,
    "parallel_residual": False,
    "shared_layer_norm": False,
    "layer_norm": "standard",
    "norm_eps": 1e-6,
    "use_ckpting": [],
    "world_size": 1,
    "parallel_mode": "data_parallel",
    "sliding_window": 0,
    "rotary_interleave": True,
    "rotary_theta": 1e4,
    "rotary_dim": 0,
    "num_experts": 0,
    "num_experts_per_tok": 2,
}
CASES = {
    "lstm": RNN,
    "gru, mlp, one way, bridged": {
        **RNN,
        "rnn_type": "GRU",
        "global_attention": "mlp",
        "brnn": False,
        "enc_layers": 1,
        "dec_layers": 1,
        "bridge": True,
    },
    "lstm, two layers bridged": {**RNN, "bridge": True, "global_attention": "dot"},
    "lstm, one layer bridged": {
        **RNN,
        "bridge": True,
        "enc_layers": 1,
        "dec_layers": 1,
        "share_decoder_embeddings": True,
    },
    "lstm, nothing fed": {**RNN, "input_feed": 0, "share_embeddings": True},
    "gru without attention": {**RNN, "rnn_type": "GRU", "global_attention": "none", "input_feed": 0},
    "coverage": {**RNN, "coverage_attn": True},
    "coverage, gru, mlp, one way": {
        **RNN,
        "rnn_type": "GRU",
        "global_attention": "mlp",
        "brnn": False,
        "coverage_attn": True,
    },
    "coverage, dot, one layer": {
        **RNN,
        "global_attention": "dot",
        "enc_layers": 1,
        "dec_layers": 1,
        "coverage_attn": True,
    },
    "transformer": TRANSFORMER,
    "biased, gated, shared": {
        **TRANSFORMER,
        "add_qkvbias": True,
        "pos_ffn_activation_fn": "silu",
        "share_embeddings": True,
        "share_decoder_embeddings": True,
    },
    "relative, rms": {
        **TRANSFORMER,
        "position_encoding": False,
        "max_relative_positions": 3,
        "layer_norm": "rms",
        "dec_layers": 1,
    },
}


class _Absent(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Stands for packages that making and running a model does not need."""

    def find_spec(self, name, path=None, target=None):
        del path, target
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if name.split(".")[0] in ABSENT else None

    def create_module(self, spec):
        made = mock.MagicMock()
        made.__path__, made.__name__, made.__spec__ = [], spec.name, spec
        return made

    def exec_module(self, module):
        del module


class Vocabulary:
    """What OpenNMT-py asks of one."""

    def __len__(self):
        return len(WORDS)

    def __getitem__(self, word):
        return WORDS.index(word)


def builder(folder: Path):
    """`onmt.model_builder`."""
    if not any(isinstance(finder, _Absent) for finder in sys.meta_path):
        sys.meta_path.append(_Absent())
        sys.path.insert(0, str(folder))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import onmt.model_builder

    return onmt.model_builder


def make(folder: Path, case: str):
    """A model of random weights, and the options it has."""
    options = argparse.Namespace(**{**COMMON, **CASES[case]})
    vocabulary = Vocabulary()
    model = builder(folder).build_base_model(options, {"src": vocabulary, "tgt": vocabulary})
    torch.manual_seed(6)
    for name, weight in model.named_parameters():
        torch.nn.init.normal_(weight, 1.0 if "norm" in name and name.endswith("weight") else 0.0, 0.4)
    return model.eval(), options


def save(path: Path, model, options) -> None:
    """As OpenNMT-py's `model_saver` does it."""
    weights = {name: tensor for name, tensor in model.state_dict().items() if "generator" not in name}
    vocabulary = {"src": list(WORDS), "tgt": list(WORDS), "data_task": "seq2seq", "decoder_start_token": "<s>"}
    generator = model.generator.state_dict()
    torch.save({"model": weights, "generator": generator, "vocab": vocabulary, "opt": options, "optim": {}}, path)


def logits(model, sources, targets):
    """What it gives after `<s>` and each of the targets' words, of a padded batch."""
    longest = max(map(len, sources))
    ids = torch.tensor([[*source, *[1] * (longest - len(source))] for source in sources]).unsqueeze(2)
    lengths = torch.tensor([len(source) for source in sources])
    encoded, final, lengths = model.encoder(ids, lengths)
    found = []
    for g, target in enumerate(targets):
        own = slice(g, g + 1)
        last = (
            tuple(state[:, own] for state in final)
            if isinstance(final, tuple)
            else None
            if final is None
            else final[:, own]
        )
        model.decoder.init_state(ids[own], encoded[own], last)
        read = torch.tensor([[2, *target]]).unsqueeze(2)
        rows, _ = model.decoder(read, encoded[own], src_len=lengths[own])
        found.append(model.generator(rows.squeeze(0)))
    return found
