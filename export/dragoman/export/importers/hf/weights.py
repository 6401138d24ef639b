"""Where transformers keeps each canonical weight, and what the weights say about the architecture.

transformers saves a tensor that several parts share under one of their names, and which one has changed over time. So
each embedding is looked for under its own name first and then under those that it may share; two parts are tied when
they end up with the same numbers, whatever the configuration says.
"""

import re
from dataclasses import replace

import numpy as np
import torch

from dragoman.bundle.manifest import Architecture, Tying
from dragoman.export.core.reasons import Reasons, some
from dragoman.export.importers.files.name_tables import TRANSFORMER
from dragoman.export.importers.files.placed import Floats, Placed
from dragoman.export.importers.files.tensors import Tensors
from dragoman.export.importers.hf.bert import place_pair
from dragoman.export.importers.hf.config import Config, is_tied, scales_output, shares_vocabulary
from dragoman.export.importers.hf.gemma import place_gemma
from dragoman.export.network.load import canonical_shapes
from dragoman.export.network.network import Network
from dragoman.export.network.positions import sinusoid

T5 = (
    (r"\.layers\.(\d+)\.self\.", r".block.\1.layer.0.SelfAttention."),
    (r"\.layers\.(\d+)\.self_norm\.", r".block.\1.layer.0.layer_norm."),
    (r"\.layers\.(\d+)\.cross\.", r".block.\1.layer.1.EncDecAttention."),
    (r"\.layers\.(\d+)\.cross_norm\.", r".block.\1.layer.1.layer_norm."),
    (r"^encoder\.layers\.(\d+)\.ffn\.", r"encoder.block.\1.layer.1.DenseReluDense."),
    (r"^encoder\.layers\.(\d+)\.ffn_norm\.", r"encoder.block.\1.layer.1.layer_norm."),
    (r"^decoder\.layers\.(\d+)\.ffn\.", r"decoder.block.\1.layer.2.DenseReluDense."),
    (r"^decoder\.layers\.(\d+)\.ffn_norm\.", r"decoder.block.\1.layer.2.layer_norm."),
    (r"\.DenseReluDense\.down\.", ".DenseReluDense.wo."),
    (r"^(encoder|decoder)\.norm\.", r"\1.final_layer_norm."),
    (r"\.relative\.table$", ".block.0.layer.0.SelfAttention.relative_attention_bias.weight"),
    (r"\.relative\.tables\.(\d+)$", r".block.\1.layer.0.SelfAttention.relative_attention_bias.weight"),
)
T5_PLAIN = ((r"\.DenseReluDense\.up\.", ".DenseReluDense.wi."),)
T5_GATED = (
    (r"\.DenseReluDense\.gate\.", ".DenseReluDense.wi_0."),
    (r"\.DenseReluDense\.up\.", ".DenseReluDense.wi_1."),
)
LONGT5 = (
    (r"^encoder\.windows\.side\.table$", "encoder.block.0.layer.0.SelfAttention.global_relative_attention_bias.weight"),
    (r"\.SelfAttention\.sum_norm\.", ".SelfAttention.global_input_layer_norm."),
)
"""Behind T5's: what it has besides. Attention of its encoder is then called by its kind."""
LED = (
    (r"^(encoder\.layers\.\d+)\.self\.whole\.([qkv])\.", r"\1.self_attn.longformer_self_attn.\2_global."),
    (r"^(encoder\.layers\.\d+)\.self\.([qkv])\.", r"\1.self_attn.longformer_self_attn.\2."),
    (r"^(encoder\.layers\.\d+)\.self\.o\.", r"\1.self_attn.output."),
    (r"(longformer_self_attn)\.q", r"\1.query"),
    (r"(longformer_self_attn)\.k", r"\1.key"),
    (r"(longformer_self_attn)\.v", r"\1.value"),
)
"""Before all others': the encoder's attention."""
PEGASUS_X = (
    (r"^encoder\.windows\.tokens$", "encoder.embed_global.weight"),
    (r"\.self\.token_norm\.", ".global_self_attn_layer_norm."),
)
BIGBIRD = (
    (r"^(encoder\.layers\.\d+)\.self\.q\.", r"\1.self_attn.self.query."),
    (r"^(encoder\.layers\.\d+)\.self\.k\.", r"\1.self_attn.self.key."),
    (r"^(encoder\.layers\.\d+)\.self\.v\.", r"\1.self_attn.self.value."),
    (r"^(encoder\.layers\.\d+)\.self\.o\.", r"\1.self_attn.output."),
    (r"^(encoder|decoder)\.norm\.", r"\1.layernorm_embedding."),
)
"""Whose last norms are called after embeddings."""
_BEFORE = {"led": LED, "pegasus_x": PEGASUS_X, "bigbird_pegasus": BIGBIRD}
WITHOUT_BIASES = re.compile(r"\.(self|cross)\.[qkvo]\.bias$")
"""What attention of Pegasus-X lacks, and of most of BigBird-Pegasus, beside feed-forwards that have biases."""
# What old files hold beside weights, and what transformers does not read either.
NOT_READ = re.compile(
    r"(encoder|decoder)\.(version|embed_positions\.(weights|_float_tensor))|shared\.weight|lm_head\.weight|"
    r"(encoder|decoder)\.embed_tokens\.weight|"
    r"decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight"
)
BIAS = "final_logits_bias"
SHARED = "shared.weight"
SINUSOID_TOLERANCE = 1e-4
"""How far a stored sinusoid may be from the formula and still be it: the formula in float32 comes this near, rounding
to float16 does not."""


