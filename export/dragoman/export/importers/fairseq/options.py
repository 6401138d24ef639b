"""fairseq's options of a Transformer, and what each means in the canonical network.

Architectures of fairseq are names for sets of options, which a checkpoint states one by one: what a model is called
tells only of kinds that compute something else. An option that is absent has fairseq's default; sizes have none here,
because a checkpoint always states them. Dropout and its like are of training and not read.
"""

import re
from dataclasses import dataclass

from dragoman.bundle.manifest import Activation, Architecture, NormPlacement
from dragoman.export.core.reasons import Reasons, short
from dragoman.export.importers.fairseq.dictionary import PAD_ID
from dragoman.export.importers.fairseq.pickle import Options
from dragoman.export.importers.files.sizes import MOST, unless

ACTIVATIONS: dict[str, Activation] = {
    "relu": "relu",
    "relu_squared": "relu-squared",
    "gelu": "gelu",
    "gelu_fast": "gelu-tanh",
    "gelu_accurate": "gelu-tanh",
    "swish": "swish",
    "tanh": "tanh",
    "linear": "linear",
}
POSITIONS = 1024
"""fairseq's default of max_source_positions and max_target_positions."""
MOST_SINUSOIDS = 4096
"""Sinusoids could go on for ever, and a graph holds a table of them."""
EPSILON = 1e-5

OTHER_MODELS = (
    (r"levenshtein|insertion", "edits a translation in several passes, for which there are no graphs"),
    (r"with_link|dag", "DA-Transformer chooses a path through a graph of words, for which there are no graphs"),
    (r"nacrf", "has a conditional random field behind its decoder"),
    (r"multilingual_transformer|latent_multilingual", "keeps a network for each language"),
    (r"fconv|lightconv|dynamicconv", "is made of convolutions"),
    (r"(^|_)lm($|_)|gpt|bert|wav2vec|hubert", "does not translate text"),
    (r"s2t|speech|audio|tts|convtransformer|berard", "does not read text"),
    (r"pointer_generator|linformer|wait|monotonic|fusion|lstm", "computes something else than a Transformer"),
)
"""Names that stand for something else, and what that is."""
REFUSED = {
    "adaptive_input": "adaptive input embeddings",
    "adaptive_softmax_cutoff": "an adaptive softmax",
    "tie_adaptive_weights": "an adaptive softmax",
    "char_inputs": "characters as input",
    "cross_self_attention": "one attention for source and target",
    "no_cross_attention": "no attention to the source",
    "base_layers": "BASE layers",
    "moe_freq": "experts",
    "quant_noise_pq": "a matrix behind the embeddings, against the noise of quantising",
    "quant_noise_scalar": "weights that are quantised as it runs",
    "scale_attn": "norms within attention",
    "scale_fc": "norms within the feed-forward",
    "scale_heads": "weights of heads",
    "scale_resids": "weights of residual connections",
    "encoder_xformers_att_config": "attention of xformers",
    "decoder_xformers_att_config": "attention of xformers",
    "use_ptrnet": "a pointer network",
}
"""Options that change what is computed in ways that are not supported, and what they stand for."""


@dataclass(frozen=True)
class Side:
    """Encoder or decoder, as its options describe it."""

    width: int
    layers: int
    heads: int
    ffn: int
    norm: NormPlacement
    is_learned: bool
    """Positions are trained."""
    positions: int
    kept: tuple[int, ...]
    """Which of the file's layers there are; empty: all."""


@dataclass(frozen=True)
class Model:
    """A model as its options describe it, without what only the weights can tell."""

    arch: str
    encoder: Side
    decoder: Side
    activation: Activation
    scales_embedding: bool
    has_positions: bool
    embedding_norm: bool
    decoder_final_norm: bool
    shares_all: bool
    shares_output: bool
    notes: tuple[str, ...]

    @property
    def embedding_scale(self) -> float:
        """What target words are multiplied with."""
        return float(self.decoder.width**0.5) if self.scales_embedding else 1.0

    @property
    def source_scale(self) -> float:
        """What source words are multiplied with before that, where the encoder has another width."""
        return float((self.encoder.width / self.decoder.width) ** 0.5) if self.scales_embedding else 1.0

    @property
    def is_sinusoidal(self) -> bool:
        """Whether both sides compute their positions; else they are stored."""
        return self.has_positions and not (self.encoder.is_learned or self.decoder.is_learned)

    def architecture(self, source_words: int, target_words: int) -> Architecture:
        """The architecture, of vocabularies of these sizes."""
        encoder, decoder = self.encoder, self.decoder
        return Architecture(
            d_model=decoder.width,
            heads=decoder.heads,
            ffn=decoder.ffn,
            encoder_layers=encoder.layers,
            decoder_layers=decoder.layers,
            source_vocabulary=source_words,
            target_vocabulary=target_words,
            norm=decoder.norm,
            activation=self.activation,
            positions="sinusoidal" if self.is_sinusoidal else "learned",
            max_positions=max(encoder.positions, decoder.positions),
            embedding_scale=self.embedding_scale,
            embedding_norm=self.embedding_norm,
            output_bias=False,
            norm_epsilon=EPSILON,
            encoder_heads=unless(encoder.heads, decoder.heads),
            encoder_ffn=unless(encoder.ffn, decoder.ffn),
            encoder_width=unless(encoder.width, decoder.width),
            encoder_norm=None if encoder.norm == decoder.norm else encoder.norm,
            decoder_final_norm=self.decoder_final_norm,
            position_offset=PAD_ID + 1 if self.is_sinusoidal else 0,
        )


