"""config.json as a checklist: what is not supported, and what contradicts the weights, is named all at once."""

import pytest

from dragoman.bundle.manifest import Window
from dragoman.export.core.errors import UnsupportedModel
from dragoman.export.core.reasons import Reasons
from dragoman.export.importers.hf.config import FAMILIES, OF_SIDES, Config, read_architecture, scales_output
from dragoman.export.importers.hf.importer import read_model
from dragoman.export.importers.hf.options import ACTIVATIONS

BART = {
    "model_type": "bart",
    "vocab_size": 50,
    "d_model": 12,
    "max_position_embeddings": 32,
    **{f"{side}_layers": 1 for side in ("encoder", "decoder")},
    **{f"{side}_attention_heads": 3 for side in ("encoder", "decoder")},
    **{f"{side}_ffn_dim": 8 for side in ("encoder", "decoder")},
}


T5 = {"model_type": "t5", "vocab_size": 50, "d_model": 12, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 3}


def refusals(options) -> list[str]:
    """Every reason against these options."""
    reasons = Reasons()
    assert read_architecture(Config(options, reasons), reasons) is None
    with pytest.raises(UnsupportedModel) as refused:
        reasons.raise_if_any("here")
    return list(refused.value.reasons)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"model_type": "whisper"}, f"model_type must be one of {', '.join(FAMILIES)}"),
        ({"model_type": ["bart"]}, "model_type must be one of"),
        ({"is_encoder_decoder": False}, "is_encoder_decoder must be true"),
        ({"is_encoder_decoder": "yes"}, "is_encoder_decoder must be true or false, config.json says 'yes'"),
        ({"quantization_config": {"bits": 4}}, "the weights are quantised"),
        ({"auto_map": {"AutoModel": "evil.Model"}}, "the model brings code of its own (auto_map), which is never run"),
        ({"architectures": ["BartForSequenceClassification"]}, "which does not generate text"),
        ({"d_model": 12.0}, "d_model must be a whole number from 1 to 65536, config.json says 12.0"),
        ({"d_model": True}, "d_model must be a whole number"),
        ({"d_model": 13}, "decoder_attention_heads 3 must divide d_model 13"),
        ({"encoder_layers": 10**9}, "encoder_layers must be a whole number from 1 to 256"),
        ({"decoder_layers": 0}, "decoder_layers must be a whole number"),
        ({"vocab_size": None}, "vocab_size must be a whole number"),
        ({"activation_function": "mish"}, "the activation must be one of relu, gelu, "),
        ({"activation_function": {"a": 1}}, "the activation must be one of"),
        ({"scale_embedding": 1}, "scale_embedding must be true or false"),
    ],
)
def test_what_is_not_supported_is_named(options, reason):
    """Each option that is wrong has its own reason, with what it is and what it may be."""
    assert any(reason in each for each in refusals({**BART, **options}))


LED = {
    **{name: value for name, value in BART.items() if name != "max_position_embeddings"},
    "model_type": "led",
    "encoder_layers": 2,
    "attention_window": [4, 6],
    "max_encoder_position_embeddings": 64,
    "max_decoder_position_embeddings": 32,
}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({**LED, "attention_window": 5}, "attention_window must be an even number, or one for each of 2 layers"),
        ({**LED, "attention_window": [4]}, "one for each of 2 layers, config.json says [4]"),
        ({**LED, "attention_window": [4, 0]}, "attention_window must be an even number"),
        ({**LED, "attention_window": "wide"}, "attention_window must be an even number"),
        (
            {**BART, "model_type": "pegasus_x", "block_size": 7},
            "block_size must be even where stagger_local_blocks is true",
        ),
        (
            {**BART, "model_type": "pegasus_x", "num_global_tokens": 0},
            "num_global_tokens must be a whole number from 1",
        ),
        ({**BART, "model_type": "bigbird_pegasus", "attention_type": "etc"}, "must be block_sparse or original_full"),
        (
            {**BART, "model_type": "bigbird_pegasus", "num_random_blocks": -1},
            "num_random_blocks must be a whole number",
        ),
        ({**LED, "max_encoder_position_embeddings": None}, "max_encoder_position_embeddings must be a whole number"),
        ({**T5, "model_type": "longt5", "encoder_attention_type": "sparse"}, "must be local or transient-global"),
        ({**T5, "model_type": "longt5", "local_radius": 0}, "local_radius must be a whole number from 1"),
        (
            {**T5, "model_type": "longt5", "encoder_attention_type": "transient-global", "global_block_size": 12},
            "global_block_size must be a power of two, config.json says 12",
        ),
    ],
)
def test_windows_that_cannot_be_read_are_named(options, reason):
    """Widths that are odd, missing or of too few layers, and stretches whose ends are a matter of rounding."""
    assert any(reason in each for each in refusals(options))


