"""Pairs in files, and batches of them."""

import numpy as np
import pytest

from dragoman.export.distill.corpus import Ragged, batches_of, collate


def test_an_epoch_has_every_pair_once_in_batches_within_the_limit():
    """Also where one pair alone is longer than the limit, which then is a batch of its own."""
    lengths = np.random.default_rng(1).integers(1, 30, 1000)
    lengths[17] = 500

    batches = batches_of(lengths, 120, (1, 0))

    assert sorted(index for batch in batches for index in batch) == list(range(1000))
    too_large = [batch for batch in batches if len(batch) * lengths[batch].max() > 120]
    assert [list(batch) for batch in too_large] == [[17]]


def test_little_of_a_batch_is_padding():
    """Pairs of like lengths come together."""
    lengths = np.random.default_rng(1).integers(1, 60, 5000)

    batches = batches_of(lengths, 1000, (1, 0))

    places = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert lengths.sum() / places > 0.9


def test_order_follows_from_the_seed_alone_and_is_another_in_each_epoch():
    """What a step reads can be found again after a stop."""
    lengths = np.random.default_rng(1).integers(1, 30, 300)

    first, again, second = (batches_of(lengths, 120, (1, epoch)) for epoch in (0, 0, 1))

    assert [list(b) for b in first] == [list(b) for b in again]
    assert [list(b) for b in first] != [list(b) for b in second]


def test_no_pairs_make_no_batches():
    """An empty epoch ends at once."""
    assert batches_of(np.array([], np.int64), 100, (1, 0)) == []


def test_a_batch_holds_each_pairs_own_rows(a_network, corpus_of):
    """Padding is zero, and nobody has a neighbour's row."""
    corpus = corpus_of(a_network())
    chosen = np.array([7, 3, 58])

    batch = collate(corpus, chosen)

    for g, index in enumerate(chosen):
        own = corpus.targets.of_row(index)
        length = batch.target_lengths[g]
        assert batch.targets[g, :length].tolist() == corpus.targets.ids[own].tolist()
        assert np.array_equal(batch.decoded[g, :length], corpus.decoded[own])
        assert np.array_equal(batch.encoded[g, : batch.source_lengths[g]], corpus.encoded[corpus.sources.of_row(index)])
        assert not batch.decoded[g, length:].any()


@pytest.mark.parametrize("sequences", [[], [[]], [[1, 2], [], [3]]])
def test_ragged_keeps_empty_sequences(sequences):
    """A sequence without words has its place."""
    ragged = Ragged.of(sequences)

    assert [ragged.ids[ragged.of_row(n)].tolist() for n in range(len(ragged))] == sequences
