"""OpenNMT-py's own logits and greedy choices beside those of what is imported: `make test-formats`."""

import os
from pathlib import Path

import converted
import numpy as np
import opennmt_models
import pytest
import torch

from dragoman.export.export import export
from dragoman.export.graphs.running import padded
from dragoman.export.importers.formats import read
from dragoman.export.network.load import load_network
from dragoman.export.proof.stepping import Stepper

PACKAGES = Path(os.environ.get("PACKAGES", ".cache/formats/packages"))
SOURCES = [[4, 5, 6, 7, 8, 9, 10, 11], [18], [5, 19, 20]]
TARGETS = [[6, 7, 8, 9], [21, 22], [4, 5, 6, 7, 8]]
STEPS = 12


@pytest.fixture
def saved(tmp_path):
    """Makes a model of a case, and the folder of its checkpoint."""

    def make(case):
        model, options = opennmt_models.make(PACKAGES, case)
        opennmt_models.save(tmp_path / "m_step_1.pt", model, options)
        converted.pieces(tmp_path)
        return model, tmp_path

    return make


@torch.inference_mode()
@pytest.mark.parametrize("case", opennmt_models.CASES)
def test_logits_are_opennmts(saved, case):
    """Of a padded batch with a source of one word, teacher-forced: within 1e-4."""
    model, folder = saved(case)
    expected = opennmt_models.logits(model, SOURCES, TARGETS)

    network = load_network(read(folder, "auto", "en", "pt"))

    ids, mask = (torch.from_numpy(each) for each in padded(SOURCES))
    memory = network.memory(ids, mask)
    for g, target in enumerate(TARGETS):
        own = slice(g, g + 1)
        ours = network.full(torch.tensor([[2, *target]]), [each[own] for each in memory], mask[own])[0]
        torch.testing.assert_close(ours, expected[g], atol=1e-4, rtol=1e-4)
        assert ours.std() > 0.3, "logits that hardly differ prove nothing"


@torch.inference_mode()
@pytest.mark.parametrize("case", ["gru, mlp, one way, bridged", "coverage", "relative, rms"])
def test_greedy_choices_are_opennmts(saved, tmp_path, case):
    """Twelve steps of the exported graphs, each word the one that OpenNMT-py's logits are highest at."""
    model, folder = saved(case)
    checkpoint = read(folder, "auto", "en", "pt")
    bundle = export(checkpoint, tmp_path / "bundle", precision="fp32")

    stepper = Stepper(bundle.directory, checkpoint.architecture, SOURCES, STEPS, 1)
    words = np.full(len(SOURCES), 2)
    said = []
    for _ in range(STEPS):
        words = stepper.read(words)[1].reshape(-1)
        said.append(words)

    chosen = np.stack(said, 1).tolist()
    for source, own in zip(SOURCES, chosen, strict=True):
        theirs = opennmt_models.logits(model, [source], [own])[0].argmax(-1).tolist()
        assert theirs[:STEPS] == own
