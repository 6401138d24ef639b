"""One Transformer with random weights, for three engines: dragoman, CTranslate2 and transformers.

The weights are seeded and handed to each engine under its own names, the sinusoids and the norms' epsilon included, so
that in float32 all three compute the same numbers. Conventions are Marian's: post-norm, tied embeddings, a zero
embedding to start from, id 0 ends a text, id 1 is the unknown word.

Plain random weights decode into nonsense of no particular length. Two things are therefore set by hand. The last norm
turns the signs of half its columns, or tied embeddings would repeat the word just read. And one head of the last
decoder layer looks at the source position of its own number and raises the end token as far as it finds the end there.
With the ending `EXACT` every hypothesis is as long as its source, in every engine, precision and search; where the head
is less sure, the end token competes with the other words well before the source's end, and lengths vary.

What the other engines need is imported where it is used: a test may want one of them alone.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from dragoman.bundle.manifest import Architecture, Decoding, LanguagePair, Limits, Precision, Tokenizer
from dragoman.bundle.reader import Bundle
from dragoman.export.core.checkpoint import Checkpoint
from dragoman.export.export import export

if TYPE_CHECKING:
    from transformers import MarianMTModel

Floats = npt.NDArray[np.float32]

END, UNKNOWN = 0, 1
SPM = "words.model"
MIXED = 0.4
"""How much attention adds to the stream: with more, all positions of an output become alike within a few layers."""
FOCUSED = 4.0
"""How sharply the decoder looks at single source positions: with less, the source hardly matters."""
LOUD = 6.0
"""Strength of the mark that the end token's embedding carries."""
MAX_TOKENS = 512


@dataclass(frozen=True)
class Ending:
    """How the head that looks for the source's end decides."""

    sharpness: float
    """How far it tells a position from its neighbours."""
    gain: float
    """Of the end token's logit, for having found the mark."""
    bias: float
    """Of the end token without it."""


EXACT = Ending(sharpness=16.0, gain=20.0, bias=-50.0)


@dataclass(frozen=True)
class RandomModel:
    """What to make: a network's sizes, and how its output shall look."""

    name: str
    d_model: int
    heads: int
    ffn: int
    layers: int
    """Of the encoder, and as many of the decoder."""
    vocabulary: int
    spread: float
    """Standard deviation of the logits: how peaked the distributions are."""
    ending: Ending
    seed: int = 1
    preserved: float = 1.08
    """What norms multiply the columns with that the end is looked for by, so that they do not fade on their way."""

    @property
    def architecture(self) -> Architecture:
        """The network, as a bundle describes it."""
        return Architecture(
            self.d_model,
            self.heads,
            self.ffn,
            self.layers,
            self.layers,
            self.vocabulary,
            self.vocabulary,
            sinusoid_divisor_minus_one=False,
            max_positions=MAX_TOKENS,
            embedding_scale=self.d_model**0.5,
            norm_epsilon=1e-5,
        )


BIG = RandomModel("random-big", 512, 8, 2048, 6, 32_000, spread=3.4, ending=EXACT)
"""What speed is measured with."""
OPUS = RandomModel("random-opus", 512, 8, 2048, 6, 58_101, spread=3.4, ending=EXACT)
"""The sizes of OPUS-MT's models: 57 % of a step's products are the output layer's."""
NLLB = RandomModel("random-nllb", 1024, 16, 4096, 12, 256_206, spread=3.4, ending=EXACT, preserved=1.15)
"""Those of NLLB-200's distilled 600M: 60 %."""
SHAPES = {"base": BIG, "opus": OPUS, "nllb": NLLB}
"""What a comparison may be asked to take."""
BIG_NEAR = replace(BIG, name="random-big-near", ending=Ending(sharpness=4.0, gain=30.0, bias=-2.0))
"""The same sizes; hypotheses of different lengths compete."""
TINY = RandomModel("random-tiny", 64, 4, 256, 2, 500, spread=5.0, ending=Ending(sharpness=7.0, gain=15.0, bias=-4.0))
"""Small, with peaked distributions: for parity of searches."""


