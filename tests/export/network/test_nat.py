"""Non-autoregressive decoders: padding changes nothing, and what is put in place of words, blanks and lengths."""

from dataclasses import replace

import pytest
import torch

from dragoman.bundle.manifest import Architecture, Decoding, LanguagePair, Limits, Nat, Tokenizer
from dragoman.export.core.checkpoint import Checkpoint
from dragoman.export.network.load import checkpoint_weights, load_network
from dragoman.export.network.nat import NatDecoder, attach, decoder_of
from dragoman.export.network.network import MASKED, Network

VOCABULARY = 50
MASK_PREDICT = Nat("mask-predict", layers=2, max_canvas=32, mask_id=VOCABULARY, last_id=2, length_classes=16, block=4)
CTC = Nat("ctc", layers=1, max_canvas=96, canvas="split", upsample=3, blank_id=VOCABULARY)


def a_network(**changes) -> Network:
    base = {"embedding_scale": 4.0, "norm_epsilon": 1e-5, "max_positions": 32, "decoder": "ssru"}
    sizes = {"d_model": 16, "heads": 4, "ffn": 24, "encoder_layers": 2, "decoder_layers": 2}
    words = {"source_vocabulary": VOCABULARY, "target_vocabulary": VOCABULARY}
    arch = Architecture(**{**sizes, **words, **base, **changes})
    torch.manual_seed(7)
    network = Network(arch)
    attach(network, {"mask-predict": MASK_PREDICT, "ctc": CTC})
    network.eval().requires_grad_(False)
    for name, weight in network.named_parameters():
        weight.normal_(1.0 if "norm.weight" in name else 0.0, 0.3)
    return network


