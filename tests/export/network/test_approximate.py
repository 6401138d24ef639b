"""Approximations of attention, beside their formulas written out word by word, and alone beside in a batch."""

import itertools

import pytest
import torch
from torch.nn import functional as F

from dragoman.bundle.manifest import Approximation, Architecture
from dragoman.export.core.checkpoint import Checkpoint
from dragoman.export.graphs.running import packed, padded
from dragoman.export.network.load import canonical_weights, checkpoint_weights, load_network
from dragoman.export.network.network import MASKED, Network
from dragoman.export.network.window import several_blocks, traced_positions

WORDS = 40
FORMS = {
    "linear": Approximation("linear"),
    "linformer": Approximation("linformer", 12),
    "linformer of one": Approximation("linformer", 1),
    "compressed": Approximation("compressed", 3),
    "compressed by many": Approximation("compressed", 50),
    "sinkhorn": Approximation("sinkhorn", 8, rounds=5),
    "sinkhorn of single words": Approximation("sinkhorn", 1, rounds=2),
    "lsh": Approximation("lsh", 8, 6, 2),
    "lsh of one bucket pair": Approximation("lsh", 4, 2, 1),
    "routing": Approximation("routing", 12, 5),
    "routing to few": Approximation("routing", 2, 3),
}
SHAPES = (
    {"norm": "pre"},
    {"positions": "learned", "encoder_heads": 2, "encoder_width": 12, "tying": "none"},
    {"linear_bias": False, "norm": "pre", "norm_kind": "rms", "gated": True},
)
LENGTHS = (1, 70, 3, 16, 17, 33, 91)


def a_network(form: Approximation, **options) -> Network:
    """A random network."""
    torch.manual_seed(3)
    sizes = {"d_model": 16, "heads": 4, "ffn": 20, "encoder_layers": 2, "decoder_layers": 1, "encoder_positions": 100}
    words = {"source_vocabulary": WORDS, "target_vocabulary": WORDS}
    network = Network(Architecture(**{**sizes, **words, "encoder_attention": form, **options}))
    network.eval().requires_grad_(False)
    for name, weight in network.named_parameters():
        weight.normal_(
            1.0 if "norm" in name and name.endswith("weight") else 0.0,
            0.15 if "down" in name or "compress" in name else 0.5,
        )
    return network


def sources(lengths) -> list[list[int]]:
    return [torch.randint(0, WORDS, (n,), generator=torch.Generator().manual_seed(n)).tolist() for n in lengths]


def encoded(network: Network, texts) -> list[torch.Tensor]:
    """The rows of each source of one batch."""
    ids, mask = (torch.from_numpy(array) for array in padded(texts))
    return list(network.encode(**packed(ids, mask)).split([len(text) for text in texts]))


