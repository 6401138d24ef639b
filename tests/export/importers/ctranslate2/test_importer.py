"""CTranslate2's folders: what the library computes with them, and what is refused."""

import json
import struct

import converted
import ctranslate2
import pytest
import torch

from dragoman.export.core.errors import UnsupportedModel
from dragoman.export.graphs.running import padded
from dragoman.export.importers.ctranslate2.importer import parse_list, read_ctranslate2
from dragoman.export.importers.formats import read
from dragoman.export.network.load import load_network

SOURCES = [[4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17], [18], [5, 19, 20]]
TARGETS = [[6, 7, 8, 9], [21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32], [4]]


def scores(folder, checkpoint):
    """Log-probabilities of the targets' words by the library and by the network."""
    words, facts = checkpoint.tokenizer, converted
    end = [words.eos_id] * words.source_end + list(words.suffix)
    names = facts.tokens(converted.WORDS)
    theirs = ctranslate2.Translator(str(folder), compute_type="float32").score_batch(
        [[names[n] for n in (*source, *end)] for source in SOURCES], [[names[n] for n in target] for target in TARGETS]
    )
    network = load_network(checkpoint)
    ids, mask = (torch.from_numpy(each) for each in padded([[*source, *end] for source in SOURCES]))
    ours = []
    memory = network.memory(ids, mask)
    for g, target in enumerate(TARGETS):
        read_words = torch.tensor([[words.start_id, *target]])
        rows = network.full(read_words, [each[g : g + 1] for each in memory], mask[g : g + 1]).log_softmax(-1)[0]
        ours.append([rows[t, word].item() for t, word in enumerate((*target, words.eos_id))])
    return [each.log_probs for each in theirs], ours


@torch.inference_mode()
@pytest.mark.parametrize("quantization", [None, "int8", "float16"])
@pytest.mark.parametrize("case", converted.CASES)
def test_words_have_the_librarys_probabilities(tmp_path, case, quantization):
    """Of a padded batch with a source of one word, within 1e-4, in whatever type the weights are stored."""
    folder = converted.save(tmp_path / "m", quantization, **converted.CASES[case])

    checkpoint = read(folder, "auto", "en", "pt")

    theirs, ours = scores(folder, checkpoint)
    for a, b in zip(theirs, ours, strict=True):
        assert b == pytest.approx(a, abs=1e-4)
    assert checkpoint.tokenizer.source_end is (case not in ("opennmt", "shaw", "own words"))


@torch.inference_mode()
def test_files_of_before_say_in_variables_what_config_json_says(tmp_path):
    """Version 5: no config.json, one word a line, and the library reads the same."""
    folder = converted.save(tmp_path / "m", **converted.CASES["opennmt"])
    data = (folder / "model.bin").read_bytes()
    (folder / "model.bin").write_bytes(struct.pack("<I", 5) + data[4:])
    (folder / "config.json").unlink()
    words = json.loads((folder / "shared_vocabulary.json").read_text())
    (folder / "shared_vocabulary.json").unlink()
    (folder / "shared_vocabulary.txt").write_text("".join(f"{word}\n" for word in words))

    checkpoint = read_ctranslate2(folder, "en", "pt")

    theirs, ours = scores(folder, checkpoint)
    for a, b in zip(theirs, ours, strict=True):
        assert b == pytest.approx(a, abs=1e-4)


def test_a_package_says_its_languages_and_has_its_pieces_above(tmp_path):
    """As Argos Translate lays them out."""
    folder = converted.save(tmp_path / "model")
    (folder / "words.model").rename(tmp_path / "sentencepiece.model")
    (tmp_path / "metadata.json").write_text('{"from_code": "en", "to_code": "pb"}')

    checkpoint = read_ctranslate2(folder, None, "pt")

    assert str(checkpoint.pairs[0]) == "en-pt"
    assert checkpoint.tokenizer.kind == "sentencepiece-vocabulary"
    assert (checkpoint.decoding.profile, checkpoint.decoding.beam_size) == ("ct2", 2)


