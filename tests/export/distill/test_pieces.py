"""Texts as ids and back."""

from types import SimpleNamespace

import pytest

from dragoman.bundle.manifest import Tokenizer
from dragoman.export.core.errors import ExportError
from dragoman.export.distill.pieces import Pieces


def a_checkpoint(files, kind="sentencepiece"):
    """As much of one as tells how texts are cut."""
    return SimpleNamespace(tokenizer=Tokenizer(kind, "v.spm", "v.spm", 0, 1, 2), tokenizer_files=files)


def test_a_text_comes_back_from_its_ids(tmp_path, vocabulary):
    """Whether the model is a file or its content."""
    (tmp_path / "v.spm").write_bytes(vocabulary)

    for model in (vocabulary, tmp_path / "v.spm"):
        pieces = Pieces(a_checkpoint({"v.spm": model}), "a test")
        ids = pieces.target("ab ba")
        assert pieces.source("ab ba") == ids
        assert pieces.text(ids) == "ab ba"


def test_other_tokenizers_are_refused(vocabulary):
    """By name, and with what they were wanted for."""
    with pytest.raises(ExportError, match=r"a test reads texts with SentencePiece alone.*moses-fastbpe"):
        Pieces(a_checkpoint({"v.spm": vocabulary}, "moses-fastbpe"), "a test")
