"""Bytes of words, of tokenizers of every kind."""

import json
import random

import pytest
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers
from tokenizers import Tokenizer as FastTokenizer

from dragoman.server.pipeline.workers import finished
from dragoman.server.testing import write_bundle
from dragoman.server.text.grammars.word_bytes import word_bytes
from dragoman.server.text.tokenizer import Tokenizer


class Texts:
    """As much of a tokenizer as is asked for its words."""

    def __init__(self, decode, size, raw=lambda index: None):
        self.decode, self.size, self.raw_bytes = decode, size, raw

    def is_word(self, index):
        return 2 <= index < self.size


def joined(made, ids):
    return (made.first[ids[0]] + b"".join(made.words[index] for index in ids[1:])).decode()


def test_words_of_sentencepiece_are_what_they_add(bundle, tokenizer: Tokenizer) -> None:
    """In the middle of a text, and at its beginning, where a space is none."""
    size = bundle.manifest.architecture.target_vocabulary
    made = finished(word_bytes(tokenizer, size))
    assert made is not None

    ids = tokenizer.encode_target("the lazy dog jumps over the fox")

    assert joined(made, ids) == "the lazy dog jumps over the fox"
    assert made.words[tokenizer.eos_id] == made.words[tokenizer.unk_id] == b""
    assert len(made.words) == size


WHOLE = ["</s>", "<unk>", "the", "dog", ".", "não"]
SPACED = ["</s>", "<unk>", "▁the", "▁", "a", "s", "."]


@pytest.mark.parametrize(
    ("decode", "size", "first", "word"),
    [
        (lambda ids: " ".join(WHOLE[n] for n in ids), 6, b"the", b" the"),
        (lambda ids: "".join(SPACED[n] for n in ids).replace("▁", " ").strip(), 7, b"the", b" the"),
        (lambda ids: "".join(SPACED[n] for n in ids).replace("▁", " "), 7, b" the", b" the"),
    ],
)
def test_texts_that_are_put_together_of_words(decode, size, first, word) -> None:
    """With spaces between them, before them, or in them; at a text's ends some leave them out."""
    made = finished(word_bytes(Texts(decode, size), size))
    assert made is not None

    assert (made.first[2], made.words[2]) == (first, word)
    assert made.strips == decode([4, 3]).endswith("a") if size == 7 else not made.strips
    assert made.blanks == ((3,) if size == 7 and first == b"the" else ())


@pytest.mark.parametrize(
    "decode",
    [
        lambda ids: " ".join(WHOLE[n] for n in ids).replace(" .", ". -").replace("the dog", "dogs"),
        lambda ids: "".join(WHOLE[n] for n in sorted(ids)),
        lambda ids: "",
    ],
)
def test_texts_whose_words_depend_on_others_have_no_bytes(decode) -> None:
    """None is better than wrong ones."""
    assert finished(word_bytes(Texts(decode, 6), 6)) is None


def byte_level(tmp_path):
    """A byte-level `tokenizer.json` with all bytes and a few words."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"</s>": 0, "<unk>": 1, **{letter: n + 2 for n, letter in enumerate(letters)}}
    made = FastTokenizer(models.BPE({**vocabulary, "Ġd": len(vocabulary)}, [("Ġ", "d")]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.normalizer = normalizers.NFC()
    made.add_special_tokens([AddedToken("</s>", special=True), AddedToken("<unk>", special=True)])
    return made


def test_bytes_of_byte_level_tokenizers(tmp_path) -> None:
    """Each letter is a byte, and words are as many."""
    fast = byte_level(tmp_path)
    path = write_bundle(tmp_path / "bytes").directory / "tokenizer.json"
    path.write_text(fast.to_str())
    from dragoman.server.text.vocabularies import FastPieces

    pieces = FastPieces(FastTokenizer.from_str(json.dumps(json.loads(path.read_text()))), frozenset({0, 1}))
    texts = Texts(pieces.decode, pieces.size, pieces.raw_bytes)
    made = finished(word_bytes(texts, pieces.size))
    assert made is not None

    rng = random.Random(1)
    for text in ["não, é „ó“ 😀\n", "".join(map(chr, rng.choices(range(32, 0x2000), k=40)))]:
        ids = pieces.encode(text)
        assert b"".join(made.words[index] for index in ids).decode() == pieces.decode(ids)
