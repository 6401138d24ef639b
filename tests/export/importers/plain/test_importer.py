"""Plain folders: recurrent models beside torch's own cells, Transformers beside plain formulas, and what is refused."""

import json

import pytest
import torch
from safetensors.torch import save_file

from dragoman.bundle import codec
from dragoman.bundle.manifest import Approximation, Architecture, Window
from dragoman.export.core.errors import ExportError, UnsupportedModel
from dragoman.export.graphs.running import packed, padded
from dragoman.export.importers.formats import read
from dragoman.export.network.load import canonical_shapes, load_network
from dragoman.export.network.network import Network

WORDS = 40
TOKENIZER = {"kind": "sentencepiece", "source": "a.spm", "target": "a.spm", "eos_id": 0, "unk_id": 1, "start_id": 2}


def write(folder, architecture, weights, **others):
    """A plain folder; matrices are [out, in]."""
    document = {"architecture": architecture, "tokenizer": TOKENIZER, "pairs": [{"source": "en", "target": "pt"}]}
    (folder / "dragoman.json").write_text(json.dumps({**document, **others}))
    (folder / "a.spm").write_bytes(b"these tests speak in ids")
    save_file({name: weight.detach().contiguous() for name, weight in weights.items()}, folder / "model.safetensors")
    return folder


