"""fairseq's `lstm`: an LSTM encoder in one direction or both, and a decoder with input feeding, with attention or not.

`lstm`, `lstm_wiseman_iwslt_de_en`, `lstm_luong_wmt_en_de` and whatever else is built of it. Scores are the product of a
source word with a matrix times the hidden state, which is general attention whose matrix is put on the source's side.
"""

import re

import numpy as np
import numpy.typing as npt

from dragoman.bundle.manifest import Architecture, Recurrent, Tying
from dragoman.bundle.rules import shape_problems
from dragoman.export.core.reasons import Reasons
from dragoman.export.importers.fairseq.pickle import FairseqFile, Options
from dragoman.export.importers.files.name_tables import canonical_cell
from dragoman.export.importers.files.tensors import Tensors

WIDEST = 1 << 16
MOST_LAYERS = 64
POSITIONS = 1024
"""A recurrent network has no table of positions to run out of: this is the longest text that is taken."""
NAMES = {
    "encoder.embed_tokens.weight": "source_embedding",
    "decoder.embed_tokens.weight": "target_embedding",
    "decoder.fc_out.weight": "output_embedding",
    "decoder.fc_out.bias": "output_bias",
    "decoder.attention.input_proj.weight": "decoder.attention.key.weight",
}
"""These lie as the canonical tensors do."""
TURNED = {
    "decoder.encoder_hidden_proj": "decoder.bridge.hidden",
    "decoder.encoder_cell_proj": "decoder.bridge.cell",
    "decoder.attention.output_proj": "decoder.attention.out",
    "decoder.additional_fc": "decoder.out",
}
IGNORED = re.compile(r"(encoder|decoder)\.version$")
Weights = dict[str, npt.NDArray[np.float32]]


def is_lstm(options: Options) -> bool:
    """Whether a checkpoint is of this architecture."""
    return options.arch == "lstm" or options.arch.startswith(("lstm_wiseman", "lstm_luong"))


def read_lstm(
    file: FairseqFile, source_words: int, target_words: int, reasons: Reasons
) -> tuple[Architecture, Weights] | None:
    """Architecture and canonical weights; None when there is a reason against them."""
    before = len(reasons)
    arch = _architecture(file, source_words, target_words, reasons)
    for problem in shape_problems(arch):
        reasons.add(problem)
    weights = _weights(file.tensors, arch.tying, reasons)
    return (arch, weights) if len(reasons) == before else None


def _architecture(file: FairseqFile, source_words: int, target_words: int, reasons: Reasons) -> Architecture:
    options, names = file.options, file.tensors.names

    def width(name: str, default: int) -> int:
        return options.whole(name, WIDEST, default)

    attends = options.word("decoder_attention", "1") in ("1", "True", "true")
    reasons.require(
        not any(name.startswith("decoder.adaptive_softmax.") for name in names),
        "the output layer is an adaptive softmax, which is not read: train with another criterion than adaptive_loss",
    )
    shares_all = options.flag("share_all_embeddings")
    shares = shares_all or options.flag("share_decoder_input_output_embed")
    tying: Tying = "all" if shares_all else "decoder" if shares else "none"
    source, target = width("encoder_embed_dim", 512), width("decoder_embed_dim", 512)
    return Architecture(
        d_model=width("decoder_out_embed_dim", 512),
        heads=0,
        ffn=0,
        encoder_layers=options.whole("encoder_layers", MOST_LAYERS, 1),
        decoder_layers=options.whole("decoder_layers", MOST_LAYERS, 1),
        source_vocabulary=source_words,
        target_vocabulary=target_words,
        decoder="lstm",
        max_positions=POSITIONS,
        tying=tying,
        output_bias=tying == "none",
        recurrent=Recurrent(
            source_width=source,
            target_width=target,
            encoder_hidden=width("encoder_hidden_size", source),
            decoder_hidden=width("decoder_hidden_size", target),
            bidirectional=options.flag("encoder_bidirectional"),
            bridge="decoder.encoder_hidden_proj.weight" in names,
            attention="general" if attends else "none",
            output_reads=("context", "hidden") if attends else (),
        ),
    )


def _weights(tensors: Tensors, tying: Tying, reasons: Reasons) -> Weights:
    weights: Weights = {}
    left_out = {"all": ("target_embedding", "output_embedding"), "decoder": ("output_embedding",), "none": ()}[tying]
    for name in sorted(tensors.names):
        part, _, kind = name.rpartition(".")
        cell = canonical_cell(name)
        if name in NAMES and NAMES[name] not in left_out:
            weights[NAMES[name]] = tensors.read(name, reasons)
        elif name.startswith("encoder.lstm."):
            weights[name.replace("encoder.lstm.", "encoder.rnn.")] = tensors.read(name, reasons)
        elif cell is not None:
            weights[cell] = _turned(tensors.read(name, reasons))
        elif part in TURNED:
            weights[f"{TURNED[part]}.{kind}"] = _turned(tensors.read(name, reasons))
        elif name not in NAMES and not IGNORED.match(name):
            reasons.add(f"{name} has no place in the architecture {tensors.files[0].name} says it has")
    return weights


def _turned(matrix: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.ascontiguousarray(matrix.T)
