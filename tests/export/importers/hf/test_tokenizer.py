"""What a Hugging Face directory's files say about text and languages, and what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import models, pre_tokenizers

from dragoman.export.core.errors import UnsupportedModel
from dragoman.export.importers.hf.tokenizer import read_tokenizer

MANY = {"model_type": "m2m_100", "vocab_size": 500, "eos_token_id": 2, "decoder_start_token_id": 2}


Write = Callable[..., Path]


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


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"vocab_size": 30}, "the source embedding has 30 rows (vocab_size): the tokenizer belongs to another model"),
        ({"vocab_size": 34}, "the tokenizer has ids up to 34, and the target embedding has 34 rows"),
        ({"vocab_size": None}, "config.json has no vocab_size, it says None"),
        ({"eos_token_id": None}, "neither generation_config.json nor config.json has a eos_token_id"),
        ({"eos_token_id": [2, 3]}, "eos_token_id must be one id, it is [2, 3]"),
        ({"bad_words_ids": [[1, 2]]}, "bad_words_ids has words of several ids"),
        ({"model_type": "bert"}, "tokenizers of the model type 'bert' are not supported, only those of bart, "),
    ],
)
def test_what_does_not_fit_is_refused(nllb_folder: Path, config: dict[str, Any], reason: str) -> None:
    """With what is wrong and the numbers."""
    assert any(reason in one for one in reasons_of(nllb_folder, MANY | config))
