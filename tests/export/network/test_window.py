"""Attention in blocks, beside the same attention with all scores of all words, and alone beside in a batch."""

import itertools
import math

import pytest
import torch
from torch.nn import functional as F

from dragoman.bundle.manifest import Architecture, Window
from dragoman.export.graphs.running import packed, padded
from dragoman.export.network.network import MASKED, Network
from dragoman.export.network.window import block_size, full_up_to, several_blocks, traced_positions

WORDS = 40
RELATIVE = {"positions": "relative", "relative_buckets": 6, "relative_distance": 11, "norm": "pre", "norm_kind": "rms"}
WINDOWS = {
    "near": {"encoder_window": Window((1, 1))},
    "each layer its own": {"encoder_window": Window((3, 40)), "encoder_heads": 2, "encoder_width": 12, "tying": "none"},
    "as far as a block": {"encoder_window": Window((16, 15)), "positions": "learned"},
    "wider than a block": {"encoder_window": Window((100, 17)), "norm": "pre"},
    "a first word": {"encoder_window": Window((2, 5), first=1)},
    "three first words": {"encoder_window": Window((20, 2), first=3), "linear_bias": False},
    "by distance": {"encoder_window": Window((7, 30)), **RELATIVE},
    "sums": {"encoder_window": Window((5, 5), summed=4), **RELATIVE},
    "sums of more than a block": {"encoder_window": Window((9, 2), summed=32), **RELATIVE},
    "sums of single words": {"encoder_window": Window((2, 2), summed=1), **RELATIVE},
    "stretches": {"encoder_window": Window((15, 15), stretch=16), "norm": "pre"},
    "staggered stretches": {"encoder_window": Window((23, 23), stretch=24, is_staggered=True)},
    "tokens": {"encoder_window": Window((99, 99), stretch=100, is_staggered=True, tokens=5), "norm": "pre"},
    "linked stretches": {"encoder_window": Window((7, 7), stretch=4, linked=3)},
    "linked stretches of eight": {"encoder_window": Window((15, 15), stretch=8, linked=1), "norm": "pre"},
    "tokens and a reach": {"encoder_window": Window((3, 20), tokens=1), "norm": "pre", "norm_kind": "rms"},
}
LENGTHS = (1, 70, 3, 16, 17, 31, 32, 33, 64, 5, 35)


def a_network(**options) -> Network:
    """A random network with windows."""
    torch.manual_seed(3)
    sizes = {"d_model": 16, "heads": 4, "ffn": 20, "encoder_layers": 2, "decoder_layers": 1, "encoder_positions": 400}
    arch = Architecture(**{**sizes, "source_vocabulary": WORDS, "target_vocabulary": WORDS, **options})
    network = Network(arch).eval().requires_grad_(False)
    for name, weight in network.named_parameters():
        weight.normal_(1.0 if "norm" in name and name.endswith("weight") else 0.0, 0.5)
    return network


def sources(lengths) -> list[list[int]]:
    return [torch.randint(0, WORDS, (n,), generator=torch.Generator().manual_seed(n)).tolist() for n in lengths]


def encoded(network: Network, texts) -> list[torch.Tensor]:
    """The rows of each source of one batch."""
    ids, mask = (torch.from_numpy(array) for array in padded(texts))
    return list(network.encode(**packed(ids, mask)).split([len(text) for text in texts]))


