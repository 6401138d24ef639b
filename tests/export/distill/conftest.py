"""Tiny random networks, and corpora that they label themselves."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from dragoman.bundle.manifest import Architecture
from dragoman.export.distill.corpus import Corpus, Ragged, collate, open_corpus, write_ids
from dragoman.export.distill.inputs import Inputs, Words, inputs_of, sample_words
from dragoman.export.distill.teacher_rows import compute_rows
from dragoman.export.network.network import Network

VOCABULARY, EOS, START = 40, 0, 40


@pytest.fixture(autouse=True)
def one_thread():
    """Sums come out the same however many processors there are."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def a_network() -> Callable[..., Network]:
    def make(**changes) -> Network:
        sizes = {"d_model": 16, "heads": 4, "ffn": 24, "encoder_layers": 1, "decoder_layers": 2, "max_positions": 64}
        words = {"source_vocabulary": VOCABULARY, "target_vocabulary": VOCABULARY}
        arch = Architecture(**{**sizes, **words, "embedding_scale": 4.0, "decoder": "ssru", **changes})
        torch.manual_seed(3)
        network = Network(arch).eval().requires_grad_(False)
        for name, weight in network.named_parameters():
            weight.normal_(1.0 if "norm.weight" in name else 0.0, 0.3)
        return network

    return make


def plain_encoder(network: Network) -> Callable[[torch.Tensor, torch.Tensor], np.ndarray]:
    """The torch encoder in the place of its graph: rows of the words, padding computed like any word."""

    def encode(ids: torch.Tensor, mask: torch.Tensor) -> np.ndarray:
        places = torch.arange(ids.numel()).reshape(ids.shape)
        depth = torch.arange(ids.shape[1]).expand_as(ids).flatten()
        rows = network.encode(ids.flatten(), depth, places.flatten(), places, mask)
        return rows[(mask[:, 0, 0] == 0).flatten()].numpy()

    return encode


@pytest.fixture
def corpus_of(tmp_path: Path) -> Callable[[Network], Corpus]:
    """Sixty pairs of lengths from 1 to 9 words, with the network's rows."""

    def make(network: Network) -> Corpus:
        random = np.random.default_rng(5)

        def sentences() -> Ragged:
            return Ragged.of([[*random.integers(2, VOCABULARY, random.integers(1, 10)), EOS] for _ in range(60)])

        directory = tmp_path / "corpus"
        directory.mkdir()
        write_ids(directory, sentences(), sentences())
        compute_rows(network, plain_encoder(network), START, directory, lambda done, of: None)
        return open_corpus(directory, network.arch.d_model, network.arch.d_model)

    return make


@pytest.fixture
def given_of() -> Callable[..., tuple[Inputs, Words]]:
    """A batch of chosen pairs, and all words of the vocabulary unless fewer are asked for."""

    def make(corpus: Corpus, chosen, network: Network, count: int = 10_000) -> tuple[Inputs, Words]:
        batch = collate(corpus, np.array(chosen))
        given = inputs_of(batch, 0.5, torch.device("cpu"), torch.float32)
        return given, sample_words(network, batch.targets, count, np.random.default_rng(1), 2)

    return make
