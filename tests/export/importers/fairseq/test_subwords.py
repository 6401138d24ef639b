"""The files that a model's texts were cut with."""

import json
import shutil
from pathlib import Path

import pytest

from dragoman.export.core.errors import UnsupportedModel
from dragoman.export.importers.fairseq.importer import read_fairseq
from dragoman.server.text.moses import MosesPieces
from dragoman.server.text.vocabularies import FastPieces, NumberedPieces, _fast


def reasons_of(path, source=None, target=None) -> tuple[str, ...]:
    with pytest.raises(UnsupportedModel) as caught:
        read_fairseq(path, source, target)
    return caught.value.reasons


def numbered(checkpoint, side="source"):
    """The server's own vocabulary of a checkpoint's files."""
    import sentencepiece

    tokenizer = checkpoint.tokenizer
    model = checkpoint.tokenizer_files[getattr(tokenizer, side)]
    table = json.loads(checkpoint.tokenizer_files[getattr(tokenizer, f"{side}_vocabulary")])
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    return processor, NumberedPieces(processor, table, tokenizer.unk_id)


@pytest.mark.parametrize("text", ["a bad ride", "beer", "</s> <unk> madeupword0001", "xyz \u4f60", "  \n", ""])
def test_sentencepiece_ids_are_the_dictionarys(fairseq, text):
    """Pieces have the numbers of their lines behind fairseq's own four words; what is not listed is unknown."""
    model = fairseq()
    checkpoint = read_fairseq(model.write(), None, None)
    lines = (model.folder / "dict.de.txt").read_text(encoding="utf-8").splitlines()
    numbers = {line.rpartition(" ")[0]: n for n, line in enumerate(lines, 4)}

    processor, words = numbered(checkpoint)

    assert words.encode(text) == [numbers.get(piece, 3) for piece in processor.encode(text, out_type=str)]
    assert all(index > 2 for index in words.encode(text)), "a text is never a control token"


def test_one_vocabulary_is_one_file(fairseq):
    """Dictionaries that are alike are stored once, others twice."""
    shared = read_fairseq(fairseq(share_all_embeddings=True).write(), None, None).tokenizer
    own = read_fairseq(fairseq().write(), None, None).tokenizer

    assert shared.source_vocabulary == shared.target_vocabulary
    assert own.source_vocabulary != own.target_vocabulary
    assert own.source == own.target


CODES = [
    "d e",
    "u n",
    "h un",
    "a u",
    "l au",
    "f t</w>",
    "lau ft</w>",
    "hun d</w>",
    "hun de</w>",
    "d e</w>",
    "hu nd</w>",
]


def bpe(fairseq, codes: str, name: str = "bpecodes", letters: str = "abcdefghklnrstuiz"):
    """A model whose dictionaries are made of BPE."""
    model = fairseq()
    (model.folder / "sentencepiece.bpe.model").unlink()
    (model.folder / name).write_text(codes, encoding="utf-8")
    made = ["hun@@", "lau@@", "hund", "hunde", "lauft", "un@@", "de@@"]
    lines = [*made, *[f"{c}@@" for c in letters], *letters]
    for side, rows in (("de", 31), ("en", 37)):
        listed = (lines + [f"madeupword{n:04d}" for n in range(rows)])[: rows - 4]
        (model.folder / f"dict.{side}.txt").write_text("".join(f"{word} 1\n" for word in listed), encoding="utf-8")
    return model


@pytest.mark.parametrize(
    ("header", "count", "name"), [("", " 7", "bpecodes"), ("#version: 0.2\n", "", "code"), ("", "", "ende.codes")]
)
def test_merges_of_either_program(fairseq, header, count, name):
    """fastBPE's with counts, subword-nmt's with a version: ids are those of the pieces that end in @@ in fairseq."""
    model = bpe(fairseq, header + "".join(f"{line}{count}\n" for line in CODES), name)

    checkpoint = read_fairseq(model.write(), None, None)

    tokenizer = checkpoint.tokenizer
    assert tokenizer.kind == "moses-fastbpe"
    merges = checkpoint.tokenizer_files[tokenizer.source]
    table = json.loads(checkpoint.tokenizer_files[tokenizer.source_vocabulary])
    pieces = MosesPieces("de", Path("merges"), merges, table, tokenizer.unk_id)
    # hund, hun@@ + de is not merged before hunde, lau@@ + f@@ + e@@ + n with n unknown to the dictionary or not
    numbers = {
        line.rpartition(" ")[0]: n for n, line in enumerate((model.folder / "dict.de.txt").read_text().split("\n"), 4)
    }
    assert pieces.encode("hund lauft ab") == [numbers["hund"], numbers["lauft"], numbers["a@@"], numbers.get("b", 3)]
    assert pieces.decode([numbers["hun@@"], numbers["a@@"], numbers["hund"]]) == "hunahund"


