"""Random models of every family, made and saved by transformers, against the canonical network and the exported graphs.

Weights are wide, so that one wrong norm, scale or offset moves the logits by far more than is allowed.
"""

import copy
import json
import os
import shutil
import threading
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from dragoman.bundle.manifest import LanguagePair, Limits, Tokenizer
from dragoman.export.core.checkpoint import Checkpoint
from dragoman.export.core.reasons import Reasons
from dragoman.export.export import export
from dragoman.export.graphs.running import packed, padded
from dragoman.export.importers.hf.importer import read_model
from dragoman.export.importers.hf.oracle import TransformersOracle
from dragoman.export.network.load import load_network
from dragoman.export.proof.stepping import Stepper
from dragoman.export.task import with_global_words
from dragoman.server.core.segments import Decoded, Segment
from dragoman.server.lanes.opening import open_lanes
from dragoman.server.telemetry.lane_metrics import LaneTally

SOURCE_LENGTHS = (1, 9, 5)
TOLERANCE = 1e-4
SEED = 2100

# Sizes that have nothing in common, so that no axis passes for another.
ODD = {
    "d_model": 24,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 3,
    "encoder_ffn_dim": 37,
    "decoder_ffn_dim": 29,
    "max_position_embeddings": 31,
}
EVEN = {
    "d_model": 16,
    "encoder_layers": 3,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "max_position_embeddings": 32,
}
T5 = {"vocab_size": 67, "d_model": 20, "d_kv": 6, "d_ff": 31, "num_layers": 3, "num_heads": 3}
MARIAN = {"pad_token_id": 60, "decoder_start_token_id": 60, "vocab_size": 61}
LANGUAGE = 55
LANGUAGES = {"vocab_size": LANGUAGE + 4}

BERT = {
    "model_type": "bert",
    "hidden_size": 20,
    "num_hidden_layers": 2,
    "num_attention_heads": 5,
    "intermediate_size": 23,
    "max_position_embeddings": 33,
    "vocab_size": 61,
    "type_vocab_size": 3,
}
WIDE = {"hidden_size": 24, "num_attention_heads": 3, "vocab_size": 53, "max_position_embeddings": 31}
ROBERTA = {**BERT, "model_type": "roberta", "max_position_embeddings": 40, "layer_norm_eps": 1e-5, "pad_token_id": 1}


def pair(encoder: dict, decoder: dict, **ids: int) -> dict:
    """The configuration of an encoder and a decoder that attends to it."""
    decoder = {**decoder, "is_decoder": True, "add_cross_attention": True}
    return {"encoder": encoder, "decoder": decoder, "pad_token_id": 0, "decoder_start_token_id": 2, **ids}


GEMMA = {
    "hidden_size": 20,
    "intermediate_size": 23,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 6,
    "query_pre_attn_scalar": 11,
    "max_position_embeddings": 40,
    "vocab_size": 61,
    "attn_logit_softcapping": 2.0,
    "final_logit_softcapping": 5.0,
    "sliding_window": 9,
}
FEW = {"num_attention_heads": 5, "num_key_value_heads": 1, "num_hidden_layers": 3, "intermediate_size": 31}


LED = {key: value for key, value in ODD.items() if key != "max_position_embeddings"} | {
    "vocab_size": 63,
    "attention_window": 6,
    "max_encoder_position_embeddings": 200,
    "max_decoder_position_embeddings": 31,
}
LED_EVEN = {**LED, **{key: value for key, value in EVEN.items() if key != "max_position_embeddings"}}
TRANSIENT = {**T5, "encoder_attention_type": "transient-global"}


def gemma(encoder: dict, decoder: dict) -> dict:
    """The configuration of a T5Gemma."""
    return {"encoder": {**GEMMA, **encoder}, "decoder": {**GEMMA, **decoder}, "vocab_size": 61}


