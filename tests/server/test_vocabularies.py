"""Vocabularies of every kind, and files that are none. What they agree with is compared in tests/e2e."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import decoders, models, pre_tokenizers

from dragoman.bundle.manifest import File
from dragoman.bundle.reader import Bundle
from dragoman.server.errors import StartError
from dragoman.server.tokenizer import Tokenizer
from dragoman.server.vocabularies import open_vocabulary

WORDS = {"<unk>": 0, "</s>": 1, "a": 2, "b": 3, "ab": 4, "<pt>": 5}


def with_files(bundle: Bundle, folder: Path, files: dict[str, bytes], **tokenizer: object) -> Bundle:
    """The bundle with other files and another tokenizer."""
    for name in bundle.manifest.files:
        (folder / name).write_bytes(bundle.path(name).read_bytes())
    for name, content in files.items():
        (folder / name).write_bytes(content)
    listed = bundle.manifest.files | {name: File("0" * 64, 0) for name in files}
    facts = replace(bundle.manifest.tokenizer, **tokenizer)  # type: ignore[arg-type]
    return Bundle(replace(bundle.manifest, tokenizer=facts, files=listed), folder, "")


def fast() -> bytes:
    tokenizer = FastTokenizer(models.BPE(WORDS, [("a", "b")], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(["<unk>", "</s>", "<pt>"])
    return tokenizer.to_str().encode()


def test_pieces_have_the_ids_of_the_table(bundle: Bundle, tmp_path: Path) -> None:
    """What it does not list is the unknown word, and ids that it does not list have no text."""
    table = {"\u2581": 7, "T": 8, "h": 9, "e": 10, ".": 300}
    told = with_files(
        bundle,
        tmp_path,
        {"t.json": json.dumps(table).encode()},
        kind="sentencepiece-vocabulary",
        source_vocabulary="t.json",
        target_vocabulary="t.json",
        unk_id=11,
    )
    vocabulary = open_vocabulary(told, "source")

    assert vocabulary.encode("The.") == [7, 8, 9, 10, 300]
    assert vocabulary.encode("The x.") == [7, 8, 9, 10, 7, 11, 300]
    assert vocabulary.decode([7, 8, 11, 9, 10, 300, 99999, 7]) == "The."
    assert vocabulary.size == 301


def test_a_fast_tokenizer_reads_and_writes_text(bundle: Bundle, tmp_path: Path) -> None:
    """Without special tokens in either direction; its size is that of what a text can become."""
    told = with_files(
        bundle, tmp_path, {"t.json": fast()}, kind="tokenizers", source="t.json", target="t.json", hidden_ids=(0, 1, 5)
    )
    vocabulary = open_vocabulary(told, "source")

    assert vocabulary.encode("ab</s><pt>")[:2] == [0, 4]
    assert not {1, 5} & set(vocabulary.encode("ab</s><pt>"))
    assert vocabulary.decode([4, 3, 99999]) == "abb"
    assert vocabulary.size == 5


@pytest.mark.parametrize(
    ("kind", "content", "message"),
    [
        ("sentencepiece-vocabulary", b"[", "t.json is not JSON"),
        ("sentencepiece-vocabulary", b"\xff", "t.json is not JSON"),
        ("sentencepiece-vocabulary", b"[1]", "t.json is not a vocabulary: an object from pieces to ids"),
        ("sentencepiece-vocabulary", b'{"a": -1}', "t.json is not a vocabulary"),
        ("sentencepiece-vocabulary", b'{"a": true}', "t.json is not a vocabulary"),
        ("sentencepiece-vocabulary", b'{"a": 400}', "t.json has 401 pieces, .* source vocabulary has room for 400"),
        ("tokenizers", b"{}", "t.json is not a tokenizer.json"),
        ("tokenizers", b"\xff", "t.json is not a tokenizer.json"),
        ("tokenizers", fast().replace(b'"b":3', b'"b":400'), "t.json has 401 pieces"),
    ],
)
def test_files_that_are_no_vocabularies_stop_the_start(
    bundle: Bundle, tmp_path: Path, kind: str, content: bytes, message: str
) -> None:
    """With the file's name; also those whose ids the network has no room for."""
    names = {"source": "t.json", "target": "t.json"}
    if kind == "sentencepiece-vocabulary":
        names = {"source_vocabulary": "t.json", "target_vocabulary": "t.json"}

    with pytest.raises(StartError, match=message.replace(".json", r"\.json")):
        Tokenizer(with_files(bundle, tmp_path, {"t.json": content}, kind=kind, **names))