def encoded(network: Network, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Hidden rows of sources without padding, and their places."""
    places = torch.arange(ids.numel()).reshape(ids.shape)
    depth = torch.arange(ids.shape[1]).expand_as(ids)
    no_mask = torch.zeros(len(ids), 1, 1, ids.shape[1])
    return network.encode(ids.flatten(), depth.flatten(), places.flatten(), places, no_mask), places


def logits_of(network: Network, decoder: NatDecoder, x, shape, mask, cross, src_mask) -> torch.Tensor:
    return decoder.logits(network, decoder.run(x, shape, mask, cross, src_mask)).reshape(*shape, -1)


ARCHITECTURES = [
    {},
    {"norm": "pre", "embedding_norm": True},
    {"positions": "learned", "tying": "none"},
    {
        "positions": "relative",
        "decoder": "self-attention",
        "norm": "pre",
        "relative_buckets": 8,
        "relative_distance": 12,
        "norm_kind": "rms",
    },
]


@pytest.mark.parametrize("changes", ARCHITECTURES)
def test_padding_of_source_and_canvas_changes_nothing(changes):
    """A canvas of three places for a source of four words, alone and padded to nine and seven."""
    network = a_network(**changes)
    decoder = decoder_of(network, "mask-predict")
    ids, canvas = torch.randint(0, VOCABULARY, (1, 4)), torch.tensor([[5, VOCABULARY, 2]])
    hidden, places = encoded(network, ids)
    alone_mask = torch.zeros(1, 1, 1, 4)
    alone = logits_of(
        network,
        decoder,
        decoder.embed(network, canvas),
        (1, 3),
        torch.zeros(1, 1, 1, 3),
        decoder.memory(hidden, places),
        alone_mask,
    )
    lengths = decoder.length_logits(hidden, places, alone_mask)

    places = torch.nn.functional.pad(places, (0, 3))  # padding reads the first word
    src_mask = torch.full((1, 1, 1, 7), MASKED)
    src_mask[..., :4] = 0
    canvas = torch.nn.functional.pad(canvas, (0, 6), value=9)
    canvas_mask = torch.full((1, 1, 1, 9), MASKED)
    canvas_mask[..., :3] = 0
    padded = logits_of(
        network, decoder, decoder.embed(network, canvas), (1, 9), canvas_mask, decoder.memory(hidden, places), src_mask
    )

    torch.testing.assert_close(padded[:, :3], alone, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(decoder.length_logits(hidden, places, src_mask), lengths, atol=1e-5, rtol=1e-5)


def test_every_place_sees_those_behind_it():
    """Another last word changes the first place: attention is in both directions."""
    network = a_network()
    decoder = decoder_of(network, "mask-predict")
    hidden, places = encoded(network, torch.randint(0, VOCABULARY, (2, 4)))
    canvas = torch.tensor([[VOCABULARY, 7, 8], [VOCABULARY, 7, 9]])
    places = places[:1].expand(2, -1)
    mask = torch.zeros(2, 1, 1, 1)

    x = decoder.embed(network, canvas)
    found = logits_of(network, decoder, x, (2, 3), mask, decoder.memory(hidden, places), mask)

    assert (found[0, 0] - found[1, 0]).abs().max() > 1e-3


def test_a_mask_of_its_own_reads_its_own_vector():
    """The id behind the vocabulary reads the mask's vector, scaled as words are; words read theirs."""
    network = a_network(positions="relative", decoder="self-attention", relative_buckets=8, relative_distance=12)
    decoder = decoder_of(network, "mask-predict")

    x = decoder.embed(network, torch.tensor([[3, VOCABULARY]]))

    torch.testing.assert_close(x[0], network.source_embedding[3] * 4.0)
    torch.testing.assert_close(x[1], decoder.mask * 4.0)


def test_a_mask_that_shows_the_source_reads_a_row_of_its_own_source():
    """Whatever other sources there are; a word reads its vector, scaled."""
    network = a_network(positions="relative", decoder="self-attention", relative_buckets=8, relative_distance=12)
    decoder = NatDecoder(network.arch, replace(MASK_PREDICT, canvas="shown"))
    torch.nn.init.normal_(decoder.split.weight)
    torch.nn.init.normal_(decoder.split.bias)
    hidden, places = encoded(network, torch.randint(0, VOCABULARY, (2, 4)))
    canvases = torch.tensor([[3, VOCABULARY + 3], [VOCABULARY, 7]])

    x = decoder.embed(network, canvases, decoder.shown(hidden, places))

    rows = hidden @ decoder.split.weight + decoder.split.bias
    torch.testing.assert_close(x[0], network.source_embedding[3] * 4.0)
    torch.testing.assert_close(x[1], rows[3])
    torch.testing.assert_close(x[2], rows[4])
    torch.testing.assert_close(x[3], network.source_embedding[7] * 4.0)


def test_a_split_canvas_holds_each_source_position_in_its_order():
    """Place k * i + j is part j of the source's row i."""
    network = a_network(positions="relative", decoder="self-attention", relative_buckets=8, relative_distance=12)
    decoder = decoder_of(network, "ctc")
    hidden, places = encoded(network, torch.randint(0, VOCABULARY, (2, 4)))

    x = decoder.upsample(network, hidden, places.flip(0)).reshape(2, 12, 16)

    parts = decoder.split(hidden).reshape(8, 3, 16)
    torch.testing.assert_close(x[0, 5], parts[5, 2])
    torch.testing.assert_close(x[1, 3], parts[1, 0])


def deeper(network: Network, decoder: NatDecoder) -> Network:
    """A network whose encoder goes on with the layers of a decoder on a late canvas."""
    made = Network(replace(network.arch, encoder_layers=network.arch.encoder_layers + decoder.nat.layers))
    own = {name: weight for name, weight in network.state_dict().items() if not name.startswith("nat.")}
    first = network.arch.encoder_layers
    for name, weight in decoder.state_dict().items():
        part, _, rest = name.removeprefix("layers.").partition(".")
        if name.startswith("layers."):
            own[f"encoder.layers.{first + int(part)}.{rest}"] = weight
    made.load_state_dict(own)
    return made.eval().requires_grad_(False)


@pytest.mark.parametrize("changes", [{}, {"activation": "swish", "embedding_norm": True}])
def test_a_late_canvas_is_split_from_a_deeper_encoder(changes):
    """Post-norm: place k * i + j is part j of what an encoder with the decoder's layers on top says of row i."""
    network = a_network(**changes)
    attach(network, {"ctc": replace(CTC, layers=2, canvas="late")})
    decoder = decoder_of(network, "ctc")
    for name, weight in decoder.requires_grad_(False).named_parameters():
        weight.normal_(1.0 if "norm.weight" in name else 0.0, 0.3)
    ids = torch.randint(0, VOCABULARY, (2, 4))
    hidden, places = encoded(network, ids)

    rows = decoder.read(network, hidden, places, torch.zeros(2, 1, 1, 4)).reshape(2, 4, 3, 16)

    further, _ = encoded(deeper(network, decoder), ids)
    torch.testing.assert_close(rows, decoder.split(further).reshape(2, 4, 3, 16))


@pytest.mark.parametrize("canvas", ["late", "split"])
@pytest.mark.parametrize("changes", ARCHITECTURES)
def test_padding_of_the_source_changes_nothing_of_its_canvas(changes, canvas):
    """A source of four words, some places of which show words, alone and padded to seven."""
    network = a_network(**changes)
    attach(network, {"ctc": replace(CTC, canvas=canvas, refines=True)})
    decoder = decoder_of(network, "ctc")
    for name, weight in decoder.requires_grad_(False).named_parameters():
        weight.normal_(1.0 if "norm.weight" in name else 0.0, 0.3)
    hidden, places = encoded(network, torch.randint(0, VOCABULARY, (1, 4)))
    shown = torch.tensor([[3, VOCABULARY, VOCABULARY + 9] * 4])
    alone = decoder.read(network, hidden, places, torch.zeros(1, 1, 1, 4), shown)

    places = torch.nn.functional.pad(places, (0, 3))  # padding reads the first word
    src_mask = torch.full((1, 1, 1, 7), MASKED)
    src_mask[..., :4] = 0
    padded = decoder.read(network, hidden, places, src_mask, torch.nn.functional.pad(shown, (0, 9)))

    torch.testing.assert_close(padded[:12], alone, atol=1e-5, rtol=1e-5)


def test_words_that_a_late_canvas_shows_are_added_to_their_source_row():
    """By a matrix of their own, each at its part of the row; an id behind the vocabulary adds nothing."""
    network = a_network()
    attach(network, {"ctc": replace(CTC, layers=1, canvas="late", refines=True)})
    decoder = decoder_of(network, "ctc")
    for name, weight in decoder.requires_grad_(False).named_parameters():
        weight.normal_(1.0 if "norm.weight" in name else 0.0, 0.3)
    hidden, places = encoded(network, torch.randint(0, VOCABULARY, (1, 2)))
    none, mask = VOCABULARY, torch.zeros(1, 1, 1, 2)

    found = decoder.read(network, hidden, places, mask, torch.tensor([[none, none, none, none, 5, none]]))

    row = hidden[1] + network.source_embedding[5] * 4.0 @ decoder.said.weight[16:32]
    expected = decoder.read(network, torch.stack([hidden[0], row]), places, mask)
    torch.testing.assert_close(found, expected)


def test_a_blank_of_its_own_is_the_column_behind_the_words():
    """Its logit is that of its own row of the output layer."""
    network = a_network()
    decoder = decoder_of(network, "ctc")
    rows = torch.randn(5, 16)

    logits = decoder.logits(network, rows)

    assert logits.shape == (5, VOCABULARY + 1)
    torch.testing.assert_close(logits[:, -1], rows @ decoder.blank + decoder.blank_bias)
    torch.testing.assert_close(logits[:, :-1], network.logits(rows))


def test_weights_go_into_a_checkpoint_and_come_back_the_same():
    """Keys are stored as they were trained without the scale that loading multiplies in."""
    network = a_network()
    tokenizer = Tokenizer("sentencepiece", "v.spm", "v.spm", 0, 1, VOCABULARY)
    parts = (tokenizer, {}, Decoding(), Limits(32, 32), "test", ())
    nat = {"mask-predict": MASK_PREDICT, "ctc": CTC}
    pairs = (LanguagePair("en", "pt"),)
    own = Checkpoint("tiny", pairs, network.arch, checkpoint_weights(network), {}, *parts, nat=nat)

    again = load_network(own)

    for name, weight in network.named_parameters():
        torch.testing.assert_close(again.get_parameter(name), weight, atol=1e-6, rtol=1e-6)
