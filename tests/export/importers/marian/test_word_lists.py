"""Vocabularies that are lists of words, as Marian reads them."""

import pytest

from dragoman.export.core.reasons import Reasons
from dragoman.export.importers.marian.word_lists import is_nameless, read_word_list


def words_of(tmp_path, name, text, size):
    (tmp_path / name).write_text(text, encoding="utf-8")
    reasons = Reasons()
    return read_word_list(tmp_path / name, size, reasons), reasons._unmet


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("vocab.yml", '</s>: 0\n<unk>: 1\n"no": 2\nnull: 3\n1.5: 4\n"a b": 5\n'),
        ("vocab.json", '{"</s>": 0, "<unk>": 1, "no": 2, "null": 3, "1.5": 4, "a b": 5}'),
        ("vocab.txt", "</s>\n<unk>\nno\nnull\n1.5\na b\n"),
        ("vocab.yml", '"eos": 0\n"": 1\nno: 2\nnull: 3\n1.5: 4\n"a b": 5\n'),
    ],
)
def test_words_are_what_is_written(tmp_path, name, text):
    """YAML, JSON or lines, Nematus' names too: words that YAML would take for other things stay words."""
    listed, reasons = words_of(tmp_path, name, text, 6)
    assert (listed, reasons) == (("</s>", "<unk>", "no", "null", "1.5", "a b"), [])


def test_ids_without_a_word_have_one_that_no_text_holds(tmp_path):
    """Marian's embeddings may be longer than the list, and shorter: later words are then unknown."""
    listed, _ = words_of(tmp_path, "vocab.yml", "</s>: 0\n<unk>: 1\na: 3\nb: 9\n", 5)
    assert [is_nameless(word) for word in listed] == [False, False, True, False, True]
    assert listed[3] == "a"


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("vocab.yml", "a: [", "vocab.yml is not YAML that can be read: "),
        ("vocab.yml", "- a\n", "vocab.yml is not a list of words with their ids, but ['a']"),
        ("vocab.yml", "a: b\n", "vocab.yml is not a list of words with their ids, but {'a': 'b'}"),
        ("vocab.yml", f"a: {'1' * 5000}\n", "vocab.yml is not a list of words with their ids, but {'a': '1"),
        ("vocab.yml", "</s>: 0\n<unk>: 1\na: 1\n", "vocab.yml gives an id to several words"),
        ("vocab.yml", "a: 0\n<unk>: 1\n", "vocab.yml has no word </s>, or two"),
        ("vocab.txt", "</s>\n\n<unk>\n", "vocab.txt has an empty line, or a word twice, which Marian refuses"),
    ],
)
def test_other_files_are_refused(tmp_path, name, text, reason):
    """By what they are."""
    listed, reasons = words_of(tmp_path, name, text, 4)
    assert listed is None
    assert reasons[0].startswith(reason)
