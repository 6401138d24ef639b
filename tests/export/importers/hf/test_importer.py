"""A Hugging Face directory as a whole: what the checkpoint says, and what `dragoman export` does with it."""

import json

import numpy as np
import pytest
import torch

from dragoman.bundle.manifest import LanguagePair, Limits
from dragoman.export.core.errors import UnsupportedModel
from dragoman.export.importers.hf.importer import Task, read_hf, read_task
from dragoman.export.network.load import load_network

PAD = 25


def change(file, **options) -> None:
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | options), encoding="utf-8")


def test_a_directory_becomes_a_checkpoint(t5):
    """Languages, ids, decoding defaults, limits, licence and every file that was read."""
    found = read_hf(t5, "en", "pt")

    assert (found.name, found.pairs) == ("en-pt", (LanguagePair("en", "pt"),))
    tokenizer = found.tokenizer
    assert (tokenizer.eos_id, tokenizer.start_id, tokenizer.suppressed_ids) == (0, PAD, (PAD,))
    assert (found.decoding.profile, found.decoding.beam_size, found.decoding.max_length) == ("hf", 3, 19)
    assert found.limits == Limits(512, 512)
    assert (found.source_format, found.licence) == ("huggingface-t5", "Apache-2.0")
    files = {"config.json", "generation_config.json", "model.safetensors", "spiece.model"}
    assert {file.name for file in found.source_files} == files


def test_a_task_has_settings_and_a_prompt_of_its_own(t5):
    """Which go before the model's, and before prompts of translation."""
    told = {
        "summarization": {"num_beams": 4, "max_length": 31, "length_penalty": 2.0, "prefix": "summarize: "},
        "translation_en_to_de": {"prefix": "translate English to German: "},
    }
    change(t5 / "config.json", task_specific_params=told)

    task = read_task(t5, "summarization")
    found = read_hf(t5, "en", "en", task)

    assert (task.prompt, read_task(t5, "other")) == ("summarize: ", Task({}, ""))
    assert (found.decoding.beam_size, found.decoding.max_length, found.decoding.length_penalty) == (4, 30, 2.0)
    assert (found.tokenizer.prefix, str(found.pairs[0])) == ((), "en-en")
    assert read_hf(t5, "en", "de").tokenizer.prefix == ("target",)


def test_one_of_its_files_names_a_directory(t5):
    """SOURCE may be the configuration itself."""
    assert read_hf(t5 / "config.json", "en", "pt").name == "en-pt"


def test_scores_are_normalised_without_what_is_suppressed_where_the_model_does_so(t5):
    """renormalize_logits: words that are never put out take no probability from the others."""
    plain = load_network(read_hf(t5, "en", "pt"))
    change(t5 / "generation_config.json", renormalize_logits=True)
    checkpoint = read_hf(t5, "en", "pt")
    read, ids, mask = torch.tensor([[PAD, 3, 4]]), torch.tensor([[5, 6, 0]]), torch.zeros(1, 1, 1, 3)

    with torch.inference_mode():
        network = load_network(checkpoint)
        found = network.full(read, network.memory(ids, mask), mask).log_softmax(-1)
        logits = plain.full(read, plain.memory(ids, mask), mask)

    logits = logits.clone()
    logits[..., PAD] = -torch.inf
    expected = logits.log_softmax(-1)
    others = [w for w in range(checkpoint.architecture.target_vocabulary) if w != PAD]
    torch.testing.assert_close(found[..., others], expected[..., others])
    assert (found[..., PAD] < -900).all()
    theirs = checkpoint.oracle.log_probabilities([[5, 6, 0]], read.numpy())
    np.testing.assert_allclose(found.numpy(), theirs, atol=1e-4)


def test_weights_and_tokenizer_are_refused_together(t5):
    """What is wrong with the weights, the settings and the tokenizer comes in one refusal."""
    change(t5 / "config.json", d_ff=21)
    change(t5 / "generation_config.json", num_beams=0)
    (t5 / "spiece.model").write_bytes(b"not one")

    with pytest.raises(UnsupportedModel) as refused:
        read_hf(t5, "en", "pt")

    said = str(refused.value)
    assert all(
        part in said for part in ("for [21, 16]", "num_beams must be", "spiece.model is not a SentencePiece model")
    )
