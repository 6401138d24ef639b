"""The settings of a directory, wherever they are said."""

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import models, pre_tokenizers

from dragoman.export.core.errors import UnsupportedModel
from dragoman.export.importers.hf.tokenizer import read_tokenizer

MANY = {"model_type": "m2m_100", "vocab_size": 500, "eos_token_id": 2, "decoder_start_token_id": 2}


@pytest.fixture
def nllb_folder(tmp_path: Path) -> Path:
    """A tokenizer.json with four languages, and all that may be in one: template, truncation, padding."""
    folder = tmp_path / "nllb"
    folder.mkdir()
    words = ["<s>", "<pad>", "</s>", "<unk>", "\u2581", *"abcdefghijklmnopqrstuvwxyz"]
    fast = FastTokenizer(models.Unigram([(word, 0.0 if word[0] == "<" else -2.0) for word in words], unk_id=3))
    fast.pre_tokenizer = pre_tokenizers.Metaspace()
    fast.add_special_tokens([*words[:4], "eng_Latn", "por_Latn", "zho_Hans", "zho_Hant", "<mask>"])
    fast.enable_truncation(5)
    fast.enable_padding(length=8)
    fast.save(str(folder / "tokenizer.json"))
    return folder


def reasons_of(path: Path, config: dict[str, Any], **asked: str) -> tuple[str, ...]:
    with pytest.raises(UnsupportedModel) as refused:
        read_tokenizer(path, config, **asked)
    return refused.value.reasons


def test_generation_settings_go_before_the_models(nllb_folder: Path) -> None:
    """Of ids too; words that may not be said are suppressed."""
    settings = {"eos_token_id": [2], "decoder_start_token_id": 1, "bad_words_ids": [[3], [1]]}
    (nllb_folder / "generation_config.json").write_text(json.dumps(settings), "utf-8")
    facts = read_tokenizer(nllb_folder, MANY | {"decoder_start_token_id": 9}).tokenizer

    assert (facts.eos_id, facts.start_id, facts.suppressed_ids) == (2, 1, (1, 3))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("tokenizer.json", "{}", "tokenizer.json is not a tokenizer.json that can be read"),
        ("tokenizer.json", "[]", "tokenizer.json does not hold an object"),
        ("tokenizer.json", "[" * 100_000, "tokenizer.json cannot be read: not JSON"),
        ("tokenizer.json", '{"model": {"type": "Unigram", "vocab": "x"}}', "is not a tokenizer.json that can be read"),
        ("tokenizer_config.json", "{", "tokenizer_config.json cannot be read: not JSON"),
        ("tokenizer_config.json", '{"a": 1, "a": 2}', "tokenizer_config.json cannot be read: not JSON"),
        ("tokenizer_config.json", '{"model_max_length": Infinity}', "Infinity is not a number of JSON"),
        ("tokenizer_config.json", '{"added_tokens_decoder": [1]}', "tokenizer_config.json: added_tokens_decoder"),
        ("generation_config.json", "\udcff", "generation_config.json cannot be read"),
    ],
)
def test_broken_files_are_refused_by_name(nllb_folder: Path, name: str, content: str, reason: str) -> None:
    """Whatever is in them."""
    (nllb_folder / name).write_text(content, "utf-8", errors="surrogateescape")

    assert any(reason in one for one in reasons_of(nllb_folder, MANY))