def slow(network: Network, text: list[int]) -> torch.Tensor:
    """One source, and scores of all of its words with all: a window is a mask, written out."""
    arch, window = network.arch.of_encoder, network.arch.encoder_window
    ids, mask = (torch.from_numpy(array) for array in padded([text]))
    given = packed(ids, mask)
    layers, norm = network.encoder.layers, network.encoder.norm
    network.encoder.layers, network.encoder.norm = torch.nn.ModuleList(), None
    x = network.encode(**given)
    network.encoder.layers, network.encoder.norm = layers, norm
    n, heads, width = len(text), arch.heads, arch.head_dim
    place = torch.arange(n)
    distance = (place - place[:, None]).abs()
    tokens = network.encoder.windows.with_tokens(x, 1)[n:]
    for number, (layer, reach) in enumerate(zip(layers, window.reach, strict=True)):
        own, pre = layer.self, arch.norm == "pre"
        read = layer.self_norm(x) if pre else x
        q, k, v = own.split_rows(own.rows(read), 1, n)
        scores = (q @ k.transpose(2, 3))[0]
        if network.encoder.relative is not None:
            scores = scores + network.encoder.relative(place[None], place[None])[0]
        sees = (distance <= reach) | (place < window.first)
        if window.stretch:
            stretch = (place + (window.stretch // 2 if window.is_staggered and number % 2 else 0)) // window.stretch
            sees = stretch == stretch[:, None]
            if window.linked:
                shared = (stretch == 0) | (stretch == stretch.max())
                sees = ((stretch - stretch[:, None]).abs() <= 1) | shared | shared[:, None]
                sees = sees | (n <= full_up_to(window))
                counts = torch.where((stretch == 0) & ~shared[:, None], math.log(window.linked), 0.0)
                scores = scores + (0 if n <= full_up_to(window) else counts)
        scores = scores.masked_fill(~sees, MASKED)
        values = v[0]
        whole = n // window.summed if window.summed else 0
        if whole:
            stretch = [min(i // window.summed, whole - 1) for i in range(n)]
            sums = own.sum_norm(torch.stack([read[[s == b for s in stretch]].sum(0) for b in range(whole)]))
            _, more, added = own.split_rows(own.rows(sums), 1, whole)
            bias = network.encoder.windows.side(torch.tensor([stretch]), torch.arange(whole)[None])[0]
            scores = torch.cat([scores, (q @ more.transpose(2, 3))[0] + bias], 2)
            values = torch.cat([values, added[0]], 1)
        if window.tokens:
            own_read = own.token_norm(tokens)
            asks, more, added = own.split_rows(own.rows(own_read), 1, window.tokens)
            all_keys, all_values = torch.cat([k, more], 2)[0], torch.cat([v, added], 2)[0]
            scores = torch.cat([scores, (q @ more.transpose(2, 3))[0]], 2)
            values = torch.cat([values, added[0]], 1)
            heard = (asks[0] @ all_keys.transpose(1, 2)).softmax(-1) @ all_values
            tokens = tokens + own.o(heard.transpose(0, 1).reshape(window.tokens, heads * width))
            tokens = tokens + layer.ffn(layer.ffn_norm(tokens))
        y = scores.softmax(-1) @ values
        if window.first:
            m = min(window.first, n)
            (wide,) = own.split(own.whole.q(read[:m]), 1, m)
            keys, seen = own.split(own.whole.kv(read), 1, n)
            y[:, :m] = ((wide @ keys.transpose(2, 3)).softmax(-1) @ seen)[0]
        y = own.o(y.transpose(0, 1).reshape(n, heads * width))
        x = x + y if pre else layer.self_norm(x + y)
        y = layer.ffn(layer.ffn_norm(x) if pre else x)
        x = x + y if pre else layer.ffn_norm(x + y)
    return x if network.encoder.norm is None else network.encoder.norm(x)


@pytest.mark.parametrize("name", WINDOWS)
def test_blocks_say_what_all_scores_say(name):
    """Sources below, at and above blocks and stretches, in one batch, are each what a mask over all words gives."""
    network = a_network(**WINDOWS[name])
    texts = sources(LENGTHS)

    found = encoded(network, texts)

    for text, rows in zip(texts, found, strict=True):
        torch.testing.assert_close(rows, slow(network, text), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", WINDOWS)
def test_words_beyond_every_window_change_nothing(name):
    """What is farther away than all layers see together does not reach a word; first words and sums do."""
    network = a_network(**WINDOWS[name])
    window = network.arch.encoder_window
    text = sources([300])[0]
    other = [*text[:290], *((word + 1) % WORDS for word in text[290:])]
    sees_all = bool(window.first or window.summed or window.tokens or window.linked)

    before, after = encoded(network, [text])[0], encoded(network, [other])[0]

    reached = 290 - sum(window.reach)
    assert torch.equal(before[:reached], after[:reached]) == (not sees_all)
    assert not torch.equal(before[290:], after[290:])


def test_positions_of_sources_are_their_own():
    """Sources may have more positions than translations, learned or from the formula."""
    for positions in ("learned", "sinusoidal"):
        network = a_network(encoder_window=Window((2, 2)), positions=positions, max_positions=9)
        assert network.target_place_vectors().shape[0] == 9
        assert encoded(network, sources([400]))[0].shape == (400, 16)


def test_blocks_are_no_larger_than_they_need_to_be():
    """A short source is padded to a block, so that narrow windows have small ones."""
    sizes = [block_size(Window((reach, 1))) for reach in (1, 16, 17, 32, 33, 64, 65, 5000)]

    assert sizes == [16, 16, 32, 32, 64, 64, 64, 64]
    assert block_size(Window((511,), stretch=512, is_staggered=True)) == 64
    assert [block_size(Window((23,), stretch=24, is_staggered=odd)) for odd in (False, True)] == [8, 4]


def test_lengths_of_proofs_have_blocks_that_see_neither_end():
    """A network is traced and compared at lengths that have several blocks; others at those that are asked for."""
    arch = a_network(encoder_window=Window((30, 70))).arch
    plain = a_network().arch

    assert several_blocks(arch) > 3 * 64 + 2 * 70
    assert traced_positions(arch, 7) == 7 + 2 * 64
    assert (several_blocks(plain), traced_positions(plain, 7)) == (0, 7)


def test_padding_is_not_seen():
    """The rows of a source are the same whatever pads it, and however long its companions are."""
    for (name, options), more in itertools.product(WINDOWS.items(), (1, 90)):
        network = a_network(**options)
        text = sources([23])[0]
        ids, mask = (torch.from_numpy(array) for array in padded([text]))
        wide = F.pad(ids, (0, more), value=7), F.pad(mask, (0, more), value=MASKED)
        found = network.encode(**packed(*wide))
        torch.testing.assert_close(found, network.encode(**packed(ids, mask)), atol=1e-5, rtol=1e-5, msg=name)
