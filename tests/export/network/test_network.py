"""The canonical network: its step form against its full form, and its parts against plain formulas."""

import itertools

import pytest
import torch

from dragoman.bundle.manifest import Architecture, Rotary, Window
from dragoman.export.graphs.running import packed
from dragoman.export.network.layers import ACTIVATIONS
from dragoman.export.network.network import MASKED, Network

VOCABULARY = 50


def a_network(**changes) -> Network:
    base = {"embedding_scale": 4.0, "norm_epsilon": 1e-5, "max_positions": 32}
    sizes = {"d_model": 16, "heads": 4, "ffn": 24, "encoder_layers": 2, "decoder_layers": 2}
    words = {"source_vocabulary": VOCABULARY, "target_vocabulary": VOCABULARY}
    arch = Architecture(**{**sizes, **words, **base, **changes})
    torch.manual_seed(7)
    network = Network(arch).eval().requires_grad_(False)
    for name, weight in network.named_parameters():
        weight.normal_(1.0 if "norm.weight" in name else 0.0, 0.3)
    return network


def sources(network: Network) -> tuple[torch.Tensor, torch.Tensor]:
    """Three sources of 6, 1 and 4 positions, padded to 6."""
    ids = torch.randint(0, VOCABULARY, (3, 6))
    mask = torch.zeros(3, 1, 1, 6)
    mask[1, ..., 1:] = mask[2, ..., 4:] = MASKED
    return ids, mask


def stepwise(network: Network, read: torch.Tensor, cross: list[torch.Tensor], src_mask: torch.Tensor) -> torch.Tensor:
    """Logits from one node at a time, over a pool whose slots are filled in a scrambled order."""
    arch, (count, length) = network.arch, read.shape
    slots = torch.randperm(length)
    if arch.keeps_states:
        state = [torch.zeros(count, 1, arch.state_width) for _ in range(arch.decoder_layers)]
        mask = None
    else:
        state = [torch.randn(count, arch.key_heads, length, arch.head_dim) for _ in range(2 * arch.decoder_layers)]
        mask = torch.full((count, 1, 1, length + 1), MASKED)
        mask[..., -1] = 0
    slot_depth = torch.randint(0, 40, (count, length)) if arch.is_relative else None
    logits = []
    for t in range(length):
        depth = torch.full((count, 1), t)
        x, _, kept = network.step(read[:, t : t + 1], depth, mask, state, cross, src_mask, slot_depth)
        logits.append(network.logits(x).unsqueeze(1))
        if mask is None:
            state = [new[:, None] for new in kept]
        else:
            for pool, new in zip(state, kept, strict=True):
                pool[:, :, slots[t]] = new[:, :, 0]
            if slot_depth is not None:
                slot_depth[:, slots[t]] = t
            mask[..., slots[t]] = 0
    return torch.cat(logits, 1)