def sinusoids(model: RandomModel) -> Floats:
    """Position encodings [positions, d]: sines in the first half, cosines in the second."""
    half = model.d_model // 2
    rates = 10000.0 ** -(np.arange(half) / half)
    angles = np.arange(MAX_TOKENS)[:, None] * rates
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)


def weights(model: RandomModel) -> dict[str, Floats]:
    """The weights under dragoman's canonical names, matrices [in, out]."""
    rng = np.random.default_rng(model.seed)
    d, ffn = model.d_model, model.ffn
    made: dict[str, Floats] = {}

    def normal(name: str, shape: tuple[int, ...], deviation: float) -> None:
        made[name] = rng.normal(0.0, deviation, shape).astype(np.float32)

    normal("source_embedding", (model.vocabulary, d), model.spread * d**-0.5)
    made["output_bias"] = np.zeros(model.vocabulary, np.float32)
    made["output_bias"][END] = model.ending.bias
    for side, attentions in (("encoder", ("self",)), ("decoder", ("self", "cross"))):
        for n in range(model.layers):
            layer = f"{side}.layers.{n}"
            for kind in attentions:
                for part in "qkvo":
                    gain = {"q": FOCUSED if kind == "cross" else 1.0, "o": MIXED}.get(part, 1.0)
                    normal(f"{layer}.{kind}.{part}.weight", (d, d), gain * d**-0.5)
                    normal(f"{layer}.{kind}.{part}.bias", (d,), 0.02)
            normal(f"{layer}.ffn.up.weight", (d, ffn), d**-0.5)
            normal(f"{layer}.ffn.up.bias", (ffn,), 0.02)
            normal(f"{layer}.ffn.down.weight", (ffn, d), ffn**-0.5)
            normal(f"{layer}.ffn.down.bias", (d,), 0.02)
            for norm in (*(f"{kind}_norm" for kind in attentions), "ffn_norm"):
                made[f"{layer}.{norm}.weight"] = np.ones(d, np.float32)
                normal(f"{layer}.{norm}.bias", (d,), 0.02)
    last = made[f"decoder.layers.{model.layers - 1}.ffn_norm.weight"]
    last *= rng.choice(np.array([-1, 1], np.float32), d)
    _end_with_source(model, made)
    return made