# name -> transformers' class, its configuration; the first of a family is also exported
CASES = {
    "marian": ("MarianMTModel", {**ODD, **MARIAN, "activation_function": "swish", "scale_embedding": True}),
    "marian-two-vocabularies": (
        "MarianMTModel",
        {
            **EVEN,
            "vocab_size": 71,
            "decoder_vocab_size": 53,
            "share_encoder_decoder_embeddings": False,
            "pad_token_id": 52,
            "decoder_start_token_id": 52,
            "activation_function": "relu",
        },
    ),
    "marian-untied": ("MarianMTModel", {**EVEN, **MARIAN, "tie_word_embeddings": False}),
    "marian-untied-two-vocabularies": (
        "MarianMTModel",
        {
            **EVEN,
            "vocab_size": 71,
            "decoder_vocab_size": 53,
            "share_encoder_decoder_embeddings": False,
            "tie_word_embeddings": False,
            "pad_token_id": 52,
            "decoder_start_token_id": 52,
            "activation_function": "gelu_new",
        },
    ),
    "marian-odd-width": (
        "MarianMTModel",
        {**EVEN, **MARIAN, "d_model": 15, "encoder_attention_heads": 3, "decoder_attention_heads": 5},
    ),
    "m2m100": ("M2M100ForConditionalGeneration", {**ODD, **LANGUAGES, "activation_function": "relu"}),
    "m2m100-unscaled": ("M2M100ForConditionalGeneration", {**EVEN, **LANGUAGES, "scale_embedding": False}),
    "nllb": ("M2M100ForConditionalGeneration", {**ODD, **LANGUAGES, "activation_function": "silu"}),
    "m2m100-untied": ("M2M100ForConditionalGeneration", {**EVEN, **LANGUAGES, "tie_word_embeddings": False}),
    "m2m100-other-padding": ("M2M100ForConditionalGeneration", {**EVEN, **LANGUAGES, "pad_token_id": 3}),
    "bart": ("BartForConditionalGeneration", {**ODD, "vocab_size": 63}),
    "bart-scaled": ("BartForConditionalGeneration", {**EVEN, "vocab_size": 63, "scale_embedding": True}),
    "bart-untied": (
        "BartForConditionalGeneration",
        {**EVEN, "vocab_size": 63, "tie_word_embeddings": False, "activation_function": "relu"},
    ),
    "mvp": ("MvpForConditionalGeneration", {**ODD, "vocab_size": 63}),
    "mvp-scaled": ("MvpForConditionalGeneration", {**EVEN, "vocab_size": 63, "scale_embedding": True}),
    "mvp-untied": (
        "MvpForConditionalGeneration",
        {**EVEN, "vocab_size": 63, "tie_word_embeddings": False, "activation_function": "relu"},
    ),
    "plbart": ("PLBartForConditionalGeneration", {**ODD, **LANGUAGES}),
    "plbart-unscaled": (
        "PLBartForConditionalGeneration",
        {**EVEN, **LANGUAGES, "scale_embedding": False, "activation_function": "gelu_new", "bos_token_id": 5},
    ),
    "plbart-untied": ("PLBartForConditionalGeneration", {**EVEN, **LANGUAGES, "tie_word_embeddings": False}),
    "blenderbot": (
        "BlenderbotForConditionalGeneration",
        {**ODD, "vocab_size": 63, "scale_embedding": True, "encoder_no_repeat_ngram_size": 2},
    ),
    "blenderbot-relu": (
        "BlenderbotForConditionalGeneration",
        {**EVEN, "vocab_size": 63, "activation_function": "relu", "encoder_no_repeat_ngram_size": 1},
    ),
    "blenderbot-untied": (
        "BlenderbotForConditionalGeneration",
        {**EVEN, "vocab_size": 63, "tie_word_embeddings": False, "decoder_start_token_id": 7},
    ),
    "blenderbot-small": ("BlenderbotSmallForConditionalGeneration", {**ODD, "vocab_size": 63, "scale_embedding": True}),
    "blenderbot-small-relu": (
        "BlenderbotSmallForConditionalGeneration",
        {**EVEN, "vocab_size": 63, "activation_function": "relu", "decoder_start_token_id": 7},
    ),
    "blenderbot-small-untied": (
        "BlenderbotSmallForConditionalGeneration",
        {**EVEN, "vocab_size": 63, "tie_word_embeddings": False},
    ),
    "mbart": (
        "MBartForConditionalGeneration",
        {**ODD, **LANGUAGES, "scale_embedding": True, "decoder_start_token_id": 2},
    ),
    "mbart-25": ("MBartForConditionalGeneration", {**EVEN, "vocab_size": 59, "decoder_start_token_id": 57}),
    "mbart-untied": (
        "MBartForConditionalGeneration",
        {**EVEN, **LANGUAGES, "decoder_start_token_id": 2, "tie_word_embeddings": False, "activation_function": "relu"},
    ),
    "pegasus": ("PegasusForConditionalGeneration", {**ODD, "vocab_size": 63, "scale_embedding": True}),
    "pegasus-relu": ("PegasusForConditionalGeneration", {**EVEN, "vocab_size": 63, "activation_function": "relu"}),
    "pegasus-untied": ("PegasusForConditionalGeneration", {**EVEN, "vocab_size": 63, "tie_word_embeddings": False}),
    "t5": ("T5ForConditionalGeneration", {**T5, "num_layers": 1}),
    "t5-one-and-one": (
        "T5ForConditionalGeneration",
        {**T5, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False, "relative_attention_max_distance": 20},
    ),
    "t5-few-buckets": (
        "T5ForConditionalGeneration",
        {
            **T5,
            "feed_forward_proj": "gated-silu",
            "relative_attention_num_buckets": 7,
            "relative_attention_max_distance": 9,
            "layer_norm_epsilon": 1e-3,
        },
    ),
    "mt5": ("MT5ForConditionalGeneration", {**T5, "num_layers": 1, "d_kv": 8}),
    "mt5-relu": ("MT5ForConditionalGeneration", {**T5, "feed_forward_proj": "relu", "num_decoder_layers": 3}),
    "mt5-gelu": ("MT5ForConditionalGeneration", {**T5, "feed_forward_proj": "gelu"}),
    "bert2bert": (
        "EncoderDecoderModel",
        pair({**BERT, "num_hidden_layers": 1}, {**BERT, **WIDE, "hidden_act": "relu"}),
    ),
    "bert2bert-tied": (
        "EncoderDecoderModel",
        pair({**BERT, "layer_norm_eps": 0.2}, {**BERT, "num_attention_heads": 4, "hidden_act": "gelu_new"}),
    ),
    "roberta2roberta": (
        "EncoderDecoderModel",
        pair({**ROBERTA, "type_vocab_size": 1}, {**ROBERTA, "tie_word_embeddings": False}, pad_token_id=1),
    ),
    "electra2generation": (
        "EncoderDecoderModel",
        pair(
            {**BERT, "model_type": "electra", "embedding_size": 20, "hidden_act": "silu"},
            {**BERT, "model_type": "bert-generation", "pad_token_id": 0, "eos_token_id": 3},
        ),
    ),
    "distil2camembert": (
        "EncoderDecoderModel",
        pair(
            {
                "model_type": "distilbert",
                "dim": 12,
                "n_layers": 2,
                "n_heads": 3,
                "hidden_dim": 17,
                "max_position_embeddings": 31,
                "vocab_size": 57,
            },
            {**ROBERTA, "model_type": "camembert", "pad_token_id": 4, "max_position_embeddings": 50},
            pad_token_id=4,
        ),
    ),
    "roberta2electra": (
        "EncoderDecoderModel",
        pair(
            {**ROBERTA, "model_type": "xlm-roberta"},
            {**BERT, "model_type": "electra", "embedding_size": 20, "hidden_act": "relu", "pad_token_id": 1},
            pad_token_id=1,
        ),
    ),
    "t5gemma": ("T5GemmaForConditionalGeneration", gemma({"sliding_window": 4}, {**FEW, "sliding_window": 3})),
    "t5gemma-full": (
        "T5GemmaForConditionalGeneration",
        gemma(
            {**FEW, "layer_types": ["full_attention"] * 3, "hidden_size": 25, "attn_logit_softcapping": None},
            {"layer_types": ["full_attention"] * 2, "final_logit_softcapping": None, "attention_bias": True},
        ),
    ),
    "t5gemma-untied": (
        "T5GemmaForConditionalGeneration",
        {
            **gemma(
                {"head_dim": 4, "rms_norm_eps": 1e-2, "hidden_activation": "silu", "query_pre_attn_scalar": 3},
                {"num_key_value_heads": 4, "rope_parameters": {"rope_type": "default", "rope_theta": 77.0}},
            ),
            "tie_word_embeddings": False,
        },
    ),
    "umt5": ("UMT5ForConditionalGeneration", {**T5, "num_decoder_layers": 2, "d_kv": 8}),
    "umt5-relu": ("UMT5ForConditionalGeneration", {**T5, "feed_forward_proj": "relu", "num_decoder_layers": 1}),
    "umt5-few-buckets": (
        "UMT5ForConditionalGeneration",
        {
            **T5,
            "feed_forward_proj": "gated-silu",
            "relative_attention_num_buckets": 7,
            "relative_attention_max_distance": 9,
            "layer_norm_epsilon": 1e-3,
        },
    ),
    "led": ("LEDForConditionalGeneration", LED),
    "led-untied": (
        "LEDForConditionalGeneration",
        {**LED_EVEN, "attention_window": [4, 40, 10], "tie_word_embeddings": False},
    ),
    "led-relu": (
        "LEDForConditionalGeneration",
        {**LED_EVEN, "attention_window": 66, "activation_function": "relu", "max_encoder_position_embeddings": 264},
    ),
    "pegasus-x": (
        "PegasusXForConditionalGeneration",
        {**ODD, "vocab_size": 63, "block_size": 8, "num_global_tokens": 3, "max_position_embeddings": 200},
    ),
    "pegasus-x-aligned": (
        "PegasusXForConditionalGeneration",
        {
            **EVEN,
            "vocab_size": 63,
            "block_size": 48,
            "num_global_tokens": 1,
            "stagger_local_blocks": False,
            "scale_embedding": False,
            "activation_function": "relu",
            "max_position_embeddings": 200,
        },
    ),
    "pegasus-x-wide": (
        "PegasusXForConditionalGeneration",
        {
            **EVEN,
            "encoder_layers": 4,
            "vocab_size": 63,
            "block_size": 64,
            "num_global_tokens": 17,
            "tie_word_embeddings": False,
            "max_position_embeddings": 200,
        },
    ),
    "bigbird": (
        "BigBirdPegasusForConditionalGeneration",
        {**ODD, "vocab_size": 63, "block_size": 4, "num_random_blocks": 2, "max_position_embeddings": 200},
    ),
    "bigbird-biases": (
        "BigBirdPegasusForConditionalGeneration",
        {
            **EVEN,
            "vocab_size": 63,
            "block_size": 16,
            "num_random_blocks": 1,
            "use_bias": True,
            "scale_embedding": False,
            "max_position_embeddings": 200,
        },
    ),
    "bigbird-untied": (
        "BigBirdPegasusForConditionalGeneration",
        {
            **EVEN,
            "vocab_size": 63,
            "block_size": 6,
            "num_random_blocks": 3,
            "activation_function": "relu",
            "tie_word_embeddings": False,
            "max_position_embeddings": 200,
        },
    ),
    "bigbird-full": (
        "BigBirdPegasusForConditionalGeneration",
        {**EVEN, "vocab_size": 63, "attention_type": "original_full", "max_position_embeddings": 200},
    ),
    "longt5": ("LongT5ForConditionalGeneration", {**T5, "local_radius": 5, "d_kv": 8}),
    "longt5-wide": (
        "LongT5ForConditionalGeneration",
        {**T5, "local_radius": 37, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    ),
    "longt5-few-buckets": (
        "LongT5ForConditionalGeneration",
        {
            **T5,
            "local_radius": 16,
            "num_decoder_layers": 1,
            "relative_attention_num_buckets": 7,
            "relative_attention_max_distance": 9,
        },
    ),
    "longt5-transient": (
        "LongT5ForConditionalGeneration",
        {**TRANSIENT, "num_layers": 1, "local_radius": 7, "global_block_size": 4},
    ),
    "longt5-transient-16": (
        "LongT5ForConditionalGeneration",
        {**TRANSIENT, "local_radius": 21, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    ),
    "longt5-transient-few-buckets": (
        "LongT5ForConditionalGeneration",
        {
            **TRANSIENT,
            "local_radius": 3,
            "global_block_size": 2,
            "num_decoder_layers": 1,
            "relative_attention_num_buckets": 9,
            "relative_attention_max_distance": 13,
        },
    ),
    "fsmt": (
        "FSMTForConditionalGeneration",
        {**ODD, "src_vocab_size": 71, "tgt_vocab_size": 53, "langs": ["en", "de"]},
    ),
    "fsmt-tied": (
        "FSMTForConditionalGeneration",
        {**EVEN, "src_vocab_size": 71, "tgt_vocab_size": 71, "tie_word_embeddings": True, "scale_embedding": False},
    ),
    "fsmt-gelu": (
        "FSMTForConditionalGeneration",
        {**EVEN, "src_vocab_size": 71, "tgt_vocab_size": 53, "activation_function": "gelu"},
    ),
}
FIRST = (
    "marian",
    "m2m100",
    "bart",
    "blenderbot",
    "blenderbot-small",
    "mbart",
    "pegasus",
    "t5",
    "mt5",
    "umt5",
    "bert2bert",
    "t5gemma",
    "led",
    "longt5-transient",
    "fsmt",
)
LONG = tuple(name for name in CASES if name.startswith(("led", "longt5", "pegasus-x", "bigbird")))
"""Those whose encoders are made for long sources."""
LONG_LENGTHS = (1, 90, 5, 16, 47, 48, 33, 129)
"""Below, at and above blocks and windows, and no multiples of them."""
BRINGING = ("bart", "blenderbot", "bert2bert", "t5gemma")
"""Those whose searches are compared with defaults of their own: starts that are the end, or a word, or none."""
EXPORTED = tuple(CASES) if os.environ.get("DRAGOMAN_PARITY") else FIRST
"""Those of most networks of their own: MVP and PLBART are BART's, and two of long sources stand for all. Each takes
some seconds: `make parity` has all cases."""


def random_model(name: str) -> transformers.PreTrainedModel:
    """A model whose weights are far from what they begin as, and which says other things of other sources."""
    found = (weighted(name, seed) for seed in range(SEED + len(name), SEED + 5000, 100))
    return next(model for model in found if heeds_its_source(model))


def heeds_its_source(model) -> bool:
    """Whether greedy search gives sources different translations: random decoders often repeat a word of their own."""
    sources, read = inputs(model, lengths=(1, 9, 5, 30, 2, 17))
    options = {"decoder_start_token_id": int(read[0, 0]), "do_sample": False, "num_beams": 1, "max_length": 13}
    options["suppress_tokens"] = [model.config.pad_token_id]
    found = [model.generate(torch.tensor([one]), **options)[0].tolist() for one in sources]
    return len({*map(tuple, found)}) > 1


def weighted(name: str, seed: int) -> transformers.PreTrainedModel:
    """A random model; sinusoids stay what they are."""
    kind, options = CASES[name]
    torch.manual_seed(seed)
    cls = getattr(transformers, kind)
    model = cls(cls.config_class(**options)).eval().requires_grad_(False)
    has_sinusoids = kind.startswith(("Marian", "Pegasus", "FSMT"))
    for key, weight in model.named_parameters():
        if has_sinusoids and "embed_positions" in key:
            continue
        is_norm = "norm" in key.lower() and not kind.startswith("T5Gemma")  # whose norms scale by one more
        # Unscaled attention amplifies what float32 rounds off, so queries of T5 are narrow, as T5 itself makes them.
        width = 0.09 if key.endswith("Attention.q.weight") else 0.5
        weight.normal_(1.0 if is_norm and key.endswith("weight") else 0.0, width)
    model.generation_config.forced_bos_token_id = LANGUAGE if options.get("vocab_size") == LANGUAGE + 4 else None
    if kind == "EncoderDecoderModel":
        model.generation_config.eos_token_id = 3
    if name == "mvp":
        model.generation_config.forced_bos_token_id = 0
    if "untied" in name and hasattr(model, "final_logits_bias"):
        model.final_logits_bias.normal_(0, 1)
    return model


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Random models in their directories, each made once."""
    made = {}

    def make(name):
        if name not in made:
            model, folder = random_model(name), tmp_path_factory.mktemp(name)
            model.save_pretrained(folder)
            made[name] = model, folder
        return made[name]

    return make


def checkpoint_of(folder) -> Checkpoint:
    """A model's directory as a checkpoint whose tokenizer is of no matter."""
    reasons = Reasons()
    model = read_model(folder, reasons)
    reasons.raise_if_any(folder)
    generation = model.generation
    (folder / "none.spm").write_bytes(b"these tests speak in ids")
    return Checkpoint(
        name=folder.name,
        pairs=(LanguagePair("en", "pt"),),
        architecture=model.architecture,
        weights=model.weights,
        quantized={},
        tokenizer=Tokenizer(
            "sentencepiece",
            "none.spm",
            "none.spm",
            generation.eos_id,
            0,
            generation.start_id,
            generation.suppressed_ids,
            forced_first=generation.forced_first_id,
            hidden_ids=(generation.start_id,),
        ),
        tokenizer_files={"none.spm": folder / "none.spm"},
        decoding=generation.decoding,
        limits=Limits(30, 30),
        source_format="huggingface",
        source_files=model.files,
        oracle=model.oracle,
    )


def words(vocabulary: int, count: int, pad: int, seed: int) -> list[int]:
    """Random words, none of which is padding."""
    rng = np.random.default_rng(seed)
    return [int(w) for w in rng.choice(np.setdiff1d(np.arange(vocabulary), [pad]), count)]


def words_of(stack) -> int:
    """How many words a model's encoder or decoder reads."""
    table = getattr(stack, "embed_tokens", None)
    return (stack.get_input_embeddings() if table is None else table).num_embeddings


def inputs(model, lengths=SOURCE_LENGTHS, steps=7):
    """Sources of these lengths, and what the decoder reads: its start, a language where one is forced, and words."""
    config = model.config
    pad = config.pad_token_id
    source_words = words_of(model.get_encoder())
    sources = [words(source_words, n, pad, seed) for seed, n in enumerate(lengths)]
    start = getattr(config, "decoder_start_token_id", None)
    if start is None and isinstance(config, transformers.PLBartConfig | transformers.T5GemmaConfig):
        start = config.bos_token_id
    first = [pad if start is None else start]  # T5's configuration leaves it to the task
    forced = model.generation_config.forced_bos_token_id
    first += [] if forced is None else [forced]
    target_words = words_of(model.get_decoder())
    read = torch.tensor([first + words(target_words, steps - len(first), pad, 50 + g) for g in range(len(lengths))])
    return sources, read


@torch.inference_mode()
def theirs(model, sources, read):
    """Logits [G, T, V] of a padded batch, by transformers."""
    reads = iter(read)
    batches = ((given, torch.stack([next(reads) for _ in given["input_ids"]])) for given in asked(model, sources))
    return torch.cat([model(**given, decoder_input_ids=of, use_cache=False).logits for given, of in batches])


def asked(model, sources):
    """What transformers is given to read: one padded batch.

    BigBird is given source by source, as it takes the longest one's kind of attention for all, and keeps it.
    """
    is_bigbird = isinstance(model, transformers.BigBirdPegasusForConditionalGeneration)
    for batch in [[one] for one in sources] if is_bigbird else [sources]:
        if is_bigbird:
            model.get_encoder().set_attention_type(model.config.attention_type)
        ids, mask = padded(batch, model.config.pad_token_id)
        attention = torch.from_numpy((mask[:, 0, 0] == 0).astype(np.int64))
        yield {"input_ids": torch.from_numpy(ids), "attention_mask": attention, **seeing_all(model, attention)}


def generated(model, sources, **options) -> list[list[int]]:
    """Rows of `generate`."""
    return [row for given in asked(model, sources) for row in model.generate(**given, **options).tolist()]


def seeing_all(model, attention: torch.Tensor) -> dict[str, torch.Tensor]:
    """What LED is told besides: that all words of a source see its first one, and are seen by it."""
    if not isinstance(model, transformers.LEDForConditionalGeneration):
        return {}
    return {"global_attention_mask": (torch.arange(attention.shape[1]) == 0).long().expand_as(attention)}


@torch.inference_mode()
def ours(network, sources, read):
    """Logits [G, T, V] of a padded batch, by the canonical network."""
    ids, mask = (torch.from_numpy(a) for a in padded(sources))
    return network.full(read, network.memory(ids, mask), mask)


@pytest.mark.parametrize("name", CASES)
def test_the_network_gives_the_logits_of_transformers(saved, name):
    """A padded batch with a source of one word, teacher-forced, language tokens included: logits within 1e-4."""
    model, folder = saved(name)
    sources, read = inputs(model)

    network = load_network(checkpoint_of(folder))

    expected = theirs(model, sources, read)
    torch.testing.assert_close(ours(network, sources, read), expected, atol=TOLERANCE, rtol=TOLERANCE)
    assert expected.std() > 0.3, "logits that hardly differ prove nothing"


def test_more_first_words_may_see_all(saved):
    """As `--global-words` says: LED with so many words in its global mask, also of sources that have fewer."""
    model, folder = saved("led")
    sources, read = inputs(model, lengths=(1, 90, 5, 2, 33))
    one = replace(checkpoint_of(folder), oracle=TransformersOracle(folder, model.config.pad_token_id, (), {}, 1))

    three = with_global_words(one, 3)

    assert (three.architecture.encoder_window.first, three.history) == (3, {"global words": "3"})
    found = ours(load_network(three), sources, read).log_softmax(-1)
    expected = torch.from_numpy(three.oracle.log_probabilities(sources, read.numpy()))
    torch.testing.assert_close(found, expected, atol=TOLERANCE, rtol=TOLERANCE)
    other = ours(load_network(with_global_words(one, None)), sources, read).log_softmax(-1)
    assert (other - found).abs().amax((1, 2))[[1, 2, 3, 4]].min() > 0.01, "sources of two words and more read otherwise"


@pytest.mark.parametrize("name", LONG)
def test_long_sources_give_the_states_and_logits_of_transformers(saved, name):
    """Lengths around blocks and windows, in one padded batch: the encoder's rows and teacher-forced logits."""
    model, folder = saved(name)
    sources, read = inputs(model, lengths=LONG_LENGTHS)
    ids, mask = padded(sources, model.config.pad_token_id)

    network = load_network(checkpoint_of(folder))

    with torch.inference_mode():
        encoder = model.get_encoder()
        rows = ((given, encoder(**given).last_hidden_state) for given in asked(model, sources))
        states = torch.cat([found[given["attention_mask"] == 1] for given, found in rows])
    found = network.encode(**packed(torch.from_numpy(ids), torch.from_numpy(mask)))
    torch.testing.assert_close(found, states, atol=TOLERANCE, rtol=TOLERANCE)
    expected = theirs(model, sources, read)
    torch.testing.assert_close(ours(network, sources, read), expected, atol=TOLERANCE, rtol=TOLERANCE)
    assert expected.std() > 0.3, "logits that hardly differ prove nothing"


@pytest.mark.parametrize("name", ["t5", "t5-one-and-one", "t5-few-buckets", "mt5", "umt5", "umt5-few-buckets"])
def test_distances_beyond_the_last_bucket_share_it(saved, name):
    """Sources and targets far longer than the largest relative distance give the logits of transformers."""
    model, folder = saved(name)
    longest = model.config.relative_attention_max_distance + 40
    sources, read = inputs(model, lengths=(longest, 3), steps=longest)

    network = load_network(checkpoint_of(folder))

    torch.testing.assert_close(
        ours(network, sources, read), theirs(model, sources, read), atol=TOLERANCE, rtol=TOLERANCE
    )


@pytest.mark.parametrize("name", ["marian", "m2m100", "bart", "pegasus", "fsmt"])
def test_half_precision_files_give_what_transformers_makes_of_them(saved, tmp_path, name):
    """Weights in float16, and sinusoids that were rounded with them, are read as transformers reads them as float32."""
    model, _ = saved(name)
    copy.deepcopy(model).half().save_pretrained(tmp_path)
    loaded = type(model).from_pretrained(tmp_path, dtype=torch.float32)
    sources, read = inputs(model)

    network = load_network(checkpoint_of(tmp_path))

    torch.testing.assert_close(
        ours(network, sources, read), theirs(loaded, sources, read), atol=TOLERANCE, rtol=TOLERANCE
    )


@pytest.mark.parametrize("name", ["bart", "m2m100", "pegasus"])
def test_a_model_saved_without_its_output_layer_is_read(saved, tmp_path, name):
    """The first BART and mBART files lack the prefix of every name, and the output layer that is tied anyway."""
    model, _ = saved(name)
    model.model.save_pretrained(tmp_path)
    model.generation_config.save_pretrained(tmp_path)
    sources, read = inputs(model)

    network = load_network(checkpoint_of(tmp_path))

    torch.testing.assert_close(
        ours(network, sources, read), theirs(model, sources, read), atol=TOLERANCE, rtol=TOLERANCE
    )


@pytest.mark.parametrize(
    "name",
    [
        "bart-untied",
        "mvp-untied",
        "blenderbot-untied",
        "mbart-untied",
        "m2m100-untied",
        "pegasus-untied",
        "marian-untied",
    ],
)
def test_embeddings_under_their_shared_name_serve_both_sides(saved, tmp_path, name):
    """Earlier releases kept one table for source and target beside an output layer of its own."""
    model, folder = saved(name)
    tensors = load_file(folder / "model.safetensors")
    tensors["model.shared.weight"] = tensors.pop("model.encoder.embed_tokens.weight")
    del tensors["model.decoder.embed_tokens.weight"]
    save_file(tensors, tmp_path / "model.safetensors")
    for file in ("config.json", "generation_config.json"):
        shutil.copy(folder / file, tmp_path)
    shared = copy.deepcopy(model)
    shared.get_decoder().embed_tokens.weight = shared.get_encoder().embed_tokens.weight
    sources, read = inputs(model)

    checkpoint = checkpoint_of(tmp_path)

    assert checkpoint.weights["source_embedding"] is checkpoint.weights["target_embedding"]
    torch.testing.assert_close(
        ours(load_network(checkpoint), sources, read), theirs(shared, sources, read), atol=TOLERANCE, rtol=TOLERANCE
    )


@pytest.mark.parametrize("name", ["t5-one-and-one", "mt5", "umt5", "bart"])
def test_an_output_layer_in_the_file_is_used_whatever_the_configuration_says(saved, tmp_path, name):
    """T5 1.1, mT5 and Flan-T5 have one, and a configuration that transformers reads as tied."""
    model, folder = saved(name)
    tensors = load_file(folder / "model.safetensors")
    shared = next(tensor for key, tensor in tensors.items() if key.endswith("shared.weight"))
    save_file({**tensors, "lm_head.weight": shared.flip(0).contiguous()}, tmp_path / "model.safetensors")
    for file in ("config.json", "generation_config.json"):
        shutil.copy(folder / file, tmp_path)
    loaded = type(model).from_pretrained(tmp_path)
    sources, read = inputs(model)

    network = load_network(checkpoint_of(tmp_path))

    torch.testing.assert_close(
        ours(network, sources, read), theirs(loaded, sources, read), atol=TOLERANCE, rtol=TOLERANCE
    )
    assert network.arch.tying == "none"


def test_a_umt5_that_does_not_tie_is_not_divided(saved, tmp_path):
    """Google's own says so in its configuration, which transformers 5 overrides; the proof asks the one trained."""
    model, folder = saved("umt5")
    tensors = load_file(folder / "model.safetensors")
    head = 0.1 * tensors["shared.weight"].flip(0).contiguous()
    save_file({**tensors, "lm_head.weight": head}, tmp_path / "model.safetensors")
    shutil.copy(folder / "generation_config.json", tmp_path)
    options = json.loads((folder / "config.json").read_text("utf-8")) | {"tie_word_embeddings": False}
    (tmp_path / "config.json").write_text(json.dumps(options), "utf-8")
    loaded = type(model).from_pretrained(tmp_path)
    sources, read = inputs(model)
    checkpoint = checkpoint_of(tmp_path)

    found = ours(load_network(checkpoint), sources, read)

    divided = theirs(loaded, sources, read)
    torch.testing.assert_close(found, divided * model.config.d_model**0.5, atol=TOLERANCE, rtol=TOLERANCE)
    asked = checkpoint.oracle.log_probabilities([sources[0]], read[:1].numpy())
    torch.testing.assert_close(found[:1].log_softmax(-1), torch.from_numpy(asked), atol=TOLERANCE, rtol=TOLERANCE)


def decoded(bundle, segments) -> list[Decoded]:
    """What one lane of a server makes of them, all in one batch."""
    lanes = open_lanes(bundle, num_lanes=1, threads_per_lane=1, max_batch=len(segments), observer=LaneTally())
    answers, answered = {}, threading.Semaphore(0)

    def keep(index, answer):
        answers[index] = answer
        answered.release()

    for index, segment in enumerate(segments):
        lanes.submit(segment, partial(keep, index))
    for _ in segments:
        assert answered.acquire(timeout=60)
    lanes.close()
    return [answers[index] for index in range(len(segments))]


@pytest.fixture(scope="module", params=EXPORTED)
def exported(request, saved, tmp_path_factory):
    """A family's first model as a float32 bundle."""
    model, folder = saved(request.param)
    checkpoint = checkpoint_of(folder)
    bundle = export(
        checkpoint, tmp_path_factory.mktemp("bundle") / request.param, precision="fp32", progress=lambda _: None
    )
    return model, checkpoint, bundle


def test_the_graphs_give_the_log_probabilities_of_transformers_at_each_step(exported):
    """Node by node through the pool, every word of the vocabulary is as likely as transformers says, within 1e-4."""
    model, checkpoint, bundle = exported
    longest = 30 if checkpoint.architecture.encoder_window is None else 129
    sources, read = inputs(model, lengths=(*SOURCE_LENGTHS, longest), steps=9)
    vocabulary = checkpoint.architecture.target_vocabulary
    stepper = Stepper(bundle.directory, checkpoint.architecture, sources, read.shape[1], vocabulary)

    expected = theirs(model, sources, read).log_softmax(-1).numpy()

    for t in range(read.shape[1]):
        logp, ids = stepper.read(read[:, t].numpy())
        found = np.take_along_axis(logp, ids.argsort(-1), -1)
        np.testing.assert_allclose(found, expected[:, t], atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.parametrize("beam", [1, 4])
def test_the_server_searches_as_transformers_does(exported, beam):
    """Beam 4 and its four hypotheses, and greedy, are those of `generate`, forced words included.

    Sources of one word and of thirty share a batch on both sides. Padding is left out as a word: no trained model says
    it, and some families give it no position when they read it.
    """
    model, checkpoint, bundle = exported
    is_long = checkpoint.architecture.encoder_window is not None
    sources, _ = inputs(model, lengths=(1, 9, 5, 30, 2, 17, *((83, 129) if is_long else ())))
    limit, eos = 12, checkpoint.tokenizer.eos_id
    decoding = replace(checkpoint.decoding, beam_size=beam, num_hypotheses=beam, max_length=limit, length_penalty=1.0)
    forced = checkpoint.tokenizer.forced_first
    prefix = () if forced is None else (forced,)
    pad = model.config.pad_token_id

    found = decoded(bundle, [Segment(tuple(one), decoding, prefix=prefix, suppressed_ids=(pad,)) for one in sources])

    expected = generated(
        model,
        sources,
        decoder_start_token_id=checkpoint.tokenizer.start_id,
        num_beams=beam,
        num_return_sequences=beam,
        do_sample=False,
        max_length=limit + 1,
        suppress_tokens=[pad],
        **({"early_stopping": False, "length_penalty": 1.0} if beam > 1 else {}),
    )
    theirs = [tuple(row[1 : row.index(eos, 1)] if eos in row[1:] else row[1 : limit + 1]) for row in expected]
    assert [h.ids for answer in found for h in answer.hypotheses] == theirs
    assert len(set(theirs)) > beam, "outputs that are all the same prove nothing"


DEFAULTS = {
    "first": {
        "num_beams": 3,
        "num_return_sequences": 3,
        "early_stopping": True,
        "length_penalty": 0.4,
        "no_repeat_ngram_size": 2,
        "min_length": 4,
        "max_length": 11,
    },
    "never": {
        "num_beams": 4,
        "num_return_sequences": 2,
        "early_stopping": "never",
        "length_penalty": 2.0,
        "encoder_no_repeat_ngram_size": 1,
        "max_new_tokens": 9,
    },
    "greedy": {"repetition_penalty": 1.4, "no_repeat_ngram_size": 3, "encoder_no_repeat_ngram_size": 2},
}


@pytest.mark.parametrize("exported", EXPORTED if os.environ.get("DRAGOMAN_PARITY") else BRINGING, indirect=True)
@pytest.mark.parametrize("name", DEFAULTS)
def test_a_models_own_defaults_are_what_generate_does(exported, saved, tmp_path, name):
    """Penalties, lengths, ends and forbidden repeats of generation_config.json, with a last word that is forced."""
    model, checkpoint, bundle = exported
    folder = shutil.copytree(checkpoint.source_files[0].parent, tmp_path / "model")
    eos, pad = checkpoint.tokenizer.eos_id, model.config.pad_token_id
    said = {"max_length": 12, **DEFAULTS[name], "forced_eos_token_id": eos, "bad_words_ids": [[pad]]}
    if checkpoint.architecture.source_vocabulary != checkpoint.architecture.target_vocabulary:
        said.pop("encoder_no_repeat_ngram_size", None)  # whose words are not the target's
    kept = json.loads((folder / "generation_config.json").read_text("utf-8"))
    (folder / "generation_config.json").write_text(json.dumps(kept | said), "utf-8")
    own = checkpoint_of(folder)
    sources, _ = inputs(model, lengths=(1, 9, 5, 30, 2, 17))
    forced = own.tokenizer.forced_first
    prefix = () if forced is None else (forced,)

    segments = [Segment(tuple(one), own.decoding, prefix=prefix, suppressed_ids=(pad,)) for one in sources]
    found = decoded(bundle, segments)

    given = transformers.GenerationConfig.from_pretrained(folder)
    start = own.tokenizer.start_id
    expected = generated(model, sources, generation_config=given, decoder_start_token_id=start)
    theirs = [tuple(row[1 : row.index(eos, 1)] if eos in row[1:] else row[1:]) for row in expected]
    assert [h.ids for answer in found for h in answer.hypotheses] == theirs


def test_the_proof_compares_with_transformers(exported):
    """The manifest says how far the graphs are from transformers, by its version, in scores and in greedy choices."""
    _, _, bundle = exported

    lines = [p for p in bundle.manifest.parity if p.compared == f"transformers {transformers.__version__}"]

    assert {p.tensor for p in lines} == {"log-probabilities", "greedy search"}
    assert all(p.max_difference < TOLERANCE for p in lines)
