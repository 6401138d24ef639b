"""Lists of words, and what cuts texts into them."""

import json

import converted
import pytest

from dragoman.export.core.reasons import Reasons
from dragoman.export.importers.files.listed_words import read_listed_words

SPECIAL = frozenset(converted.OPENNMT)


def read(folders, lists, words=None):
    reasons = Reasons()
    return read_listed_words(folders, lists, SPECIAL, "<unk>", words, reasons), " ".join(reasons._unmet)


def test_pieces_are_found_beside_or_above(tmp_path):
    """In the first folder that has a model; control tokens are in no table."""
    listed = tuple(converted.tokens(9))
    (tmp_path / "model").mkdir()
    converted.pieces(tmp_path)

    found, said = read((tmp_path / "model", tmp_path), (listed, listed[:7]))

    assert found is not None, said
    assert (found.kind, found.models, found.read) == (
        "sentencepiece-vocabulary",
        ("vocabulary.spm",) * 2,
        (tmp_path / "words.model",),
    )
    table = found.files["target.json"]
    assert isinstance(table, bytes)
    assert json.loads(table) == {"\u2581w0": 4, "\u2581w1": 5, "\u2581w2": 6}


def test_models_of_both_sides_are_taken_by_their_names(tmp_path):
    """source.spm and target.spm."""
    converted.pieces(tmp_path)
    (tmp_path / "words.model").rename(tmp_path / "source.spm")
    (tmp_path / "target.spm").write_bytes((tmp_path / "source.spm").read_bytes())

    found, said = read((tmp_path,), (tuple(converted.tokens(9)),) * 2)

    assert found is not None, said
    assert found.models == ("source.spm", "target.spm")


@pytest.mark.parametrize(
    ("names", "listed", "reason"),
    [
        ([], converted.tokens(9), "say with --words"),
        (["a.model", "b.model"], converted.tokens(9), "several files could hold"),
        (["a.model"], ["<unk>", "other", "words"], "it belongs to another model"),
    ],
)
def test_what_is_missing_or_does_not_fit_is_a_reason(tmp_path, names, listed, reason):
    """No model, several, or another one's."""
    converted.pieces(tmp_path)
    data = (tmp_path / "words.model").read_bytes()
    (tmp_path / "words.model").unlink()
    for name in names:
        (tmp_path / name).write_bytes(data)

    found, said = read((tmp_path,), (tuple(listed),) * 2)

    assert found is None
    assert reason in said


def test_whole_words_need_no_model(tmp_path):
    """When asked."""
    found, _ = read((tmp_path,), (("<unk>", "a"), ("<unk>", "b")), "spaces")

    assert found is not None
    assert (found.kind, found.tables, found.models) == ("tokenizers", (None, None), ("source.json", "target.json"))


def test_a_word_that_stands_twice_has_its_first_id(tmp_path):
    """As in CTranslate2."""
    converted.pieces(tmp_path)
    listed = (*converted.tokens(9), "\u2581w1")

    found, said = read((tmp_path,), (listed, listed))

    assert found is not None, said
    table = found.files["vocabulary.json"]
    assert isinstance(table, bytes)
    assert json.loads(table)["\u2581w1"] == 5


@pytest.mark.parametrize(
    ("source", "target", "reason"),
    [
        (("a", "<unk>"), ("<unk>", "a"), "number the unknown word differently"),
        (("a",), ("<unk>", "a"), "'<unk>' is not in the source vocabulary"),
        (("<unk>", "\ud800"), ("<unk>", "a"), "the source vocabulary has half a character in word [1]"),
        (("<unk>", "eng_Latn"), ("<unk>", "por_Latn"), "words for 2 languages, such as eng_Latn, por_Latn"),
        (("<unk>", "__en__", "__pt__"), ("<unk>",), "words for 2 languages"),
        (("<unk>", "en_XX", "zh_CN"), ("<unk>",), "words for 2 languages"),
        (("<unk>", "[en_XX]", "[pt_XX]"), ("<unk>",), "words for 2 languages"),
        (("<unk>", ">>pob<<"), ("<unk>",), "words for 1 languages"),
    ],
)
def test_lists_that_would_be_read_wrongly_are_refused(source, target, reason):
    """Unknown words that are another word, halves of characters, languages whose place nothing says."""
    found, said = read((), (source, target), "spaces")

    assert found is None
    assert reason in said


def test_one_word_in_the_form_of_a_language_may_be_a_texts_own():
    """A name of a locale."""
    found, said = read((), (("<unk>", "en_US"),) * 2, "spaces")

    assert found is not None, said