def _end_with_source(model: RandomModel, made: dict[str, Floats]) -> None:
    """Let outputs end where their sources do; see the module's text.

    Some columns of the stream are kept clean of everything but positions, and one of everything but the end token's
    mark: no embedding and no sublayer writes there. The head compares the positions and moves the mark.
    """
    d, half, width = model.d_model, model.d_model // 2, model.d_model // model.heads
    fastest = np.arange(width // 2)
    positions, mark, zero = np.concatenate([fastest, half + fastest]), half - 1, half - 2
    kept = np.append(positions, [mark, zero])  # the slowest sines are next to nothing
    for name, weight in made.items():
        if name.endswith((".o.weight", ".o.bias", "down.weight", "down.bias", "norm.bias")):
            weight[..., kept] = 0
        elif name.endswith("norm.weight"):
            weight[kept] = model.preserved
    embedding = made["source_embedding"]
    embedding[:, kept] = 0
    embedding[END, mark] = LOUD * d**-0.5
    layer = f"decoder.layers.{model.layers - 1}"
    # The faster a sine, the better it tells neighbours apart.
    rates = model.ending.sharpness * np.tile(10000.0 ** -(fastest / half), 2)
    for part in "qkv":
        made[f"{layer}.cross.{part}.weight"][:, :width] = 0
        made[f"{layer}.cross.{part}.bias"][:width] = 0
    made[f"{layer}.cross.o.weight"][:width] = 0
    for part in "qk":
        made[f"{layer}.cross.{part}.weight"][positions, np.arange(width)] = rates
        made[f"{layer}.cross.{part}.weight"][zero, :width] = -rates  # what the norms took off every column
    made[f"{layer}.cross.v.weight"][[mark, zero], 0] = 1, -1
    made[f"{layer}.cross.o.weight"][0, mark] = 4 * LOUD
    made[f"{layer}.ffn_norm.weight"][mark] = model.ending.gain


@cache
def words(model: RandomModel) -> list[str]:
    """What each id is called where an engine wants strings."""
    return ["</s>", "<unk>", *(f"w{n}" for n in range(2, model.vocabulary))]


def to_checkpoint(model: RandomModel) -> Checkpoint:
    """For dragoman. The tokenizer splits at spaces and knows the model's words."""
    from sentencepiece import SentencePieceTrainer

    tokenizer = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(words(model)[2:]),
        model_writer=tokenizer,
        model_type="word",
        vocab_size=model.vocabulary,
        eos_id=END,
        unk_id=UNKNOWN,
        bos_id=-1,
        pad_id=-1,
        minloglevel=2,
    )
    return Checkpoint(
        name=model.name,
        pairs=(LanguagePair("en", "pt"),),
        architecture=model.architecture,
        weights=weights(model),
        quantized={},
        tokenizer=Tokenizer("sentencepiece", SPM, SPM, END, UNKNOWN, model.vocabulary),
        tokenizer_files={SPM: tokenizer.getvalue()},
        decoding=Decoding(),
        limits=Limits(MAX_TOKENS, MAX_TOKENS),
        source_format="random",
        source_files=(),
    )


def to_bundle(
    model: RandomModel,
    directory: Path,
    precision: Precision,
    progress: Callable[[str], None] = lambda _: None,
    *,
    fixed_scales: bool = False,
) -> Bundle:
    """A dragoman bundle in `directory`, which must not exist; int8 with row scales, or fixed ones measured on texts."""
    calibration = texts(model, [8, 16, 24, 32, 48, 64] * 4, seed=1001) if fixed_scales else None
    return export(to_checkpoint(model), directory, precision=precision, calibration=calibration, progress=progress)


def to_ctranslate2(model: RandomModel, directory: Path) -> Path:
    """A CTranslate2 model in float32, which it quantises itself when it loads it with another compute type."""
    from ctranslate2.specs import TransformerSpec

    made = weights(model)
    spec = TransformerSpec.from_config((model.layers, model.layers), model.heads, pre_norm=False)
    spec.config.layer_norm_epsilon = model.architecture.norm_epsilon
    spec.config.bos_token = spec.config.decoder_start_token = spec.config.eos_token = "</s>"
    spec.config.unk_token = "<unk>"
    spec.decoder.start_from_zero_embedding = True
    spec.decoder.projection.weight = made["source_embedding"]
    spec.decoder.projection.bias = made["output_bias"]
    for side, stack in (("encoder", spec.encoder), ("decoder", spec.decoder)):
        table = stack.embeddings[0] if side == "encoder" else stack.embeddings
        table.weight = made["source_embedding"]
        stack.position_encodings.encodings = sinusoids(model)
        for n, layer in enumerate(stack.layer):
            name = f"{side}.layers.{n}"
            _ct2_attention(layer.self_attention, made, f"{name}.self", ("qkv", "o"))
            if side == "decoder":
                _ct2_attention(layer.attention, made, f"{name}.cross", ("q", "kv", "o"))
            _ct2_norm(layer.ffn.layer_norm, made, f"{name}.ffn_norm")
            for part, linear in (("up", layer.ffn.linear_0), ("down", layer.ffn.linear_1)):
                linear.weight = made[f"{name}.ffn.{part}.weight"].T
                linear.bias = made[f"{name}.ffn.{part}.bias"]
    spec.register_source_vocabulary(words(model))
    spec.register_target_vocabulary(words(model))
    spec.validate()
    spec.optimize()
    directory.mkdir(parents=True, exist_ok=True)
    spec.save(str(directory))
    return directory