def attended(own, form, h, q, k, v, x):
    """What one head's words [n, e] read, by the formula; keys hold 1 / sqrt(e) where scores are divided by it."""
    n, e = q.shape
    if form.kind == "linear":
        weights = (F.elu(q) + 1) @ (F.elu(k) + 1).T
        return weights / weights.sum(1, keepdim=True) @ v
    if form.kind == "linformer":
        keys, values = own.keys_down[:n].T @ k, own.values_down[:n].T @ v
        return (q @ keys.T).softmax(1) @ values
    if form.kind == "sinkhorn":
        size, blocks = form.size, -(-n // form.size)
        sums = torch.stack([x[b * size : (b + 1) * size].sum(0) for b in range(blocks)])
        order = own.sort.outer(own.sort.inner(sums).relu()).relu()[:, h * own.blocks : h * own.blocks + blocks].double()
        for _ in range(form.rounds):
            order = order - order.logsumexp(1, keepdim=True)
            order = order - order.logsumexp(0, keepdim=True)
        share, y = order.exp().float(), torch.zeros(n, e)
        for block in range(blocks):
            inside = slice(block * size, (block + 1) * size)
            keys, values = list(k[inside]), list(v[inside])
            for t in range(min(size, n)):
                there = [(share[block, b], b * size + t) for b in range(blocks) if b * size + t < n]
                keys.append(sum(part * k[j] for part, j in there))
                values.append(sum(part * v[j] for part, j in there))
            y[inside] = (q[inside] @ torch.stack(keys).T).softmax(1) @ torch.stack(values)
        return y
    if form.kind == "lsh":
        reads, sums = [], []
        for rotation in own.rotations[:, h]:
            bucket = torch.cat([q @ rotation, -(q @ rotation)], 1).argmax(1).tolist()
            order = sorted(range(n), key=lambda i: (bucket[i], i))
            chunk = {i: place // form.size for place, i in enumerate(order)}
            y, total = torch.zeros(n, e), torch.zeros(n)
            for i in range(n):
                seen = [j for j in range(n) if bucket[j] == bucket[i] and 0 <= chunk[i] - chunk[j] <= 1]
                scores = (F.normalize(q[seen], dim=1) @ q[i] * e**-0.5).double()
                scores[seen.index(i)] = -1e5
                y[i] = scores.softmax(0).float() @ v[seen]
                total[i] = scores.logsumexp(0)
            reads.append(y)
            sums.append(total)
        return (torch.stack(sums).softmax(0).unsqueeze(2) * torch.stack(reads)).sum(0)
    q, k = F.layer_norm(q, (e,)), F.layer_norm(k, (e,))
    read = [[] for _ in range(n)]
    for centroid in own.centroids[h]:
        asks, sees = ((part @ centroid).topk(min(form.size, n)).indices for part in (q, k))
        for i in asks:
            read[i].append((q[i] @ k[sees].T * e**-0.5).softmax(0) @ v[sees])
    return torch.stack([sum(each) / len(each) if each else torch.zeros(e) for each in read])


def compressed(own, form, q, k, v):
    """All heads' words [H, n, e]: a convolution over the keys and values of all heads makes one of each stretch."""
    heads, n, e = q.shape

    def few(x, matrix):
        flat = F.pad(x.transpose(0, 1).reshape(n, heads * e), (0, 0, 0, -n % form.size))
        kernel = matrix.weight.reshape(form.size, heads * e, heads * e).permute(2, 1, 0)
        made = F.conv1d(flat.T[None], kernel, matrix.bias, stride=form.size)[0].T
        return made.reshape(-1, heads, e).transpose(0, 1)

    return (q @ few(k, own.compress.k).transpose(1, 2)).softmax(2) @ few(v, own.compress.v)


def slow(network: Network, text: list[int]) -> torch.Tensor:
    """One source, layer by layer and word by word."""
    arch, form = network.arch.of_encoder, network.arch.encoder_attention
    ids, mask = (torch.from_numpy(array) for array in padded([text]))
    layers, norm = network.encoder.layers, network.encoder.norm
    network.encoder.layers, network.encoder.norm = torch.nn.ModuleList(), None
    x = network.encode(**packed(ids, mask))
    network.encoder.layers, network.encoder.norm = layers, norm
    for layer in layers:
        own, pre = layer.self, arch.norm == "pre"
        read = layer.self_norm(x) if pre else x
        q, k, v = (part[0] for part in own.split_rows(own.rows(read), 1, len(text)))
        if form.kind == "compressed":
            y = compressed(own, form, q, k, v)
        else:
            y = torch.stack([attended(own, form, h, q[h], k[h], v[h], read) for h in range(arch.heads)])
        y = own.o(y.transpose(0, 1).reshape(len(text), -1))
        x = x + y if pre else layer.self_norm(x + y)
        y = layer.ffn(layer.ffn_norm(x) if pre else x)
        x = x + y if pre else layer.ffn_norm(x + y)
    return x if network.encoder.norm is None else network.encoder.norm(x)


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("options", SHAPES, ids=["pre", "learned", "gated"])
def test_each_says_what_its_formula_says(name, options):
    """Sources below, at and above blocks, chunks and clusters, in one batch, are each what the formula gives alone."""
    network = a_network(FORMS[name], **options)
    texts = sources(LENGTHS)

    found = encoded(network, texts)

    for text, rows in zip(texts, found, strict=True):
        torch.testing.assert_close(rows, slow(network, text), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", FORMS)
def test_padding_is_not_seen(name):
    """The rows of a source are the same whatever pads it, and however long its companions are."""
    network = a_network(FORMS[name])
    for length, more in itertools.product((1, 23), (1, 60)):
        text = sources([length])[0]
        ids, mask = (torch.from_numpy(array) for array in padded([text]))
        wide = F.pad(ids, (0, more), value=7), F.pad(mask, (0, more), value=MASKED)
        found = network.encode(**packed(*wide))
        torch.testing.assert_close(found, network.encode(**packed(ids, mask)), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", FORMS)
def test_words_far_away_may_be_seen(name):
    """A word at the end changes one at the beginning, or could: nothing is near to these encoders."""
    network = a_network(FORMS[name])
    text = sources([80])[0]
    changed = 0
    for other in range(1, 6):
        after = encoded(network, [[*text[:-1], (text[-1] + other) % WORDS]])[0]
        changed += not torch.equal(encoded(network, [text])[0][:40], after[:40])

    assert changed


@pytest.mark.parametrize("name", FORMS)
def test_weights_come_back_from_a_checkpoint(name):
    """Keys are divided by the root of their width where the formula divides scores; hashes' keys are queries."""
    network = a_network(FORMS[name])
    checkpoint = Checkpoint("one", (), network.arch, checkpoint_weights(network), {}, *[None] * 6)  # type: ignore[arg-type]

    again = load_network(checkpoint)

    for name_of, weight in canonical_weights(again).items():
        assert torch.allclose(torch.from_numpy(weight), torch.from_numpy(canonical_weights(network)[name_of])), name_of
    assert ("encoder.layers.0.self.k.weight" in checkpoint.weights) == (network.arch.encoder_attention.kind != "lsh")


def test_lengths_of_proofs_have_several_of_all():
    """Blocks, chunks and clusters; a network is traced at lengths that have more."""
    for form in FORMS.values():
        arch = a_network(form).arch
        assert 3 <= several_blocks(arch) <= arch.source_positions
        assert traced_positions(arch, 7) >= 7 + 2 * 64


@pytest.mark.parametrize("shape", SHAPES)
def test_a_decoder_s_words_read_those_before_them_by_the_formula(shape):
    """Whole sequences, and node by node on sums that grow; all that is kept of a word are these."""
    network = a_network(Approximation("linear"), decoder="linear-attention", **shape)
    own = network.decoder.stack()[0].self
    sequences, words = 3, 7
    x = torch.randn(sequences * words, network.arch.d_model, generator=torch.Generator().manual_seed(1))
    q, k, v = (part.double() for part in own.split_rows(own.rows(x), sequences, words))

    read = torch.zeros_like(q)
    for g, h, t in itertools.product(range(sequences), range(own.heads), range(words)):
        weights = [(F.elu(q[g, h, t]) + 1) @ (F.elu(k[g, h, j]) + 1) for j in range(t + 1)]
        read[g, h, t] = sum(w * v[g, h, j] for j, w in enumerate(weights)) / sum(weights)
    expected = own.merge(read.float())

    torch.testing.assert_close(own.along(x, (sequences, words)), expected, atol=1e-4, rtol=1e-4)
    state, rows = torch.zeros(sequences, network.arch.state_width), x.reshape(sequences, words, -1)
    for t in range(words):
        y, state = own.recall(rows[:, t], state)
        torch.testing.assert_close(y, expected.reshape(sequences, words, -1)[:, t], atol=1e-4, rtol=1e-4)