SHAPES = {
    "two ways": {},
    "one way, no bridge, nothing fed": {"bidirectional": False, "bridge": False, "feeding": False, "layers": 1},
    "hidden as wide as the output, three layers": {"bridge": False, "out": 10, "layers": 3},
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("attention", ["dot", "general", "additive"])
@pytest.mark.parametrize("kind", ["lstm", "gru"])
def test_recurrent_steps_are_those_of_torchs_own_cells(tmp_path, recurrent_reference, kind, attention, shape):
    """Each step, of a padded batch, is within 1e-4 of nn.LSTM or nn.GRU with plain attention."""
    reference = recurrent_reference(kind, attention, **SHAPES[shape])

    network = load_network(read(write(tmp_path, reference.architecture, reference.weights()), "auto", None, None))

    reference.assert_same_steps(network)


def test_a_description_is_refused_with_all_that_is_wrong(tmp_path, recurrent_reference):
    """Impossible sizes, a file elsewhere, a missing pair and an unknown key are told at once."""
    reference = recurrent_reference("gru", "dot")
    sizes = {**reference.architecture["recurrent"], "bridge": False, "attention": "general", "decoder_hidden": 11}
    wrong = {**reference.architecture, "recurrent": sizes, "encoder_layers": 3}
    folder = write(tmp_path, wrong, reference.weights(), pairs=[], tokenizer={**TOKENIZER, "source": "../b.spm"})

    with pytest.raises(UnsupportedModel) as caught:
        read(folder, "plain", None, None)

    said = " ".join(caught.value.reasons)
    for part in ("bridge: false", "encoder_layers: 3", "'../b.spm'", "names no pairs"):
        assert part in said
    write(tmp_path, {**wrong, "depth": 3}, reference.weights())
    with pytest.raises(UnsupportedModel, match=r"architecture.depth"):
        read(folder, "plain", None, None)


def test_weights_that_do_not_fit_are_named(tmp_path, recurrent_reference):
    """What is missing, too much, or of another shape is said by its canonical name."""
    reference = recurrent_reference("lstm", "general")
    weights = reference.weights()
    weights["decoder.layer.0.weight_ih"] = weights.pop("decoder.layers.0.weight_ih")
    weights["decoder.out.weight"] = weights["decoder.out.weight"].T
    folder = write(tmp_path, reference.architecture, weights)

    with pytest.raises(ExportError) as caught:
        load_network(read(folder, "auto", None, None))

    for part in ("missing decoder.layers.0.input.weight", "unexpected decoder.layer.0", "decoder.out.weight is [9, 8]"):
        assert part in str(caught.value)


def test_what_is_left_out_has_the_manifests_default(tmp_path, recurrent_reference):
    """A description says what differs; languages and names follow."""
    reference = recurrent_reference("gru", "general")
    given = {
        "decoding": {"beam_size": 3, "num_hypotheses": 2},
        "limits": {"max_source_tokens": 9, "max_target_tokens": 8},
    }
    folder = write(tmp_path, reference.architecture, reference.weights(), **given, licence="MIT")

    found = read(folder / "dragoman.json", "auto", "de", "fr")

    assert (found.name, str(found.pairs[0]), found.licence) == ("de-fr", "de-fr", "MIT")
    assert (found.decoding.beam_size, found.decoding.max_length) == (3, 512)
    assert (found.limits.max_source_tokens, found.architecture.max_positions) == (9, 1024)
    assert codec.to_json(found.tokenizer) == codec.to_json(read(folder, "plain", None, None).tokenizer)


class Transformer:
    """One layer a side, in plain formulas: Shaw's positions, PowerNorm after training, one source at a time."""

    width, heads, farthest, epsilon = 12, 3, 2, 1e-5

    def __init__(self):
        torch.manual_seed(8)
        d, e = self.width, self.width // self.heads
        self.weights = {f"{side}_embedding": torch.randn(WORDS, d) for side in ("source", "target", "output")}
        self.weights["output_bias"] = torch.randn(WORDS)
        for side, attentions in (("encoder", ["self"]), ("decoder", ["self", "cross"])):
            for name in attentions:
                for part in "qkvo":
                    self.add(f"{side}.layers.0.{name}.{part}", d, d)
            for part in "kv":
                self.weights[f"{side}.layers.0.self.relative_{part}"] = torch.randn(2 * self.farthest + 1, e)
            self.add(f"{side}.layers.0.ffn.up", 17, d)
            self.add(f"{side}.layers.0.ffn.down", d, 17)
            for norm in [f"{name}_norm" for name in (*attentions, "ffn")]:
                self.weights[f"{side}.layers.0.{norm}.weight"] = torch.randn(d)
                self.weights[f"{side}.layers.0.{norm}.bias"] = torch.randn(d)
                self.weights[f"{side}.layers.0.{norm}.running_phi"] = torch.rand(1, d, 1) * 3

    architecture = {  # noqa: RUF012 - read only
        "d_model": 12,
        "heads": 3,
        "ffn": 17,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "source_vocabulary": WORDS,
        "target_vocabulary": WORDS,
        "tying": "none",
        "positions": "shaw",
        "relative_distance": 2,
        "norm_kind": "affine",
        "norm_epsilon": 1e-5,
    }

    def add(self, name, rows, columns):
        self.weights[f"{name}.weight"] = torch.randn(rows, columns) * 0.4
        self.weights[f"{name}.bias"] = torch.randn(rows) * 0.4

    def linear(self, name, x):
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def norm(self, name, x):
        phi = self.weights[f"{name}.running_phi"].flatten()
        return x / (phi + self.epsilon).sqrt() * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def attention(self, name, x, y, *, sees_all, is_relative):
        """Position by position, head by head."""
        q, k, v = self.linear(f"{name}.q", x), self.linear(f"{name}.k", y), self.linear(f"{name}.v", y)
        e, rows = self.width // self.heads, []
        for i in range(len(x)):
            heads = []
            for h in range(self.heads):
                own = slice(h * e, (h + 1) * e)
                keys, values = [], []
                for j in range(len(y) if sees_all else i + 1):
                    number = max(-self.farthest, min(self.farthest, j - i)) + self.farthest
                    near = [self.weights[f"{name}.relative_{p}"][number] if is_relative else 0 for p in "kv"]
                    keys.append(k[j, own] + near[0])
                    values.append(v[j, own] + near[1])
                weights = torch.softmax(torch.stack(keys) @ q[i, own] / e**0.5, 0)
                heads.append(weights @ torch.stack(values))
            rows.append(torch.cat(heads))
        return self.linear(f"{name}.o", torch.stack(rows))

    def ffn(self, side, x):
        inner = torch.relu(self.linear(f"{side}.layers.0.ffn.up", x))
        return self.norm(f"{side}.layers.0.ffn_norm", x + self.linear(f"{side}.layers.0.ffn.down", inner))

    def logits(self, source, read):
        """[T, V] after each word that is read."""
        x = self.weights["source_embedding"][source]
        y = self.attention("encoder.layers.0.self", x, x, sees_all=True, is_relative=True)
        memory = self.ffn("encoder", self.norm("encoder.layers.0.self_norm", x + y))
        x = self.weights["target_embedding"][read]
        y = self.attention("decoder.layers.0.self", x, x, sees_all=False, is_relative=True)
        x = self.norm("decoder.layers.0.self_norm", x + y)
        y = self.attention("decoder.layers.0.cross", x, memory, sees_all=True, is_relative=False)
        x = self.ffn("decoder", self.norm("decoder.layers.0.cross_norm", x + y))
        return x @ self.weights["output_embedding"].T + self.weights["output_bias"]


def test_shaws_positions_and_powernorm_are_the_plain_formulas(tmp_path):
    """Keys and values by clipped distance on both sides, and norms by constant statistics: logits within 1e-4."""
    plain = Transformer()
    network = load_network(read(write(tmp_path, plain.architecture, plain.weights), "auto", None, None))

    for source, target in ([3, 4, 5, 6, 7, 8, 0], [2, 9, 10, 11, 12, 13]), ([0], [2, 5]):
        mask = torch.zeros(1, 1, 1, len(source))
        found = network.full(torch.tensor([target]), network.memory(torch.tensor([source]), mask), mask)[0]
        torch.testing.assert_close(found, plain.logits(source, target), atol=1e-4, rtol=1e-4)


def test_batchnorm_after_training_is_a_scale_and_a_bias(tmp_path):
    """What torch's own makes of rows, with its running statistics, is what the folded norm makes of them."""
    plain = Transformer()
    norms = [name.removesuffix(".running_phi") for name in plain.weights if name.endswith(".running_phi")]
    made = {}
    for name in norms:
        del plain.weights[f"{name}.running_phi"]
        made[name] = norm = torch.nn.BatchNorm1d(12, eps=1e-5).eval()
        for tensor in (norm.weight, norm.bias, norm.running_mean):
            torch.nn.init.normal_(tensor)
        torch.nn.init.uniform_(norm.running_var, 0.1, 3.0)
        plain.weights |= {f"{name}.{key}": value for key, value in norm.state_dict().items()}

    found = read(write(tmp_path, plain.architecture, plain.weights), "auto", None, None)

    load_network(found)
    x = torch.randn(5, 12)
    for name, norm in made.items():
        scale, bias = (torch.from_numpy(found.weights[f"{name}.{part}"]) for part in ("weight", "bias"))
        torch.testing.assert_close(x * scale + bias, norm(x), atol=1e-5, rtol=1e-5)


def test_statistics_that_are_none_are_refused(tmp_path):
    """A mean of squares must be of its norm's width and cannot be negative."""
    plain = Transformer()
    plain.weights["encoder.layers.0.self_norm.running_phi"] *= -1
    plain.weights["encoder.layers.0.ffn_norm.running_phi"] = torch.ones(3)
    plain.weights["decoder.layers.0.ffn_norm.running_var"] = torch.ones(12)

    with pytest.raises(UnsupportedModel) as caught:
        read(write(tmp_path, plain.architecture, plain.weights), "auto", None, None)

    assert len(caught.value.reasons) == 3


def near(weights, layer, x, reach, heads):
    """One post-norm layer whose words see so far: every pair of words by itself."""

    def linear(name, rows):
        return rows @ weights[f"{layer}.{name}.weight"].T + weights[f"{layer}.{name}.bias"]

    def norm(name, rows):
        scale, bias = weights[f"{layer}.{name}.weight"], weights[f"{layer}.{name}.bias"]
        return torch.nn.functional.layer_norm(rows, scale.shape, scale, bias, 1e-6)

    q, k, v = (linear(f"self.{part}", x).unflatten(1, (heads, -1)) for part in "qkv")
    read = torch.zeros_like(q)
    for word in range(len(x)):
        seen = range(max(0, word - reach), min(len(x), word + reach + 1))
        for head in range(heads):
            scores = torch.stack([q[word, head] @ k[other, head] for other in seen]) / q.shape[2] ** 0.5
            read[word, head] = scores.softmax(0) @ v[list(seen), head]
    x = norm("self_norm", x + linear("self.o", read.flatten(1)))
    return norm("ffn_norm", x + linear("ffn.down", linear("ffn.up", x).relu()))


def test_a_window_may_be_said_of_any_encoder(tmp_path):
    """With what each layer reaches alone: words of a batch read what a plain loop over those near them reads."""
    sizes = {"d_model": 12, "heads": 3, "ffn": 20, "encoder_layers": 2, "decoder_layers": 1, "positions": "learned"}
    words = {"source_vocabulary": WORDS, "target_vocabulary": WORDS, "max_positions": 9, "encoder_positions": 50}
    given = {**sizes, **words, "norm_epsilon": 1e-6, "encoder_window": {"reach": [1, 17]}}
    shape = Architecture(**{**given, "encoder_window": Window((1, 17))})
    torch.manual_seed(4)
    weights = {name: torch.randn(size) * 0.5 for name, size in canonical_shapes(Network(shape)).items()}
    stored = {n: w.T if w.ndim == 2 and n.endswith(".weight") else w for n, w in weights.items()}

    found = read(write(tmp_path, given, stored), "plain", None, None)
    texts = [torch.randint(0, WORDS, (length,)).tolist() for length in (41, 1, 3, 18)]
    ids, mask = (torch.from_numpy(array) for array in padded(texts))
    encoded = load_network(found).encode(**packed(ids, mask)).split([len(text) for text in texts])

    assert (found.limits.max_source_tokens, found.limits.max_target_tokens) == (50, 9)
    for text, rows in zip(texts, encoded, strict=True):
        x = stored["source_embedding"][text] * shape.embedding_scale + stored["source_positions"][: len(text)]
        for layer, reach in enumerate((1, 17)):
            x = near(stored, f"encoder.layers.{layer}", x, reach, 3)
        torch.testing.assert_close(rows, x, atol=1e-4, rtol=1e-4)


def test_a_window_that_contradicts_itself_is_refused_by_name(tmp_path, recurrent_reference):
    """A reach for each layer, and of an encoder that has windows."""
    reference = recurrent_reference("gru", "dot")
    wrong = {**reference.architecture, "encoder_window": {"reach": [0], "depth": 2}}
    with pytest.raises(UnsupportedModel, match=r"encoder_window.depth"):
        read(write(tmp_path, wrong, reference.weights()), "plain", None, None)

    wrong["encoder_window"] = {"reach": [0]}
    with pytest.raises(UnsupportedModel) as caught:
        read(write(tmp_path, wrong, reference.weights()), "plain", None, None)

    said = " ".join(caught.value.reasons)
    assert "encoder_window: of an encoder that has none, gru" in said
    assert "encoder_window.reach: [0] is not a distance" in said


def test_an_encoder_may_approximate_attention(tmp_path):
    """By the formula's name and sizes; matrices are turned, and what belongs to positions and clusters is not."""
    sizes = {"d_model": 12, "heads": 3, "ffn": 20, "encoder_layers": 1, "decoder_layers": 1, "positions": "learned"}
    words = {"source_vocabulary": WORDS, "target_vocabulary": WORDS, "max_positions": 9, "encoder_positions": 50}
    for said, form in (
        ({"kind": "linear"}, Approximation("linear")),
        ({"kind": "linformer", "size": 5}, Approximation("linformer", 5)),
        ({"kind": "compressed", "size": 3}, Approximation("compressed", 3)),
        ({"kind": "routing", "size": 7, "count": 2}, Approximation("routing", 7, 2)),
    ):
        given = {**sizes, **words, "norm_epsilon": 1e-6, "encoder_attention": said}
        shape = Architecture(**{**given, "encoder_attention": form})
        torch.manual_seed(4)
        weights = {name: torch.randn(size) * 0.5 for name, size in canonical_shapes(Network(shape)).items()}
        stored = {n: w.T if w.ndim == 2 and n.endswith(".weight") else w for n, w in weights.items()}

        found = read(write(tmp_path, given, stored), "plain", None, None)

        assert found.architecture.encoder_attention == form
        assert {name: torch.from_numpy(w).shape for name, w in found.weights.items()} == {
            name: w.shape for name, w in weights.items()
        }


def test_an_approximation_that_contradicts_itself_is_refused_by_name(tmp_path, recurrent_reference):
    """Each has the numbers of its formula, beside no window, in no recurrent network, and in no decoder."""
    reference = recurrent_reference("gru", "dot")
    wrong = {**reference.architecture, "encoder_attention": {"kind": "lsh", "size": 0, "count": 5, "rounds": 1}}
    with pytest.raises(UnsupportedModel) as caught:
        read(write(tmp_path, wrong, reference.weights()), "plain", None, None)
    said = " ".join(caught.value.reasons)
    assert "encoder_attention: of an encoder that has another, gru" in said
    assert "encoder_attention.size: 0 is not from 1 to 4096" in said
    assert "encoder_attention.count: 5 is odd" in said

    for kind in ("linformer", "compressed", "sinkhorn", "lsh", "routing", "linear", "elsewhere"):
        wrong = {**reference.architecture, "decoder_attention": {"kind": kind}}
        with pytest.raises(UnsupportedModel, match=rf"architecture.decoder_attention: '{kind}': \w+"):
            read(write(tmp_path, wrong, reference.weights()), "plain", None, None)