@pytest.mark.parametrize(
    ("decoder", "norm", "tying", "positions"),
    list(
        itertools.product(
            ["ssru", "linear-attention", "self-attention"], ["pre", "post"], ["all", "none"], ["sinusoidal", "learned"]
        )
    ),
)
def test_steps_equal_the_full_pass(decoder, norm, tying, positions):
    """Node by node over an unordered pool gives the teacher-forced logits, start token and padding included."""
    network = a_network(decoder=decoder, norm=norm, tying=tying, positions=positions, activation="swish")
    ids, mask = sources(network)
    read = torch.randint(0, VOCABULARY, (3, 7))
    read[:, 0] = VOCABULARY  # outside the vocabulary: a zero embedding

    memory = network.memory(ids, mask)
    full = network.full(read, memory, mask)

    torch.testing.assert_close(stepwise(network, read, memory, mask), full, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_and_embedding_norm_steps_like_the_full_pass(activation):
    """The other choices of an architecture hold the same equality."""
    network = a_network(activation=activation, embedding_norm=True, tying="decoder", output_bias=False)
    ids, mask = sources(network)
    read = torch.randint(0, VOCABULARY, (3, 5))

    memory = network.memory(ids, mask)

    torch.testing.assert_close(
        stepwise(network, read, memory, mask), network.full(read, memory, mask), atol=1e-4, rtol=1e-4
    )


OTHERS = {
    "relative": {"positions": "relative", "relative_buckets": 6, "relative_distance": 5},
    "relative by layer": {
        "positions": "relative",
        "relative_buckets": 6,
        "relative_distance": 5,
        "relative_by_layer": True,
        "encoder_layers": 3,
        "encoder_heads": 2,
    },
    "shaw": {"positions": "shaw", "relative_distance": 3},
    "affine": {"norm_kind": "affine"},
    "rms": {"norm_kind": "rms", "norm": "pre", "linear_bias": False},
    "gated": {"gated": True, "activation": "gelu-tanh"},
    "wide heads": {"head_width": 7},
    "encoder of its own": {"encoder_heads": 2, "encoder_ffn": 11, "encoder_layers": 3},
    "offset": {"position_offset": 2},
    "wider encoder": {"encoder_width": 24, "tying": "decoder", "encoder_norm": "pre"},
    "narrower encoder, learned": {"encoder_width": 8, "tying": "none", "positions": "learned", "embedding_norm": True},
    "norm before positions": {
        "embedding_norm": True,
        "embedding_norm_first": True,
        "positions": "learned",
        "embedding_scale": 3.0,
    },
    "encoder with an activation of its own": {"encoder_activation": "tanh", "encoder_norm_epsilon": 0.1},
    "output transform": {"output_transform": "gelu", "activation": "relu"},
    "norms on both sides": {"norm": "both", "norm_kind": "rms"},
    "capped": {"output_cap": 2.0},
    "rotary": {"positions": "rotary", "rotary": Rotary(50.0, 4), "encoder_heads": 2, "encoder_rotary": Rotary(9.0, 1)},
    "rotary, grouped": {"positions": "rotary", "rotary": Rotary(50.0, 2, cap=0.7), "encoder_head_width": 6},
    "rotary, near": {"positions": "rotary", "rotary": Rotary(50.0, 2, reach=(1, None)), "linear_bias": False},
    "window": {"encoder_window": Window((1, 3)), "encoder_positions": 1200},
    "window, first": {"encoder_window": Window((2, 1), first=2), "norm": "pre"},
    "window, summed": {
        "encoder_window": Window((2, 1), summed=2),
        "norm": "pre",
        "positions": "relative",
        "relative_buckets": 6,
        "relative_distance": 5,
    },
    "post-norm encoder": {"norm": "pre", "encoder_norm": "post"},
    "no final norms": {"norm": "pre", "encoder_final_norm": False, "decoder_final_norm": False},
}


@pytest.mark.parametrize("name", OTHERS)
def test_every_other_choice_steps_like_the_full_pass(name):
    """Relative positions, norms, gates and sizes of the encoder's own: nodes in scrambled slots equal the full pass."""
    network = a_network(**OTHERS[name])
    ids, mask = sources(network)
    read = torch.randint(0, VOCABULARY, (3, 9))

    memory = network.memory(ids, mask)

    torch.testing.assert_close(
        stepwise(network, read, memory, mask), network.full(read, memory, mask), atol=1e-4, rtol=1e-4
    )


def test_a_chain_of_nodes_in_one_step_equals_single_steps():
    """Self-attention: several nodes at once, each seeing those before it, give what single steps give."""
    network = a_network(decoder="self-attention")
    ids, mask = sources(network)
    read = torch.randint(0, VOCABULARY, (3, 5))
    memory = network.memory(ids, mask)
    chain = torch.full((5, 5), MASKED).triu(1).expand(3, 1, 5, 5)
    empty = [torch.zeros(3, 4, 0, 4) for _ in range(4)]

    x, *_ = network.step(read, torch.arange(5).expand(3, 5), chain, empty, memory, mask)

    full = network.full(read, memory, mask)
    torch.testing.assert_close(network.logits(x).reshape(full.shape), full, atol=1e-4, rtol=1e-4)


def test_two_branches_of_a_tree_do_not_see_each_other():
    """Nodes with one parent and different words, stepped together, give what each gives alone."""
    network = a_network(decoder="self-attention")
    ids, mask = sources(network)
    memory = network.memory(ids, mask)
    pool = [torch.randn(3, 4, 2, 4) for _ in range(4)]
    own = torch.full((3, 3), MASKED).fill_diagonal_(0)
    open_pool = torch.zeros(3, 2)
    tree = torch.cat([open_pool, own], 1).expand(3, 1, 3, 5)
    words = torch.tensor([[3, 4, 5]] * 3)
    depth = torch.full((3, 3), 2)

    together, *_ = network.step(words, depth, tree, pool, memory, mask)

    for place in range(3):
        alone, *_ = network.step(words[:, [place]], depth[:, [place]], torch.zeros(3, 1, 1, 3), pool, memory, mask)
        torch.testing.assert_close(together.reshape(3, 3, -1)[:, place], alone, atol=1e-5, rtol=1e-5)


def padded(lengths: list[int], positions: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Sources of these lengths, and their mask."""
    ids = torch.randint(0, VOCABULARY, (len(lengths), positions))
    mask = torch.zeros(len(lengths), 1, 1, positions)
    for g, length in enumerate(lengths):
        mask[g, ..., length:] = MASKED
    return ids, mask


def words(tensor: torch.Tensor, n: int, length: int) -> torch.Tensor:
    """The first positions of keys (even n), which are turned, or values."""
    return tensor[..., :length] if n % 2 == 0 else tensor[:, :, :length]


@pytest.mark.parametrize("name", ["plain", *OTHERS])
def test_packed_sources_encode_as_padded_ones_do(name):
    """Sources of 6, 1 and 4 words without their padding give the keys and values of each one encoded alone."""
    network = a_network(**OTHERS.get(name, {})).double()  # in which order processors add up shows in float32
    lengths = [6, 1, 4]
    ids, mask = padded(lengths, 8)
    feed = packed(ids, mask.double())

    found = network.cross(network.encode(**feed), feed["places"])

    assert len(feed["ids"]) == sum(lengths)
    for g, length in enumerate(lengths):
        alone = network.memory(ids[g : g + 1, :length], torch.zeros(1, 1, 1, length, dtype=torch.double))
        for n, (together, own) in enumerate(zip(found, alone, strict=True)):
            torch.testing.assert_close(words(together[g : g + 1], n, length), own, atol=1e-9, rtol=1e-9)


def test_padding_may_go_beyond_the_last_position():
    """A source as long as a trained position table, padded past it, encodes as it does alone."""
    network = a_network(positions="learned", max_positions=10)
    ids, mask = padded([10], 16)

    beyond = network.memory(ids, mask)

    alone = network.memory(ids[:, :10], mask[..., :10])
    for n, (together, own) in enumerate(zip(beyond, alone, strict=True)):
        torch.testing.assert_close(words(together, n, 10), own, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("head", [None, 2])
def test_attention_is_told(head):
    """What nodes attended to in the last layer: of one head or their mean, adding up to 1, nothing on padding."""
    network = a_network(alignment_head=head)
    ids, mask = padded([6, 2], 6)
    words = torch.randint(0, VOCABULARY, (2, 3))
    chain = torch.full((3, 3), MASKED).triu(1).expand(2, 1, 3, 3)
    empty = [torch.zeros(2, 4, 0, 4) for _ in range(4)]

    _, attention, _ = network.step(words, torch.arange(3).expand(2, 3), chain, empty, network.memory(ids, mask), mask)

    assert attention.shape == (2, 3, 6)
    torch.testing.assert_close(attention.sum(-1), torch.ones(2, 3))
    assert not attention[1, :, 2:].any()