def read_model(options: Options, reasons: Reasons) -> Model | None:
    """The model that the options describe; None when there is a reason against it."""
    before = len(reasons)
    reasons.require(options.arch, "the options name no architecture (arch)")
    for pattern, what in OTHER_MODELS:
        reasons.require(not re.search(pattern, options.arch), f"the architecture {short(options.arch)} {what}")
    for name, what in REFUSED.items():
        value = options.raw(name)
        reasons.require(value in (None, False, 0, "", []), f"{name} {short(value)}: {what} cannot be exported")
    activation = options.word("activation_fn", "relu")
    known = ", ".join(ACTIVATIONS)
    reasons.require(activation in ACTIVATIONS, f"activation_fn must be one of {known}, it is {short(activation)}")
    notes: list[str] = []
    has_positions = not options.flag("no_token_positional_embeddings")
    encoder = _side(options, "encoder", "max_source_positions", reasons, notes)
    decoder = _side(options, "decoder", "max_target_positions", reasons, notes)
    shares_all = options.flag("share_all_embeddings")
    model = Model(
        arch=options.arch,
        encoder=encoder,
        decoder=decoder,
        activation=ACTIVATIONS.get(activation, "relu"),
        scales_embedding=not options.flag("no_scale_embedding"),
        has_positions=has_positions,
        embedding_norm=options.flag("layernorm_embedding"),
        decoder_final_norm=not options.flag("no_decoder_final_norm"),
        shares_all=shares_all,
        shares_output=shares_all or options.flag("share_decoder_input_output_embed"),
        notes=(*notes, *_alignment_notes(options, decoder)),
    )
    return model if len(reasons) == before else None


def _side(options: Options, side: str, positions_of: str, reasons: Reasons, notes: list[str]) -> Side:
    # What the decoder does not say is as in the encoder: so fairseq completes it.
    usual = {
        name: options.raw(f"encoder_{name}") if side == "decoder" else None for name in ("embed_dim", "ffn_embed_dim")
    }
    width = options.whole(f"{side}_embed_dim", MOST["width"], usual["embed_dim"])
    heads = options.whole(f"{side}_attention_heads", MOST["heads"])
    reasons.require(width % heads == 0, f"{side}_attention_heads {heads} must divide {side}_embed_dim {width}")
    kept = _kept(options, side, reasons)
    is_learned = options.flag(f"{side}_learned_pos")
    positions = options.whole(positions_of, MOST["positions"], POSITIONS)
    if not is_learned and positions > MOST_SINUSOIDS:
        notes.append(f"{positions_of} is {positions}, of which the first {MOST_SINUSOIDS} are kept")
        positions = MOST_SINUSOIDS
    return Side(
        width=width,
        layers=len(kept) or options.whole(f"{side}_layers", MOST["layers"]),
        heads=heads,
        ffn=options.whole(f"{side}_ffn_embed_dim", MOST["ffn"], usual["ffn_embed_dim"]),
        norm="pre" if options.flag(f"{side}_normalize_before") else "post",
        is_learned=is_learned,
        positions=positions,
        kept=kept,
    )


def _kept(options: Options, side: str, reasons: Reasons) -> tuple[int, ...]:
    """The layers that are left of those that were trained, as in `0,2,4`."""
    name = f"{side}_layers_to_keep"
    value = options.raw(name)
    listed = [part.strip() for part in value.split(",")] if isinstance(value, str) else value or []
    if not isinstance(listed, list) or not all(str(part).isdecimal() for part in listed):
        reasons.add(f"{name} must be numbers of layers with commas between, it is {short(value)}")
        return ()
    kept = tuple(sorted({int(part) for part in listed}))
    if kept and kept[-1] >= MOST["layers"]:
        reasons.add(f"{name} names layer {kept[-1]}, of {MOST['layers']} at most")
        return ()
    return kept


def _alignment_notes(options: Options, decoder: Side) -> tuple[str, ...]:
    """transformer_align trained one layer's heads to align; alignments come from the last layer's."""
    layer = options.raw("alignment_layer")
    if layer is None or alignment_head(options, decoder.layers) is not None:
        return ()
    return (f"alignments are the mean of the last decoder layer's heads, not those of alignment_layer {short(layer)}",)


def alignment_head(options: Options, layers: int) -> int | None:
    """The head of the last layer that was trained to align, where it is a single one."""
    layer, heads = options.raw("alignment_layer"), options.raw("alignment_heads")
    return 0 if heads == 1 and layer == layers - 1 else None