def _ct2_attention(spec: object, made: dict[str, Floats], name: str, fused: tuple[str, ...]) -> None:
    for linear, parts in zip(spec.linear, fused, strict=True):  # type: ignore[attr-defined]
        linear.weight = np.concatenate([made[f"{name}.{part}.weight"].T for part in parts])
        linear.bias = np.concatenate([made[f"{name}.{part}.bias"] for part in parts])
    _ct2_norm(spec.layer_norm, made, f"{name}_norm")  # type: ignore[attr-defined]


def _ct2_norm(spec: object, made: dict[str, Floats], name: str) -> None:
    spec.gamma, spec.beta = made[f"{name}.weight"], made[f"{name}.bias"]  # type: ignore[attr-defined]


HF_NAMES = {
    ".self.": ".self_attn.",
    ".cross.": ".encoder_attn.",
    ".self_norm.": ".self_attn_layer_norm.",
    ".cross_norm.": ".encoder_attn_layer_norm.",
    ".ffn_norm.": ".final_layer_norm.",
    ".ffn.up.": ".fc1.",
    ".ffn.down.": ".fc2.",
    ".q.": ".q_proj.",
    ".k.": ".k_proj.",
    ".v.": ".v_proj.",
    ".o.": ".out_proj.",
}


def to_transformers(model: RandomModel) -> MarianMTModel:
    """A transformers model. As its importers do, it has one more word, for padding and to start from: never put out."""
    import torch
    from transformers import MarianConfig, MarianMTModel

    pad, made = model.vocabulary, weights(model)
    config = MarianConfig(
        vocab_size=pad + 1,
        d_model=model.d_model,
        encoder_layers=model.layers,
        decoder_layers=model.layers,
        encoder_attention_heads=model.heads,
        decoder_attention_heads=model.heads,
        encoder_ffn_dim=model.ffn,
        decoder_ffn_dim=model.ffn,
        activation_function="relu",
        dropout=0.0,
        scale_embedding=True,
        max_position_embeddings=MAX_TOKENS,
        pad_token_id=pad,
        eos_token_id=END,
        decoder_start_token_id=pad,
        forced_eos_token_id=None,
    )
    state: dict[str, Floats] = {
        "model.shared.weight": np.pad(made["source_embedding"], ((0, 1), (0, 0))),
        "final_logits_bias": np.append(made["output_bias"], np.float32(-1e9))[None],
    }
    for name, weight in made.items():
        if not name.startswith(("encoder.", "decoder.")):
            continue
        foreign = name
        for ours, theirs in HF_NAMES.items():
            foreign = foreign.replace(ours, theirs)
        state[f"model.{foreign}"] = weight.T if weight.ndim == 2 else weight
    for side in ("encoder", "decoder"):
        state[f"model.{side}.embed_tokens.weight"] = state["model.shared.weight"]
        state[f"model.{side}.embed_positions.weight"] = sinusoids(model)
    state["lm_head.weight"] = state["model.shared.weight"]
    network = MarianMTModel(config)
    network.load_state_dict({n: torch.from_numpy(np.ascontiguousarray(w)) for n, w in state.items()})
    return network.eval()


def texts(model: RandomModel, lengths: list[int], seed: int = 7) -> list[tuple[int, ...]]:
    """Random sources of these lengths, the end token counted."""
    return texts_of(model.vocabulary, END, lengths, seed)


def texts_of(vocabulary: int, end: int, lengths: list[int], seed: int = 7) -> list[tuple[int, ...]]:
    """The same for a vocabulary of this size."""
    rng = np.random.default_rng(seed)
    return [(*rng.integers(2, vocabulary, n - 1).tolist(), end) for n in lengths]