def test_what_a_source_has_around_it_is_what_config_json_says(tmp_path):
    """A beginning and an end; without SentencePiece, whole words when asked."""
    folder = converted.save(tmp_path / "m", source=33)
    (folder / "words.model").unlink()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "add_source_eos": True, "add_source_bos": True}))

    words = read_ctranslate2(folder, "en", "pt", "spaces").tokenizer

    assert (words.prefix, words.source_end, words.kind, words.start_id) == ((2,), True, "tokenizers", 2)
    with pytest.raises(UnsupportedModel, match="--words"):
        read_ctranslate2(folder, "en", "pt")


def test_what_is_not_read_is_refused_with_all_reasons(tmp_path):
    """Vocabularies that do not fit, words that are missing, no languages, forms that are not known."""
    folder = converted.save(tmp_path / "m", num_source_embeddings=1)
    words = json.loads((folder / "shared_vocabulary.json").read_text())
    (folder / "shared_vocabulary.json").write_text(json.dumps([*words[1:], "more", "another"]))

    def reasons(*pair):
        with pytest.raises(UnsupportedModel) as caught:
            read_ctranslate2(folder, *pair)
        return " ".join(caught.value.reasons)

    said = reasons("en", "pt")
    assert "the unknown word '<unk>' is not in the target vocabulary" in said
    assert "not as long as the embeddings" in said
    assert "name them with --from and --to" in reasons("en", None)
    (folder / "shared_vocabulary.json").write_text('{"a": 1}')
    said = reasons("en", "pt")
    assert "not a list of words" in said
    assert "there is no shared_vocabulary.json" not in said
    (folder / "shared_vocabulary.json").write_text("[]")
    said = reasons("en", "pt")
    assert "not as long as the embeddings" in said
    assert "there is no shared_vocabulary.json" not in said
    data = (folder / "model.bin").read_bytes()
    (folder / "model.bin").write_bytes(data[: len(data) // 2])
    assert "damaged or cut off" in reasons("en", "pt")
    (folder / "model.bin").write_bytes(struct.pack("<I", 4) + data[4:])
    assert "is of version 4: 5 and 6 are read" in reasons("en", "pt")


def test_an_end_that_is_put_behind_sources_unasked_is_said(tmp_path):
    """T5's and Pegasus' converters write padding as the beginning's word and the first; OpenNMT's sources have none."""
    for case, notes in (("t5", 1), ("pegasus", 1), ("opennmt", 0)):
        checkpoint = read_ctranslate2(converted.save(tmp_path / case, **converted.CASES[case]), "en", "pt")

        assert len([note for note in checkpoint.notes if "the end token is put behind" in note]) == notes


def test_a_json_list_goes_before_lines(tmp_path):
    """As in the library; and a line may be empty, or hold a carriage return."""
    folder = converted.save(tmp_path / "m")
    words = converted.tokens(converted.WORDS)
    (folder / "shared_vocabulary.txt").write_text("\n".join(["</s>", *words[1:]]))
    assert read_ctranslate2(folder, "en", "pt").tokenizer.unk_id == 0

    (folder / "shared_vocabulary.json").unlink()
    with (folder / "shared_vocabulary.txt").open("w", newline="") as file:
        file.write("\n".join([*words[:-2], "\r", "", ""]))
    table = read_ctranslate2(folder, "en", "pt").tokenizer_files["vocabulary.json"]
    assert isinstance(table, bytes)
    assert [*json.loads(table)][-2:] == ["\r", ""]


def test_other_kinds_of_models_are_refused_by_name(tmp_path):
    """Whisper's is CTranslate2's, and no translator."""
    (tmp_path / "model.bin").write_bytes(struct.pack("<IH", 6, 12) + b"WhisperSpec\0")

    with pytest.raises(UnsupportedModel, match="WhisperSpec"):
        read(tmp_path, "auto", "en", "pt")


@pytest.mark.parametrize(
    ("text", "expected"), [('["a", "b"]', ("a", "b")), ("[1]", None), ("{}", None), ("[", None), ("[" * 9999, None)]
)
def test_a_list_of_words_is_one(text, expected):
    """And nothing else is."""
    assert parse_list(text) == expected
