"""Vocabularies in the form that the server reads."""

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import models, pre_tokenizers

from dragoman.export.core.errors import UnsupportedModel
from dragoman.export.importers.hf.tokenizer import read_tokenizer

T5 = {"model_type": "t5", "vocab_size": 500, "eos_token_id": 1, "decoder_start_token_id": 0}


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


def test_neither_truncation_nor_padding_nor_template_comes_along(nllb_folder: Path) -> None:
    """A text is never cut or lengthened by its tokenizer; what is put around it is the manifest's."""
    content = read_tokenizer(nllb_folder, MANY).files["tokenizer.json"]

    assert isinstance(content, bytes)
    document = json.loads(content)
    assert [document[key] for key in ("truncation", "padding", "post_processor")] == [None] * 3


def test_a_tokenizer_that_reads_control_tokens_in_texts_is_refused(tmp_path: Path) -> None:
    """Where a text could end the source, or choose its language."""
    fast = FastTokenizer(models.WordLevel({"<unk>": 0, "</s>": 1, "a": 2}, unk_token="<unk>"))
    fast.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast.add_special_tokens(["</s>", "<unk>"])
    fast.save(str(tmp_path / "tokenizer.json"))

    assert reasons_of(tmp_path, T5) == ("tokenizer.json reads '</s>' in a text as the control token </s>",)
