"""Graphs beside the library that a model is from."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from dragoman.bundle.graphs import ENCODER, STEP
from dragoman.bundle.manifest import Architecture, Decoding, LanguagePair, Limits, Tokenizer
from dragoman.export.core.checkpoint import Checkpoint
from dragoman.export.graphs.trace import trace
from dragoman.export.graphs.weights_file import save
from dragoman.export.network.network import Network
from dragoman.export.proof.parity import ParityError
from dragoman.export.proof.source_parity import prove_source

ARCH = Architecture(16, 2, 24, 1, 1, 96, 96, decoder="ssru")
START = 95


@dataclass
class PlainForm:
    """The network's own teacher-forced pass in the place of a library, source by source."""

    network: Network
    error: float = 0.0
    name: str = "a library 1.0"
    avoided_ids: tuple[int, ...] = (5,)

    def log_probabilities(self, sources: list[list[int]], read: np.ndarray) -> np.ndarray:
        rows = []
        for source, words in zip(sources, read, strict=True):
            mask = torch.zeros(1, 1, 1, len(source))
            memory = self.network.memory(torch.tensor([source]), mask)
            rows.append(self.network.full(torch.from_numpy(words[None]), memory, mask).log_softmax(-1)[0])
        return torch.stack(rows).numpy() + np.float32(self.error) * np.arange(96, dtype=np.float32)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A network and the folder of its graphs."""
    directory = tmp_path_factory.mktemp("graphs")
    torch.manual_seed(1)
    network = Network(ARCH)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    network = network.eval().requires_grad_(False)
    save({graph: trace(network, graph) for graph in (ENCODER, STEP)}, directory)
    return network, directory


def a_checkpoint() -> Checkpoint:
    return Checkpoint(
        name="tiny",
        pairs=(LanguagePair("en", "pt"),),
        architecture=ARCH,
        weights={},
        quantized={},
        tokenizer=Tokenizer("sentencepiece", "v.spm", "v.spm", 0, 1, START),
        tokenizer_files={},
        decoding=Decoding(),
        limits=Limits(64, 64),
        source_format="none",
        source_files=(),
    )


def test_a_library_that_computes_the_same_agrees(exported):
    """In scores, and in what greedy search chooses."""
    network, directory = exported

    lines = prove_source(a_checkpoint(), PlainForm(network), directory, "fp32")

    assert [line.tensor for line in lines] == ["log-probabilities", "greedy search"]
    assert {line.compared for line in lines} == {"a library 1.0"}
    assert max(line.max_difference for line in lines) < 1e-4


def test_a_library_that_computes_something_else_refuses_the_model(exported):
    """With the numbers of every comparison."""
    network, directory = exported

    with pytest.raises(ParityError, match=r"what a library 1.0 computes: log-probabilities differ by .* greedy search"):
        prove_source(a_checkpoint(), PlainForm(network, error=0.01), directory, "fp32")