def test_windows_of_long_encoders():
    """Half of LED's width on each side, and a first word that all read; LongT5's radius, and sums where it has any."""
    reasons = Reasons()
    longt5 = {**T5, "model_type": "longt5", "n_positions": 4096}

    led = read_architecture(Config(LED, reasons), reasons)
    local = read_architecture(Config(longt5, reasons), reasons)
    transient = read_architecture(Config({**longt5, "encoder_attention_type": "transient-global"}, reasons), reasons)

    assert (led.encoder_window, led.source_positions, led.max_positions) == (Window((2, 3), first=1), 64, 32)
    assert (local.encoder_window, local.source_positions, local.max_positions) == (Window((127,)), 16_384, 4096)
    assert transient.encoder_window == Window((127,), summed=16)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"feed_forward_proj": "doubly-gated-gelu"}, "feed_forward_proj must be NAME or gated-NAME"),
        ({"feed_forward_proj": 3}, "the activation must be one of"),
        ({"relative_attention_num_buckets": 3}, "relative_attention_num_buckets must be a whole number from 4"),
        ({"relative_attention_max_distance": 16}, "must be more than half of the 32 buckets, config.json says 16"),
        ({"layer_norm_epsilon": 0}, "layer_norm_epsilon must be above 0 and below 1"),
        ({"layer_norm_epsilon": "1e-6"}, "layer_norm_epsilon must be above 0 and below 1"),
        ({"d_kv": -1}, "d_kv must be a whole number"),
    ],
)
def test_what_is_not_supported_of_t5_is_named(options, reason):
    """The same for options that only T5 has."""
    assert any(reason in each for each in refusals({**T5, **options}))


def test_trained_prompts_are_refused_by_name():
    """They are keys and values that every attention of MVP reads."""
    [reason] = refusals({**BART, "model_type": "mvp", "use_prompt": True})

    assert "use_prompt is true" in reason


def test_all_reasons_come_at_once():
    """Three things that are wrong are three reasons of one refusal."""
    assert len(refusals({**BART, "activation_function": "mish", "d_model": 13, "auto_map": {}})) >= 3


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_transformers_has_every_activation_by_its_name(name):
    """No name in the table is made up."""
    from transformers.activations import ACT2FN

    assert name in ACT2FN


@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in OF_SIDES])
def test_transformers_has_every_family_by_its_name(name):
    """No model type in the table is made up, and defaults for what may be absent are transformers' own."""
    from transformers import CONFIG_MAPPING

    family, theirs = FAMILIES[name], CONFIG_MAPPING[name]()

    assert theirs.pad_token_id == family.pad
    if family.positions != "relative":
        assert getattr(theirs, "decoder_start_token_id", None) == family.start
        assert theirs.activation_function == family.activation
        assert getattr(theirs, "scale_embedding", False) == family.scales_embedding
        assert theirs.tie_word_embeddings == family.is_tied
    else:
        assert theirs.feed_forward_proj == family.activation


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tie_word_embeddings": True},
        {"tie_word_embeddings": False},
        {"tie_word_embeddings": True, "scale_decoder_outputs": False},
        {"tie_word_embeddings": False, "scale_decoder_outputs": True},
    ],
)
def test_which_t5_scales_its_output(options):
    """Files of every release: the first T5 does, later ones said so by not tying, and now by a name of its own."""
    from transformers import T5Config

    config = Config({**T5, **options}, Reasons())

    assert scales_output(config) == T5Config(**options).scale_decoder_outputs
    assert not scales_output(Config({**T5, **options, "model_type": "mt5"}, Reasons()))


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": 1, "a": 2}', "[" * 100_000, "\ufeff{}", '{"vocab_size": NaN}'])
def test_a_configuration_that_is_none_is_refused(t5, text):
    """Whatever is not one JSON object is said to be none."""
    (t5 / "config.json").write_text(text, encoding="utf-8")
    reasons = Reasons()

    assert read_model(t5, reasons) is None

    with pytest.raises(UnsupportedModel, match=r"config\.json"):
        reasons.raise_if_any(t5)
