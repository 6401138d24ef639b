"""Sources to measure scales on: from a file, or from the vocabulary."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import tokenizers
from sentencepiece import SentencePieceProcessor

from dragoman.bundle.manifest import Architecture, Decoding, LanguagePair, Limits, Tokenizer
from dragoman.export.calibration.texts import LINES
from dragoman.export.command import calibration_ids
from dragoman.export.core.checkpoint import Checkpoint
from dragoman.export.core.errors import ExportError
from dragoman.server.testing import write_vocabulary

VOCABULARY, EOS = 40, 0


def a_checkpoint(directory: Path, kind: str = "sentencepiece") -> Checkpoint:
    write_vocabulary(directory / "words.spm")
    return Checkpoint(
        name="toy",
        pairs=(LanguagePair("en", "pt"),),
        architecture=Architecture(16, 4, 24, 2, 2, VOCABULARY, VOCABULARY),
        weights={},
        quantized={},
        tokenizer=Tokenizer(kind, "words.spm", "words.spm", EOS, 1, VOCABULARY),  # type: ignore[arg-type]
        tokenizer_files={"words.spm": directory / "words.spm"},
        decoding=Decoding(),
        limits=Limits(8, 8),
        source_format="toy",
        source_files=(),
    )


def test_texts_become_sources_that_the_model_can_read(tmp_path):
    """Blank lines are passed over, long ones cut to the model's limit, each ends with the end token, few are enough."""
    file = tmp_path / "texts"
    file.write_text("The dog.\n\n   \n" + "The quick brown fox. " * 20 + "\n" + "A box.\n" * 500, encoding="utf-8")

    found = calibration_ids(a_checkpoint(tmp_path), file)

    assert len(found) == LINES
    assert all(ids[-1] == EOS and 2 <= len(ids) <= 8 for ids in found)
    assert len(found[1]) == 8


@pytest.mark.parametrize(
    ("content", "kind", "said"),
    [
        (b"", "sentencepiece", "no text in it"),
        (b"\xff\xfe", "sentencepiece", "not UTF-8"),
        (b"text", "moses-fastbpe", "Moses' rules, .*--calibrate without a file"),
        (b"text", "parlai-bpe", "ParlAI's rules, .*--calibrate without a file"),
    ],
)
def test_what_cannot_be_measured_on_is_refused(tmp_path, content, kind, said):
    """An empty file, one that is no text, and texts for rules that an export does not run are refused in words."""
    file = tmp_path / "texts"
    file.write_bytes(content)

    with pytest.raises(ExportError, match=said):
        calibration_ids(a_checkpoint(tmp_path, kind), file)


def test_every_kind_of_tokenizer_reads_texts(tmp_path):
    """Ids are those of the library or table that the kind is defined by, with what the model reads around them."""
    write_vocabulary(tmp_path / "words.spm")
    pieces = SentencePieceProcessor(model_file=str(tmp_path / "words.spm"))
    table = {pieces.id_to_piece(n): n + 5 for n in range(2, 300)}
    (tmp_path / "table.json").write_text(json.dumps(table), encoding="utf-8")
    fast = tokenizers.Tokenizer(tokenizers.models.WordLevel({"<unk>": 1, "The": 7, "dog": 8, ".": 9}, "<unk>"))
    fast.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    fast.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "texts").write_text("The dog.\nThe dog?", encoding="utf-8")
    made = a_checkpoint(tmp_path)
    files = {name: tmp_path / name for name in ("words.spm", "table.json", "tokenizer.json")}
    languages = {"prefix": ("source",), "source_languages": {"en": (30,), "de": (31,)}, "suffix": (33,)}

    def found(**changes) -> list[list[int]]:
        words = replace(made.tokenizer, **languages, **changes)
        limits = Limits(20, 20)
        return calibration_ids(replace(made, tokenizer=words, tokenizer_files=files, limits=limits), tmp_path / "texts")

    ids = [pieces.encode(text) for text in ("The dog.", "The dog?")]
    assert found() == [[30, *ids[0], EOS, 33], [31, *ids[1], EOS, 33]]
    numbered = [[table.get(pieces.id_to_piece(n), 1) for n in row] for row in ids]
    assert found(kind="sentencepiece-vocabulary", source_vocabulary="table.json") == [
        [30, *numbered[0], EOS, 33],
        [31, *numbered[1], EOS, 33],
    ]
    assert found(kind="tokenizers", source="tokenizer.json") == [[30, 7, 8, 9, EOS, 33], [31, 7, 8, 1, EOS, 33]]


@pytest.mark.parametrize("kind", ["sentencepiece", "moses-fastbpe"])
def test_without_texts_words_of_the_vocabulary_are_read(tmp_path, kind):
    """The same ones each time, frequent ones more often, and nothing that has a meaning of its own."""
    made = a_checkpoint(tmp_path, kind)
    made = replace(made, tokenizer=replace(made.tokenizer, suppressed_ids=(5,)), limits=Limits(30, 30))

    found = calibration_ids(made, None)

    assert found == calibration_ids(made, None)
    assert (len(found), {ids[-1] for ids in found}) == (LINES, {EOS})
    assert max(map(len, found)) == 30
    counts = Counter(index for ids in found for index in ids[:-1])
    assert not counts.keys() & {EOS, 1, 5, VOCABULARY}
    assert sum(counts[n] for n in range(12)) > sum(counts[n] for n in range(28, 40))
    assert counts.keys() >= {2, 39}
