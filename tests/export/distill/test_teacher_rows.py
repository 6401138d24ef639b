"""The teacher's rows, kept in files."""

import numpy as np
import pytest
import torch

from dragoman.export.distill import teacher_rows
from dragoman.export.distill.corpus import Ragged, open_corpus, write_ids
from dragoman.export.distill.teacher_rows import compute_rows

EOS, START, VOCABULARY = 0, 40, 40


def encoder_of(network, calls=None):
    """The torch encoder in the place of its graph."""

    def encode(ids, mask):
        if calls is not None:
            calls.append(len(ids))
        places = torch.arange(ids.numel()).reshape(ids.shape)
        depth = torch.arange(ids.shape[1]).expand_as(ids).flatten()
        rows = network.encode(ids.flatten(), depth, places.flatten(), places, mask)
        return rows[(mask[:, 0, 0] == 0).flatten()].numpy()

    return encode


@pytest.fixture
def directory(tmp_path):
    random = np.random.default_rng(5)
    sides = [
        Ragged.of([[*random.integers(2, VOCABULARY, random.integers(1, 10)), EOS] for _ in range(40)]) for _ in "st"
    ]
    write_ids(tmp_path, *sides)
    return tmp_path


@pytest.mark.parametrize("decoder", ["ssru", "linear-attention", "self-attention"])
def test_rows_are_those_of_each_pair_alone(a_network, directory, decoder):
    """What the output layer would read of the target, forced; the encoder's rows of the source."""
    network = a_network(decoder=decoder)

    compute_rows(network, encoder_of(network), START, directory, lambda done, of: None)

    corpus = open_corpus(directory, 16, 16)
    for index in (0, 13, 39):
        source, target = corpus.sources.of_row(index), corpus.targets.of_row(index)
        ids = torch.from_numpy(corpus.sources.ids[source].astype(np.int64))[None]
        read = torch.tensor([[START, *corpus.targets.ids[target][:-1]]])
        mask = torch.zeros(1, 1, 1, ids.shape[1])
        expected = network.forced(read, network.memory(ids, mask), mask)
        np.testing.assert_allclose(corpus.decoded[target], expected.numpy(), atol=5e-3)
        np.testing.assert_allclose(corpus.encoded[source], encoder_of(network)(ids, mask), atol=5e-3)


def test_what_is_done_is_not_done_again(a_network, directory, monkeypatch):
    """Stopped after the second of four parts, the files end like those of a run that was not."""
    monkeypatch.setattr(teacher_rows, "CHUNK", 10)
    network, calls = a_network(), []
    compute_rows(network, encoder_of(network), START, directory, lambda done, of: None)
    whole = [
        np.array(rows) for rows in (open_corpus(directory, 16, 16).encoded, open_corpus(directory, 16, 16).decoded)
    ]
    (directory / teacher_rows.DONE_FILE).unlink()
    for name in ("encoded.f16", "decoded.f16"):
        (directory / name).unlink()

    def stop(done: int, of: int) -> None:
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compute_rows(network, encoder_of(network), START, directory, stop)
    compute_rows(network, encoder_of(network, calls), START, directory, lambda done, of: None)

    assert sum(calls) == 20
    again = open_corpus(directory, 16, 16)
    assert np.array_equal(again.encoded, whole[0])
    assert np.array_equal(again.decoded, whole[1])
