"""fairseq's options as a checklist."""

import pytest

from dragoman.export.core.errors import UnsupportedModel
from dragoman.export.importers.fairseq.importer import read_fairseq


def reasons_of(path, source=None, target=None) -> tuple[str, ...]:
    with pytest.raises(UnsupportedModel) as caught:
        read_fairseq(path, source, target)
    return caught.value.reasons


REFUSED = [
    ("arch", "levenshtein_transformer_wmt_en_de", "edits a translation"),
    ("arch", "glat_decomposed_with_link_base", "DA-Transformer"),
    ("arch", "nacrf_transformer", "conditional random field"),
    ("arch", "multilingual_transformer_iwslt_de_en", "a network for each language"),
    ("arch", "transformer_lm_big", "does not translate"),
    ("arch", "fconv_wmt_en_ro", "convolutions"),
    ("arch", "s2t_transformer_s", "does not read text"),
    ("arch", None, "name no architecture"),
    ("adaptive_input", True, "adaptive input embeddings"),
    ("adaptive_softmax_cutoff", "10,20", "an adaptive softmax"),
    ("cross_self_attention", True, "one attention for source and target"),
    ("no_cross_attention", True, "no attention to the source"),
    ("base_layers", 2, "BASE layers"),
    ("char_inputs", True, "characters as input"),
    ("quant_noise_pq", 0.1, "behind the embeddings"),
    ("quant_noise_scalar", 0.5, "quantised as it runs"),
    ("scale_heads", True, "weights of heads"),
    ("activation_fn", "mish", "activation_fn must be one of relu"),
    ("encoder_attention_heads", 5, "must divide encoder_embed_dim 12"),
    ("encoder_attention_heads", None, "encoder_attention_heads must be a whole number"),
    ("decoder_layers", -1, "decoder_layers must be a whole number"),
    ("encoder_layers", 10**9, "encoder_layers must be a whole number from 1 to 256"),
    ("encoder_layers_to_keep", "0,x", "encoder_layers_to_keep must be numbers"),
    ("share_all_embeddings", "maybe", "share_all_embeddings must be true or false"),
    ("task", "denoising", "the task 'denoising' reads texts in a way of its own"),
    ("source_lang", None, "name them with --from"),
    ("target_lang", "../../etc", "dict.txt is missing"),
]


@pytest.mark.parametrize(("option", "value", "said"), REFUSED)
def test_options_that_cannot_be_exported(fairseq, option, value, said):
    """Each is refused by name."""
    model = fairseq()
    model.options[option] = value

    assert any(said in reason for reason in reasons_of(model.write()))


def test_all_reasons_are_told_at_once(fairseq):
    """Of options, tensors and files beside the checkpoint alike."""
    model = fairseq(scale_attn=True, adaptive_input=True)
    (model.folder / "sentencepiece.bpe.model").unlink()
    (model.folder / "dict.en.txt").unlink()

    reasons = reasons_of(model.write())

    for said in ("scale_attn", "adaptive_input", "dict.en.txt is missing"):
        assert any(said in reason for reason in reasons)


def test_what_was_never_told_about_positions_is_bounded(fairseq):
    """Sinusoids for a million positions would be a table of a million; it is said that fewer are kept."""
    model = fairseq(max_source_positions=1_000_000)

    checkpoint = read_fairseq(model.write(), None, None)

    assert checkpoint.limits.max_source_tokens == 4096
    assert any("max_source_positions is 1000000" in note for note in checkpoint.notes)
