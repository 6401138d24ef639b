"""Canvases to best words, against the whole distribution."""

import pytest
import torch

from dragoman.bundle.manifest import Architecture, Nat
from dragoman.export.graphs.nat_modules import CtcGraph
from dragoman.export.network.nat import attach, decoder_of
from dragoman.export.network.network import Network

WORDS = 96
ARCH = Architecture(16, 2, 24, 1, 1, WORDS, WORDS)


def a_network(blank_id: int) -> Network:
    torch.manual_seed(5)
    network = Network(ARCH)
    attach(network, {"ctc": Nat("ctc", 1, 64, canvas="split", upsample=2, blank_id=blank_id)})
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return network.eval().requires_grad_(False)


@pytest.mark.parametrize("blank_id", [7, WORDS])
@pytest.mark.parametrize("has_shortlist", [False, True])
def test_the_best_words_are_those_of_the_whole_distribution(blank_id, has_shortlist):
    """Whether the blank is a word or a row of its own; over candidates, others have no probability at all."""
    network = a_network(blank_id)
    hidden, places, mask = torch.randn(6, 16), torch.arange(6).reshape(2, 3), torch.zeros(2, 1, 1, 3)
    rows, graph = torch.tensor([0, 2, 5, 7, 11]), CtcGraph(network, "ctc")
    given = {
        "hidden": hidden,
        "places": places,
        "src_mask": mask,
        "rows": rows,
        "top": torch.zeros(4, dtype=torch.long),
    }
    candidates = torch.arange(64) if has_shortlist else torch.arange(WORDS)
    if has_shortlist:
        allowed = torch.where(torch.arange(64) < 50, 0.0, -1e9).expand(2, -1) + network.output_bias[:64]
        given |= {"candidates": candidates, "allowed": allowed, "words": network.output_words[:64]}

    logp, ids = graph(**given)

    decoder = decoder_of(network, "ctc")
    logits = decoder.logits(network, decoder.read(network, hidden, places, mask))[rows]
    possible = torch.zeros(logits.shape[1], dtype=torch.bool)
    possible[candidates[: 50 if has_shortlist else None]] = True
    possible[WORDS:] = True
    expected = logits.masked_fill(~possible, -torch.inf).log_softmax(-1).topk(4)
    torch.testing.assert_close(logp, expected.values)
    assert torch.equal(ids, expected.indices)