class _Placing:
    """One import: the tensors, which of them were used, and what stands against them."""

    def __init__(self, tensors: Tensors, config: Config, arch: Architecture, reasons: Reasons) -> None:
        self.tensors, self.config, self.arch, self.reasons = tensors, config, arch, reasons
        # A model saved without its output layer lacks the prefix.
        self.names = {name.removeprefix("led." if config.kind == "led" else "model."): name for name in tensors.names}
        self.used: set[str] = set()
        self.weights: dict[str, Floats] = {}
        self.tables: dict[str, Floats] = {}
        """Embeddings, each read once."""
        self.notes: list[str] = []

    def read(self, name: str) -> Floats:
        self.used.add(name)
        return self.tensors.read(self.names[name], self.reasons)

    def check_shape(self, name: str, shape: tuple[int, ...], expected: tuple[int, ...]) -> bool:
        fits = shape == expected
        self.reasons.require(fits, f"{name} has the shape {list(shape)}, config.json calls for {list(expected)}")
        return fits

    def embedding(self, candidates: tuple[str, ...], rows: int) -> tuple[str, Floats] | None:
        """The first of these tables that there is, and its name."""
        name = next((n for n in candidates if n in self.names), None)
        if name is None:
            self.reasons.add(f"{candidates[0]} is missing, and no tensor that it could share")
            return None
        if name not in self.tables:
            self.tables[name] = self.read(name)
        table = self.tables[name]
        return (name, table) if self.check_shape(name, table.shape, (rows, self.arch.d_model)) else None


OF_SIDES = {"encoder-decoder": place_pair, "t5gemma": place_gemma}
"""Families of two sides, which place their own weights."""


def place_weights(tensors: Tensors, config: Config, arch: Architecture, reasons: Reasons) -> Placed | None:
    """All weights under canonical names; None when there is a reason against it."""
    if config.kind in OF_SIDES:
        return OF_SIDES[config.kind](tensors, config, arch, reasons)
    before = len(reasons)
    work = _Placing(tensors, config, arch, reasons)
    changes = {"tying": _embeddings(work), "output_bias": _output_bias(work), "positions": _positions(work)}
    arch = replace(arch, **changes)  # type: ignore[arg-type]
    _matrices(work, arch)
    left = sorted(n for n in work.names.keys() - work.used if not NOT_READ.fullmatch(n))
    if left:
        reasons.add(f"{some('tensor', left)} not known to a {config.kind} model of this configuration")
    if len(reasons) > before:
        return None
    return Placed(arch, work.weights, tuple(work.notes))


def _embeddings(work: _Placing) -> Tying:
    arch, config = work.arch, work.config
    head = "decoder.output_projection.weight" if config.kind == "fsmt" else "lm_head.weight"
    encoder, decoder = "encoder.embed_tokens.weight", "decoder.embed_tokens.weight"
    is_shared = shares_vocabulary(config)
    source = (encoder, SHARED, decoder, head) if is_shared else (encoder,)
    target = (decoder, SHARED, encoder, head) if is_shared else (decoder, *((head,) if is_tied(config) else ()))
    # Earlier releases tied FSMT's output layer, and a T5's where the file had none, whatever the configuration said.
    output = (head, *target) if is_tied(config) or config.kind == "fsmt" else (head,)
    tables = [
        work.embedding(source, arch.source_vocabulary),
        work.embedding(target, arch.target_vocabulary),
        work.embedding(output, arch.target_vocabulary),
    ]
    (source_name, of_source), (target_name, of_target), (output_name, of_output) = (
        table or ("", None) for table in tables
    )
    if of_source is None or of_target is None or of_output is None:
        return "none"
    has_own_output = output_name != target_name and not np.array_equal(of_output, of_target)
    has_own_source = source_name != target_name and not np.array_equal(of_source, of_target)
    work.weights["source_embedding"] = of_source
    if has_own_output:
        work.weights |= {"target_embedding": of_target, "output_embedding": of_output}
        if is_tied(config) and config.kind not in ("mt5", "umt5"):
            work.notes.append(f"{output_name} differs from {target_name}, so they are not tied, as the weights have it")
        return "none"
    if has_own_source:
        work.weights["target_embedding"] = of_target
        return "decoder"
    return "all"


