"""fairseq's dictionaries."""

import pytest

from dragoman.export.core.errors import UnsupportedModel
from dragoman.export.core.reasons import Reasons
from dragoman.export.importers.fairseq.dictionary import dictionaries, read_dictionary


def told(read, path, *args) -> str:
    reasons = Reasons()
    assert read(path, reasons, *args) is None
    with pytest.raises(UnsupportedModel) as caught:
        reasons.raise_if_any(path)
    return str(caught.value)


def test_a_dictionary_begins_with_four_words_of_its_own(tmp_path):
    """Then its lines, whatever characters a word has; a repeated word that may be is numbered anew."""
    path = tmp_path / "dict.de.txt"
    path.write_text(
        "a@@ 9\nb c 8\n\u2028\u0085x 7\n< 3\na@@ 1 #fairseq:overwrite\nmadeupword0000 0\n", encoding="utf-8"
    )

    found = read_dictionary(path, Reasons(), ("__en__", "<"))

    assert found is not None
    own = ("<s>", "<pad>", "</s>", "<unk>")
    assert found.words == (*own, "a@@", "b c", "\u2028\u0085x", "<", "a@@", "madeupword0000", "__en__")
    assert (found.language, found.ids["a@@"], len(found)) == ("de", 8, 11)
    assert dictionaries(tmp_path) == {"de": path}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a 1\nb\n", "line 2: expected a word and its count, found 'b'"),
        ("a x\n", "line 1: expected a word and its count"),
        ("a 1\na 2\n", "line 2: 'a' comes twice"),
        ("</s> 1\n", "line 1: '</s>' comes twice"),
    ],
)
def test_dictionaries_that_are_none(tmp_path, text, said):
    """The line is named."""
    path = tmp_path / "dict.txt"
    path.write_text(text)

    assert said in told(read_dictionary, path)


def test_an_empty_dictionary_has_fairseqs_own_words(tmp_path):
    """And a file that is not text is refused."""
    path = tmp_path / "dict.txt"
    path.write_text("")
    assert read_dictionary(path, Reasons()).words == ("<s>", "<pad>", "</s>", "<unk>")

    path.write_bytes(b"\xff\xfe 1\n")
    assert "cannot be read" in told(read_dictionary, path)
