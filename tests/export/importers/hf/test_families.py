"""Which files each family needs."""

from pathlib import Path
from typing import Any

import pytest
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

from dragoman.export.core.errors import UnsupportedModel
from dragoman.export.importers.hf.tokenizer import read_tokenizer

CORPUS = [
    "translate English to German: The quick brown fox jumps over the lazy dog.",
    "Pack my box with five dozen liquor jugs!",
]


T5 = {"model_type": "t5", "vocab_size": 500, "eos_token_id": 1, "decoder_start_token_id": 0}


def spm(path: Path, **options: Any) -> SentencePieceProcessor:
    defaults = {"vocab_size": 120, "hard_vocab_limit": False, "minloglevel": 2}
    with path.open("wb") as file:
        SentencePieceTrainer.train(sentence_iterator=iter(CORPUS * 4), model_writer=file, **(defaults | options))
    return SentencePieceProcessor(model_file=str(path))


@pytest.fixture
def t5_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "t5"
    folder.mkdir()
    spm(folder / "spiece.model", pad_id=0, eos_id=1, unk_id=2, bos_id=-1, user_defined_symbols=["<2de>", "<2pt>"])
    return folder


def reasons_of(path: Path, config: dict[str, Any], **asked: str) -> tuple[str, ...]:
    with pytest.raises(UnsupportedModel) as refused:
        read_tokenizer(path, config, **asked)
    return refused.value.reasons


def test_language_tokens_in_the_text_of_t5_ask_for_a_target(t5_folder: Path) -> None:
    """The target goes before the text, the source is not told; and that a text can say so too is noted."""
    source = read_tokenizer(t5_folder, T5)

    assert source.pairs == ()
    assert source.tokenizer.prefix == ("target",)
    assert source.tokenizer.source_languages == {"de": (), "pt": ()}
    assert source.tokenizer.target_languages == {"de": (3,), "pt": (4,)}
    assert "a text that contains <2de> is read as asking for that language" in source.notes[0]


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        ("marian", ["source.spm is missing", "target.spm is missing", "vocab.json is missing"]),
        ("t5", ["there is neither tokenizer.json nor spiece.model"]),
        ("bart", ["there is neither tokenizer.json nor vocab.json"]),
        ("fsmt", ["vocab-src.json is missing", "vocab-tgt.json is missing", "merges.txt is missing"]),
        ("mbart", ["there is neither tokenizer.json nor sentencepiece.bpe.model"]),
    ],
)
def test_missing_files_are_named(tmp_path: Path, kind: str, named: list[str]) -> None:
    """All of them at once."""
    reasons = reasons_of(tmp_path, T5 | {"model_type": kind})

    assert [reason.partition(":")[0] for reason in reasons] == named