def _output_bias(work: _Placing) -> bool:
    if BIAS not in work.names:
        return False
    bias = work.read(BIAS)
    if not work.check_shape(BIAS, bias.shape, (1, work.arch.target_vocabulary)) or not bias.any():
        return False
    work.weights["output_bias"] = bias[0]
    return True


def _positions(work: _Placing) -> str:
    arch, family = work.arch, work.config.family
    if arch.positions == "relative":
        return arch.positions
    assert family is not None, "an architecture has a family"
    skipped = family.unused_positions if arch.positions == "learned" else arch.position_offset
    tables: dict[str, Floats] = {}
    for side, part in (("source", "encoder"), ("target", "decoder")):
        name = f"{part}.embed_positions.weight"
        if name in work.names:
            table = work.read(name)
            positions = arch.source_positions if side == "source" else arch.max_positions
            if work.check_shape(name, table.shape, (positions + skipped, arch.d_model)):
                tables[f"{side}_positions"] = table[skipped:]
        elif arch.positions == "learned":
            work.reasons.add(f"{name} is missing")
    if len(tables) < 2:
        return arch.positions
    if arch.positions == "sinusoidal":
        form = arch.sinusoid_divisor_minus_one
        exact = sinusoid(arch.max_positions, arch.d_model, divisor_minus_one=form, offset=arch.position_offset).numpy()
        if all(np.abs(table - exact).max() <= SINUSOID_TOLERANCE for table in tables.values()):
            return "sinusoidal"
        work.notes.append("the stored positions are not those of the formula, and are taken as they are stored")
    work.weights |= tables
    return "learned"


def _matrices(work: _Placing, arch: Architecture) -> None:
    """Place everything between the embeddings and the output layer."""
    rules = (*T5, *(T5_GATED if arch.gated else T5_PLAIN)) if arch.positions == "relative" else TRANSFORMER
    rules = (*_BEFORE.get(str(work.config.kind), ()), *rules)
    window = arch.encoder_window
    if work.config.kind == "longt5" and window is not None:
        kind = "TransientGlobalSelfAttention" if window.summed else "LocalSelfAttention"
        rules = (*rules, *LONGT5, (r"^(encoder\..*\.)SelfAttention\.", rf"\1{kind}."))
    missing = []
    is_bigbird = work.config.kind == "bigbird_pegasus"
    has_biases = not is_bigbird or work.config.flag("use_bias", default=False)
    lacks_biases = work.config.kind == "pegasus_x" or not has_biases
    with torch.device("meta"):
        expected = {n: shape for n, shape in canonical_shapes(Network(arch)).items() if n.startswith(("enc", "dec"))}
    for name, shape in expected.items():
        if lacks_biases and WITHOUT_BIASES.search(name):
            work.weights[name] = np.zeros(shape, np.float32)
            continue
        theirs = name
        for pattern, text in rules:
            theirs = re.sub(pattern, text, theirs)
        if theirs not in work.names:
            missing.append(theirs)
            continue
        weight = work.read(theirs)
        is_matrix = weight.ndim == 2 and name.endswith(".weight")
        if work.check_shape(theirs, weight.shape, shape[::-1] if is_matrix else shape):
            work.weights[name] = weight.T if is_matrix else weight
    if missing:
        work.reasons.add(f"{some('tensor', missing)} missing, which config.json calls for")
    if arch.positions == "relative":
        _unscale(work, arch)


def _unscale(work: _Placing, arch: Architecture) -> None:
    """T5 does not divide attention scores by the root of the head's width, but its first form divides the output."""
    root = np.float32(arch.head_dim**0.5)
    for name in list(work.weights):
        if re.search(r"\.(self|cross)\.k\.weight$", name):
            work.weights[name] = work.weights[name] * root
    if scales_output(work.config) and "decoder.norm.weight" in work.weights:
        work.weights["decoder.norm.weight"] = work.weights["decoder.norm.weight"] * np.float32(arch.d_model**-0.5)
