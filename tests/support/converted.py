"""Random Transformers as CTranslate2's own specification saves them."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import sentencepiece
from ctranslate2.converters import transformers
from ctranslate2.specs import TransformerSpec, common_spec

WORDS = 40
OPENNMT = ("<unk>", "<blank>", "<s>", "</s>")
CASES = {
    "opennmt": {},
    "post-norm": {"pre_norm": False, "activation": common_spec.Activation.GELU, "start": "</s>"},
    "marian": {
        "pre_norm": False,
        "activation": common_spec.Activation.SWISH,
        "zero": True,
        "start": "</s>",
        "tied": True,
    },
    "learned": {"encodings": 24, "layernorm_embedding": True, "pre_norm": False, "start": "</s>", "unscaled": True},
    "shaw": {"with_relative_position": True, "layers": (1, 2), "no_final_norm": True},
    "t5": {
        "relative_attention_bias": True,
        "ffn_glu": True,
        "rms_norm": True,
        "activation": common_spec.Activation.GELUTanh,
        "loader": "T5Loader",
        "unscaled": True,
        "queries": 1.0,
        "outputs": 0.3,
    },
    "pegasus": {"loader": "PegasusLoader"},
    "own words": {"source": 33, "layers": (2, 1), "bias": False},
}
"""Options of the specification, and what is set besides."""


def tokens(count: int) -> list[str]:
    """A vocabulary: OpenNMT's own words, then pieces."""
    return [*OPENNMT, *(f"\u2581w{n}" for n in range(count - len(OPENNMT)))]


def configure(config, loader: str) -> None:
    """What the library's converter of that model writes; padding is `<blank>`."""
    words = SimpleNamespace(pad_token="<blank>", bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    words.convert_ids_to_tokens = OPENNMT.__getitem__
    model = SimpleNamespace(config=SimpleNamespace(decoder_start_token_id=1))
    getattr(transformers, loader)().set_config(config, model, words)


def pieces(folder: Path) -> None:
    """A SentencePiece model that has the pieces of the vocabularies."""
    words = [f"w{n}" for n in range(WORDS)]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([" ".join(words)] * 3),
        model_prefix=str(folder / "words"),
        vocab_size=WORDS + 3,
        model_type="word",
        minloglevel=2,
    )
    (folder / "words.vocab").unlink()


def save(folder: Path, quantization=None, *, d=12, heads=3, ffn=20, **case) -> Path:
    """A model of random weights; `case` is one of `CASES`."""
    own = {
        key: case.pop(key, None)
        for key in ("start", "zero", "tied", "encodings", "unscaled", "queries", "outputs", "source", "bias", "loader")
    }
    layers = case.pop("layers", (2, 2))
    spec = TransformerSpec.from_config(layers, heads, **case)
    rng = np.random.default_rng(5)

    def random(*shape, spread=0.5):
        return rng.normal(0, spread, shape).astype(np.float32)

    def linear(part, rows, columns):
        part.weight = random(rows, columns)
        if own["bias"] is not False and not case.get("rms_norm"):
            part.bias = random(rows)

    def norm(part):
        part.gamma = 1 + random(d)
        if hasattr(part, "beta"):
            part.beta = random(d)

    def attention(part, wide):
        for each, rows in zip(part.linear, wide, strict=True):
            linear(each, rows, d)
        norm(part.layer_norm)
        if own["queries"] is not None:
            part.queries_scale = np.float32(own["queries"])

    source = own["source"] or WORDS
    spec.encoder.embeddings[0].weight = random(source, d)
    spec.decoder.embeddings.weight = spec.encoder.embeddings[0].weight if own["tied"] else random(WORDS, d)
    spec.decoder.projection.weight = spec.decoder.embeddings.weight if own["tied"] else random(WORDS, d)
    spec.decoder.projection.bias = random(WORDS)
    for stack in (spec.encoder, spec.decoder):
        stack.scale_embeddings = not own["unscaled"]
        if own["encodings"]:
            stack.position_encodings.encodings = random(own["encodings"], d)
        for name in ("layer_norm", "layernorm_embedding"):
            if hasattr(stack, name):
                norm(getattr(stack, name))
        for n, layer in enumerate(stack.layer):
            attention(layer.self_attention, (3 * d, d))
            if hasattr(layer, "attention"):
                attention(layer.attention, (d, 2 * d, d))
            if case.get("with_relative_position"):
                layer.self_attention.relative_position_keys = random(7, d // heads)
                layer.self_attention.relative_position_values = random(7, d // heads)
            if case.get("relative_attention_bias"):
                first = stack.layer[0].self_attention
                layer.self_attention.relative_attention_bias = (
                    random(8, heads) if n == 0 else first.relative_attention_bias
                )
                layer.self_attention.relative_attention_max_distance = np.dtype("int32").type(12)
            norm(layer.ffn.layer_norm)
            linear(layer.ffn.linear_0, ffn, d)
            linear(layer.ffn.linear_1, d, ffn)
            if case.get("ffn_glu"):
                linear(layer.ffn.linear_0_noact, ffn, d)
    if own["outputs"] is not None:
        spec.decoder.scale_outputs = np.float32(own["outputs"])
    spec.decoder.start_from_zero_embedding = bool(own["zero"])
    spec.config.decoder_start_token = own["start"] or "<s>"
    if own["loader"]:
        configure(spec.config, own["loader"])
    spec.register_source_vocabulary(tokens(source))
    spec.register_target_vocabulary(tokens(WORDS))
    spec.validate()
    spec.optimize(quantization)
    folder.mkdir(parents=True, exist_ok=True)
    spec.save(str(folder))
    pieces(folder)
    return folder
