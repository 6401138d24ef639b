"""Checkpoints of OpenNMT-py: what lies around the network, and what is refused."""

import pytest

from dragoman.export.core.errors import UnsupportedModel
from dragoman.export.importers.opennmt.importer import read_opennmt
from dragoman.export.network.load import load_network


def test_sources_have_no_end_and_translations_begin(saved):
    """With `<s>`; the weights fit, and texts are cut by the SentencePiece model beside it."""
    found = read_opennmt(saved(), "en", "pt")

    load_network(found)
    words = found.tokenizer
    assert (words.source_end, words.start_id, words.eos_id, words.unk_id, words.suppressed_ids) == (
        False,
        2,
        3,
        0,
        (1,),
    )
    assert (words.kind, found.architecture.max_positions, found.source_format) == (
        "sentencepiece-vocabulary",
        30,
        "opennmt-transformer",
    )


@pytest.mark.parametrize(
    ("vocabulary", "expected"),
    [
        ({"src": 1}, "a checkpoint of before release 3 is not read"),
        ({"src": ["a"], "tgt": ["a"]}, "'</s>' is not in the target vocabulary"),
        ({"src": ["a", "<unk>"], "tgt": ["<unk>", "</s>", "<s>"]}, "number the unknown word differently"),
        ({"src": ["a"], "tgt": ["<unk>", "</s>", "<s>"]}, "'<unk>' is not in the source vocabulary"),
        ({"src": ["<unk>", "eng_Latn"], "tgt": ["<unk>", "por_Latn"]}, "words for 2 languages"),
        ({"src": ["<unk>", "</s>", "<s>"], "tgt": ["<unk>", "</s>", "<s>"]}, "not as long as the embeddings"),
    ],
)
def test_vocabularies_that_do_not_fit_are_refused(saved, vocabulary, expected):
    """Of another form, without the words it needs, or of another length."""
    with pytest.raises(UnsupportedModel) as caught:
        read_opennmt(saved(vocabulary=vocabulary), "en", "pt")

    assert expected in " ".join(caught.value.reasons)


def test_languages_must_be_named(saved):
    """A checkpoint does not say them."""
    with pytest.raises(UnsupportedModel, match="--from and --to"):
        read_opennmt(saved(), "en", None)