@pytest.mark.parametrize(
    ("codes", "said"),
    [
        ("#version: 0.1\na b\n", "before 0.2"),
        ("e </w>\n", "before 0.2"),
        ("a\n", "expected two pieces"),
        ("q x\n", "belongs to another model"),
    ],
)
def test_merges_that_do_not_fit(fairseq, codes, said):
    """Another version, another file, another model."""
    model = bpe(fairseq, codes, letters="\u00e4\u00f6\u00fc") if said.startswith("belongs") else bpe(fairseq, codes)
    if said.startswith("belongs"):
        for file in model.folder.glob("dict.*.txt"):
            file.write_text("".join(f"wort{n:02d}@@ 1\n" for n in range(27 if "de" in file.name else 33)))

    assert any(said in reason for reason in reasons_of(model.write()))


def test_subwords_that_are_missing_or_many(fairseq, vocabulary):
    """A folder must say what its texts were cut with, once."""
    model = fairseq()
    path = model.write()
    shutil.copy(model.folder / "sentencepiece.bpe.model", model.folder / "other.model")
    assert any("several files could hold a SentencePiece model" in reason for reason in reasons_of(path))

    for file in model.folder.glob("*.model"):
        file.rename(file.with_name(f"spm.{'de' if 'other' in file.name else 'en'}.model"))
    assert read_fairseq(path, None, None).tokenizer.kind == "sentencepiece-vocabulary"

    for file in model.folder.glob("*.model"):
        file.write_bytes(b"\x0a\x03abc")
    assert any("is not a SentencePiece model" in reason for reason in reasons_of(path))

    for file in model.folder.glob("*.model"):
        file.unlink()
    assert any("a SentencePiece model, which is missing" in reason for reason in reasons_of(path))


def listed(model, words) -> None:
    """Give both dictionaries these words, and fillers up to what they had."""
    for language in ("de", "en"):
        path = model.folder / f"dict.{language}.txt"
        rows = len(path.read_text(encoding="utf-8").splitlines())
        fillers = [f"madeupword{n:04d}" for n in range(rows - len(words))]
        path.write_text("".join(f"{word} 1\n" for word in (*words, *fillers)), encoding="utf-8")
    (model.folder / "sentencepiece.bpe.model").unlink()


@pytest.mark.parametrize(
    ("cut", "words", "text", "expected", "back"),
    [
        ("spaces", ["sub", "x0", "INT+", "."], "sub x0  INT+ y .", [4, 5, 6, 3, 7], "sub x0 INT+ ."),
        ("characters", ["a", "b", "|"], "ab a|c", [4, 5, 6, 4, 6, 3], "ab a "),
        ("characters", ["a", "b", "C"], "ab aC", [4, 5, 4, 6], "abaC"),
    ],
)
def test_dictionaries_of_words_or_characters_are_read_when_asked(fairseq, cut, words, text, expected, back):
    """Texts are cut at spaces, or letter by letter; what is not listed is unknown, and no text is a control token."""
    model = fairseq()
    path = model.write()
    listed(model, words)

    checkpoint = read_fairseq(path, None, None, cut)

    assert checkpoint.tokenizer.kind == "tokenizers"
    file = Path(model.folder / "t.json")
    file.write_bytes(checkpoint.tokenizer_files[checkpoint.tokenizer.source])
    table = _fast(file, file.read_bytes())
    pieces = FastPieces(table, frozenset(checkpoint.tokenizer.hidden_ids))
    assert pieces.encode(text) == expected
    assert pieces.decode([index for index in expected if index not in checkpoint.tokenizer.hidden_ids]) == back
    assert pieces.encode("</s> <pad>")[0] in (3, 4)


def test_words_are_never_guessed(fairseq):
    """Without being asked, a dictionary without its subwords is refused, and the way out is said."""
    model = fairseq()
    path = model.write()
    listed(model, ["sub", "x0"])

    (reason,) = reasons_of(path)

    assert "merges of BPE, which is missing" in reason
    assert "--words" in reason
