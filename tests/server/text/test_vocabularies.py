"""Vocabularies of every kind, and files that are none. What they agree with is compared in tests/e2e."""

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import decoders, models, pre_tokenizers

from dragoman.bundle.reader import Bundle, hash_file
from dragoman.server.core.errors import StartError
from dragoman.server.text.alignment import words
from dragoman.server.text.tokenizer import Tokenizer
from dragoman.server.text.vocabularies import Vocabulary, open_vocabulary

WORDS = {"<unk>": 0, "</s>": 1, "a": 2, "b": 3, "ab": 4, "<pt>": 5}


def with_files(bundle: Bundle, folder: Path, files: dict[str, bytes], **tokenizer: object) -> Bundle:
    """The bundle with other files and another tokenizer."""
    for name in bundle.manifest.files:
        (folder / name).write_bytes(bundle.path(name).read_bytes())
    for name, content in files.items():
        (folder / name).write_bytes(content)
    listed = bundle.manifest.files | {name: hash_file(folder / name) for name in files}
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


NASTY = [
    "a",
    "b",
    "ab",
    "  ",
    "\n",
    "\u200b",
    "👩\u200d👧",
    "e\u0301",
    "ﬃ",
    "½",
    "“ab”",
    "it's",
    "\u0130a",
    "A'\n",
    "a.\nb",
    "<b>",
    "日本",
    "…",
    "1,5",
]


@pytest.fixture(params=["sentencepiece", "sentencepiece-vocabulary", "tokenizers", "moses-fastbpe", "parlai-bpe"])
def vocabulary(request: pytest.FixtureRequest, bundle: Bundle, tmp_path: Path) -> Vocabulary:
    """One of every kind."""
    if request.param == "moses-fastbpe":
        pytest.importorskip("sacremoses")
        names = {"source": "m.txt", "target": "m.txt", "source_vocabulary": "t.json", "target_vocabulary": "t.json"}
        table = {"a": 2, "b</w>": 3, "ab</w>": 4, "it</w>": 5, "&apos;s</w>": 6, "&lt;</w>": 7, "b": 8, "a</w>": 9}
        files = {"m.txt": b"a b</w>\ni t</w>\n", "t.json": json.dumps(table).encode()}
    elif request.param == "parlai-bpe":
        names = {"source": "m.txt", "target": "m.txt", "source_vocabulary": "t.json", "target_vocabulary": "t.json"}
        table = {"a": 2, "b": 3, "ab": 4, "it": 5, "'": 6, "a@@": 7, "__new": 8, "i\u0307@@": 9, ".": 12, "s": 13}
        files = {"m.txt": b"a b</w>\ni t</w>\n_ _\n", "t.json": json.dumps(table).encode()}
    elif request.param == "tokenizers":
        names, files = {"source": "t.json", "target": "t.json"}, {"t.json": by_bytes()}
    elif request.param == "sentencepiece-vocabulary":
        names = {"source_vocabulary": "t.json", "target_vocabulary": "t.json", "unk_id": 11}
        files = {"t.json": json.dumps({"\u2581": 7, "T": 8, "h": 9, "e": 10, ".": 300, "a": 12, "b": 13}).encode()}
    else:
        names, files = {}, {}
    return open_vocabulary(with_files(bundle, tmp_path, files, kind=request.param, **names), "source")


def by_bytes() -> bytes:
    """A tokenizer that falls back to bytes, of which one character has several."""
    words = {**{f"<0x{byte:02X}>": byte for byte in range(256)}, "<unk>": 256, "a": 257, "b": 258, "ab": 259}
    tokenizer = FastTokenizer(models.BPE(words | {"\u2581": 260}, [("a", "b")], unk_token="<unk>", byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    return tokenizer.to_str().encode()


@pytest.mark.parametrize("seed", range(40))
def test_ids_have_places_in_the_text_and_add_up_to_the_decoded_one(vocabulary: Vocabulary, seed: int) -> None:
    """One place for each id, in order and apart; in every kind, whatever the text."""
    chosen = random.Random(seed)
    text = "".join(chosen.choices([*NASTY, " "], k=12))
    ids = vocabulary.encode(text)

    spans, surfaces = vocabulary.spans(text), vocabulary.surfaces(ids)

    assert (len(spans), len(surfaces)) == (len(ids), len(ids))
    edges = [edge for span in spans for edge in span]
    assert edges == sorted(edges)
    assert all(0 <= edge <= len(text) for edge in edges)
    assert "".join(surfaces) == vocabulary.decode(ids)


def test_places_are_those_of_the_words(vocabulary: Vocabulary) -> None:
    """Also where quotes are escaped, white space goes and a character has many ids."""
    text = "it's  ab <b> 日本 ab"
    spans = vocabulary.spans(text)

    found = [text[word.span.start : word.span.end] for word in words(text, spans)]

    assert "".join(found) == "".join(text.split())
    assert {"ab", "日"} <= set(found) or "日本" in found
    assert found[-1] == "ab"


def test_a_token_and_its_id_name_each_other(vocabulary: Vocabulary) -> None:
    """An id that is not there has no name, and a name that is not there no id."""
    [*_, last] = vocabulary.encode("ab")
    name = vocabulary.token(last)

    assert name is not None
    assert vocabulary.token_id(name) == last
    assert vocabulary.token(99_999) is None
    assert vocabulary.token_id("no such token") is None
