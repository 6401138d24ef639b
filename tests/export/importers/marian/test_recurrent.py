"""Marian's recurrent models: what Marian itself said of random ones, and what is refused."""

import json
from pathlib import Path

import marian_models
import numpy as np
import pytest
import torch

from dragoman.bundle.rules import shape_problems
from dragoman.export.core.errors import UnsupportedModel
from dragoman.export.graphs.running import padded
from dragoman.export.importers.marian.importer import read_marian
from dragoman.export.network.load import load_network

MARIAN = json.loads((Path(__file__).parents[3] / "data/marian_recurrent.json").read_text())
TOLERANCE = 1e-4
SOURCES = [[*(int(word[1:]) for word in source.split()), 0] for source in marian_models.SOURCES]


@torch.inference_mode()
@pytest.mark.parametrize("name", marian_models.CASES)
def test_words_have_marians_log_probabilities(name, tmp_path):
    """All that its greedy search chose, in a padded batch, within 1e-4: types, cells, ways, depths, norms, tyings."""
    marian_models.save(tmp_path, name)
    checkpoint = read_marian(tmp_path, "en", "pt", "spaces")
    assert not list(shape_problems(checkpoint.architecture))
    network = load_network(checkpoint)
    ids, mask = (torch.from_numpy(each) for each in padded(SOURCES))
    memory = network.memory(ids, mask)

    for g, (text, scores) in enumerate(MARIAN[name]):
        words = [int(word[1:]) for word in text.split()]
        words += [0] * (len(scores) - len(words))
        begun = torch.tensor([[marian_models.WORDS, *words[:-1]]])
        logits = network.full(begun, [each[g : g + 1] for each in memory], mask[g : g + 1])[0]
        said = logits.log_softmax(-1)[range(len(words)), words]
        np.testing.assert_allclose(said, scores, atol=TOLERANCE)


def reasons_of(tmp_path, name, change=None, parameters=None):
    marian_models.save(tmp_path, name)
    options = marian_models.BASE | marian_models.CASES[name]
    arrays = marian_models.weights(options, 0)
    for key, value in (parameters or {}).items():
        arrays.pop(key, None) if value is None else arrays.__setitem__(key, value)
    marian_models.write(tmp_path / "model.npz", arrays, options | (change or {}))
    with pytest.raises(UnsupportedModel) as error:
        read_marian(tmp_path, "en", "pt", "spaces")
    return error.value.reasons


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"enc-cell": "sru"}, "enc-cell must be gru, gru-nematus, lstm, tanh, the model's is 'sru'"),
        ({"dec-cell": ["gru"]}, "dec-cell must be gru, gru-nematus, lstm, tanh, the model's is ['gru']"),
        ({"enc-cell": "gru"}, "enc-cell and dec-cell must be of one kind, the model's are ['gru', 'lstm']"),
        ({"enc-type": "up"}, "enc-type must be bidirectional, alternating, bi-unidirectional, the model's is 'up'"),
        ({"dim-rnn": 0}, "dim-rnn must be a whole number from 1 to 65536, the model's is 0"),
        ({"enc-depth": 65}, "enc-depth must be a whole number from 1 to 64, the model's is 65"),
        ({"dec-cell-base-depth": None}, "dec-cell-base-depth must be a whole number from 1 to 64, the model's is None"),
        ({"lemma-dim-emb": 4}, "lemma-dim-emb must be 0, the model's is 4"),
        ({"right-left": True}, "right-left must be False, the model's is True"),
        (
            {"enc-cell": "tanh", "dec-cell": "tanh", "layer-normalization": True},
            "layer-normalization must be false for tanh cells, the model's is true",
        ),
        (
            {"enc-cell": "gru-nematus", "dec-cell": "gru-nematus", "layer-normalization": True},
            "gru-nematus with layer-normalization is of models of type nematus",
        ),
        (
            {"enc-cell": "gru-nematus", "dec-cell": "gru-nematus", "dec-cell-high-depth": 2},
            "dec-cell-high-depth must be 1 with gru-nematus, as in Marian",
        ),
    ],
)  # fmt: skip
def test_options_of_other_networks_are_refused(tmp_path, change, reason):
    """Each by its name, with what it may be."""
    assert reason in reasons_of(tmp_path, "lstm", change)


def test_all_reasons_are_told_at_once(tmp_path):
    """What stands against an architecture, and then what stands against its parameters."""
    assert len(reasons_of(tmp_path, "lstm", {"enc-cell": "sru", "dim-emb": -1, "ulr": True, "enc-type": None})) >= 4
    wrong = {
        "decoder_W_comb_att": np.zeros((3, 4), np.float32),
        "decoder_cell1_U": None,
        "extra": np.zeros((1, 1), np.float32),
    }
    reasons = reasons_of(tmp_path, "lstm", None, wrong)
    assert reasons == (
        "the parameter decoder_cell1_U [18, 72] is missing",
        "the parameter decoder_W_comb_att is [3, 4], expected [18, 36]",
        "the parameter extra has no place in this architecture",
    )


def test_a_model_of_more_layers_than_its_file_is_refused(tmp_path):
    """Depths are believed only as far as there are parameters for them."""
    reasons = reasons_of(tmp_path, "one-way", {"dec-depth": 3})
    assert "the parameter decoder_l3_cell1_U [18, 36] is missing" in reasons


def test_sizes_are_believed_only_as_far_as_there_are_weights(tmp_path):
    """Nothing of the sizes that a configuration claims is made, which would fill the memory, and few names are told."""
    wide = reasons_of(tmp_path, "lstm", {"dim-rnn": 65_536})
    assert "the parameter decoder_cell1_U is [18, 72], expected [65536, 262144]" in wide
    deep = reasons_of(tmp_path, "lstm", {"enc-depth": 64, "enc-cell-depth": 64})
    assert "more parameters are missing" in deep[-1]
    assert len(deep) < 300
